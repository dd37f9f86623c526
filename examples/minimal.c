/* Finds the 68 keypoints of a face crop: minimal MODEL.safetensors FACE.png */
#include <facekp/facekp.h>
#include <stdio.h>

int main(int argc, char **argv) {
    facekp_model *model = NULL;
    facekp_session *session = NULL;
    facekp_picture *picture = NULL;
    facekp_image image = FACEKP_IMAGE_INIT;
    const facekp_image *images[] = {&image};
    float points[2 * FACEKP_KEYPOINTS];
    const facekp_faces faces = {.struct_size = sizeof faces, .points = points};
    facekp_status status = argc == 3 ? facekp_model_load(argv[1], NULL, &model) : FACEKP_ERROR_ARGUMENT;
    if (status == FACEKP_OK) status = facekp_session_open(model, NULL, &session);
    if (status == FACEKP_OK) status = facekp_picture_read(argv[2], 1, NULL, 0, &picture);
    if (status == FACEKP_OK) status = facekp_picture_get_image(picture, &image);
    if (status == FACEKP_OK) status = facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, &faces);
    for (int i = 0; status == FACEKP_OK && i < FACEKP_KEYPOINTS; i++)
        printf("%d %.2f %.2f\n", i, points[2 * i], points[2 * i + 1]);
    if (status != FACEKP_OK) fprintf(stderr, "%s\n", facekp_status_string(status));
    facekp_picture_free(picture);
    facekp_session_free(session);
    facekp_model_free(model);
    return status == FACEKP_OK ? 0 : 1;
}
