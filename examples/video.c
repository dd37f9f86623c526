/* Follows one face through raw gray video on standard input and prints its points, a line per frame:
 *   ffmpeg -i film.mp4 -f rawvideo -pix_fmt gray - | video MODEL.safetensors WIDTH HEIGHT X,Y,W,H
 * The box of the first frame is given; each later one is the box around the points before. */
#include <facekp/facekp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void box_around(const float *points, float *box) {
    float left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i < FACEKP_KEYPOINTS; i++) {
        left = fminf(left, points[2 * i]);
        right = fmaxf(right, points[2 * i]);
        top = fminf(top, points[2 * i + 1]);
        bottom = fmaxf(bottom, points[2 * i + 1]);
    }
    box[0] = left;
    box[1] = top;
    box[2] = right - left;
    box[3] = bottom - top;
}

/* Frames until the input ends, or the face has left the picture. */
static facekp_status follow(facekp_session *session, facekp_image *image, uint8_t *pixels, float *box) {
    const size_t bytes = (size_t)image->width * (size_t)image->height;
    const facekp_image *images[] = {image};
    float points[2 * FACEKP_KEYPOINTS];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    image->data = pixels;
    for (long frame = 0; fread(pixels, 1, bytes, stdin) == bytes; frame++) {
        facekp_status status = facekp_session_predict(session, images, 1, box, NULL, 1, NULL, &faces);
        if (status != FACEKP_OK) return status;
        printf("%ld", frame);
        for (int i = 0; i < 2 * FACEKP_KEYPOINTS; i++) printf(" %.2f", (double)points[i]);
        putchar('\n');
        box_around(points, box);
    }
    return FACEKP_OK;
}

int main(int argc, char **argv) {
    facekp_image image = FACEKP_IMAGE_INIT;
    image.format = FACEKP_GRAY8;
    float box[4];
    if (argc != 5 || sscanf(argv[4], "%f,%f,%f,%f", &box[0], &box[1], &box[2], &box[3]) != 4 ||
        (image.width = atoi(argv[2])) < 1 || (image.height = atoi(argv[3])) < 1) {
        fputs("usage: video MODEL WIDTH HEIGHT X,Y,W,H < gray frames\n", stderr);
        return 2;
    }
    facekp_model *model = NULL;
    facekp_session *session = NULL;
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.threads = FACEKP_THREADS_ALL;
    uint8_t *pixels = malloc((size_t)image.width * (size_t)image.height);
    facekp_status status = pixels == NULL ? FACEKP_ERROR_MEMORY : facekp_model_load(argv[1], NULL, &model);
    if (status == FACEKP_OK) status = facekp_session_open(model, &options, &session);
    if (status == FACEKP_OK) status = follow(session, &image, pixels, box);
    if (status != FACEKP_OK)
        fprintf(stderr, "%s %s\n", facekp_status_string(status), facekp_session_message(session));
    facekp_session_free(session);
    facekp_model_free(model);
    free(pixels);
    return status == FACEKP_OK ? 0 : 1;
}
