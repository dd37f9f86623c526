/* An outside program: the installed header and library, a model from the command line, nothing of the source
 * tree. */
#include <facekp/facekp.h>
#include <stdio.h>
#include <string.h>

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);                                  \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static int check_constants(void) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", FACEKP_VERSION_MAJOR, FACEKP_VERSION_MINOR,
             FACEKP_VERSION_PATCH);
    REQUIRE(facekp_keypoint_count() == FACEKP_KEYPOINTS);
    REQUIRE(facekp_input_size() == FACEKP_INPUT_SIZE);
    REQUIRE(facekp_version() ==
            FACEKP_VERSION_MAJOR * 10000 + FACEKP_VERSION_MINOR * 100 + FACEKP_VERSION_PATCH);
    REQUIRE(strcmp(facekp_version_string(), version) == 0);

    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT, load_by_call;
    facekp_session_options open = FACEKP_SESSION_OPTIONS_INIT, open_by_call;
    facekp_predict_options predict = FACEKP_PREDICT_OPTIONS_INIT, predict_by_call;
    facekp_load_options_init(&load_by_call, sizeof load_by_call);
    facekp_session_options_init(&open_by_call, sizeof open_by_call);
    facekp_predict_options_init(&predict_by_call, sizeof predict_by_call);
    REQUIRE(memcmp(&load, &load_by_call, sizeof load) == 0);
    REQUIRE(memcmp(&open, &open_by_call, sizeof open) == 0);
    REQUIRE(memcmp(&predict, &predict_by_call, sizeof predict) == 0);
    return 0;
}

static int check_prediction(const char *path) {
    static unsigned char pixels[240 * 320];
    for (int i = 0; i < 240 * 320; i++) pixels[i] = (unsigned char)(i % 251);
    char message[256] = "";
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.message = message;
    load.message_size = sizeof message;
    facekp_model *model;
    facekp_session *session;
    if (facekp_model_load(path, &load, &model) != FACEKP_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    REQUIRE(facekp_session_open(model, NULL, &session) == FACEKP_OK);
    facekp_model_free(model);
    facekp_image image = FACEKP_IMAGE_INIT;
    image.data = pixels;
    image.width = 320;
    image.height = 240;
    image.format = FACEKP_GRAY8;
    const facekp_image *images[1];
    images[0] = &image;
    const float box[4] = {100, 60, 90, 100};
    float points[2 * FACEKP_KEYPOINTS];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    REQUIRE(facekp_session_predict(session, images, 1, box, NULL, 1, NULL, &faces) == FACEKP_OK);
    for (int i = 0; i < 2 * FACEKP_KEYPOINTS; i++) REQUIRE(points[i] - points[i] == 0.0f);
    facekp_session_free(session);
    return 0;
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    return check_constants() != 0 || check_prediction(argv[1]) != 0;
}
