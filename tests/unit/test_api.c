/* The public functions but for prediction: status codes, the rules of structs, loading, describing,
 * converting. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include "support/small_model.h"

/* ---- structs ---- */

START_TEST(structs_of_other_versions_follow_the_rules) {
    facekp_model *model = small_model_load(&small_dino, NULL, 0, NULL);
    struct {
        facekp_session_options known;
        size_t newer[2];
    } options = {.known = FACEKP_SESSION_OPTIONS_INIT};
    facekp_session *session;
    options.known.struct_size = sizeof options;
    ck_assert_int_eq(facekp_session_open(model, &options.known, &session), FACEKP_OK);
    facekp_session_free(session);
    options.newer[1] = 1;
    ck_assert_int_eq(facekp_session_open(model, &options.known, &session), FACEKP_ERROR_UNSUPPORTED);
    ck_assert_ptr_null(session);
    const size_t never[] = {0, 1, sizeof options.known - 1, (size_t)1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        options.known.struct_size = never[i];
        ck_assert_int_eq(facekp_session_open(model, &options.known, &session), FACEKP_ERROR_STRUCT_SIZE);
    }
    facekp_model_free(model);
}
END_TEST

/* The load options grew by `measure`: what lies behind the older struct is not looked at. */
START_TEST(structs_from_before_they_grew_are_good) {
    const size_t older_size = offsetof(facekp_load_options, measure);
    facekp_load_options options = {.struct_size = older_size,
                                   .architecture = FACEKP_RESNET18,
                                   .random_weights = 1,
                                   .cpu = "portable",
                                   .measure = -1,
                                   .reserved = -1};
    facekp_model *model;
    facekp_model_info info = FACEKP_MODEL_INFO_INIT;
    ck_assert_int_eq(facekp_model_load(NULL, &options, &model), FACEKP_OK);
    ck_assert_int_eq(facekp_model_get_info(model, &info), FACEKP_OK);
    ck_assert_str_eq(info.cpu, "portable");
    facekp_model_free(model);
    const size_t never[] = {older_size - 1, older_size + 1, sizeof options - 1};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        options.struct_size = never[i];
        ck_assert_int_eq(facekp_model_load(NULL, &options, &model), FACEKP_ERROR_STRUCT_SIZE);
    }
    options.struct_size = sizeof options;
    ck_assert_int_eq(facekp_model_load(NULL, &options, &model), FACEKP_ERROR_UNSUPPORTED);
}
END_TEST

START_TEST(structs_that_are_filled_follow_the_rules) {
    facekp_model *model = small_model_load(&small_dino, NULL, 0, NULL);
    struct {
        facekp_model_info known;
        unsigned char newer[8];
    } info = {.known = FACEKP_MODEL_INFO_INIT};
    memset(info.newer, 0xff, sizeof info.newer);
    info.known.struct_size = sizeof info;
    ck_assert_int_eq(facekp_model_get_info(model, &info.known), FACEKP_OK);
    ck_assert_uint_eq(info.known.struct_size, sizeof info);
    for (size_t i = 0; i < sizeof info.newer; i++) ck_assert_uint_eq(info.newer[i], 0);
    facekp_model_info untouched = {.struct_size = 3, .keypoints = 77};
    ck_assert_int_eq(facekp_model_get_info(model, &untouched), FACEKP_ERROR_STRUCT_SIZE);
    ck_assert_int_eq(untouched.keypoints, 77);
    facekp_model_free(model);
}
END_TEST

START_TEST(init_functions_never_write_beyond_the_size_they_are_told) {
    facekp_predict_options options;
    memset(&options, 0xff, sizeof options);
    facekp_predict_options_init(&options, sizeof(size_t));
    ck_assert_uint_eq(options.struct_size, sizeof(size_t));
    ck_assert_int_eq(options.decode, -1);
    facekp_load_options_init(NULL, 80);
    facekp_session_options_init(NULL, 40);
}
END_TEST

/* ---- loading ---- */

START_TEST(a_model_describes_itself) {
    const fkp_metadata extra[] = {
        {"license", "CC0"}, {"training_data", "synthetic"}, {"label_bias_px", "[2.0, -1.5]"}};
    facekp_model *model = small_model_load(&small_unet, extra, 3, NULL);
    facekp_model_info info = FACEKP_MODEL_INFO_INIT;
    ck_assert_int_eq(facekp_model_get_info(model, &info), FACEKP_OK);
    ck_assert_str_eq(info.architecture, "unet");
    ck_assert_str_eq(info.variant, "width 2");
    ck_assert_str_eq(info.license, "CC0");
    ck_assert_str_eq(info.training_data, "synthetic");
    ck_assert_str_eq(info.precision, "F32");
    ck_assert_int_eq(info.architecture_id, FACEKP_UNET);
    ck_assert_int_eq(info.keypoints, FACEKP_KEYPOINTS);
    ck_assert_int_eq(info.input_width, FACEKP_INPUT_SIZE);
    ck_assert_int_eq(info.output_kind, FACEKP_OUTPUT_HEATMAPS);
    ck_assert_int_eq(info.output_height, 224);
    ck_assert(info.label_bias_px[0] == 2.0 && info.label_bias_px[1] == -1.5);
    ck_assert_uint_eq(facekp_model_output_count(model), 68 * 224 * 224);
    ck_assert_uint_gt(info.weight_bytes, 0);
    uint64_t parameters = 0;
    for (int32_t i = 0; i < facekp_model_layer_count(model); i++) {
        facekp_layer_info layer = FACEKP_LAYER_INFO_INIT;
        ck_assert_int_eq(facekp_model_get_layer(model, i, &layer), FACEKP_OK);
        parameters += layer.parameters;
    }
    ck_assert_uint_eq(parameters, info.parameters);
    facekp_layer_info layer = FACEKP_LAYER_INFO_INIT;
    ck_assert_int_eq(facekp_model_get_layer(model, -1, &layer), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_model_get_layer(model, facekp_model_layer_count(model), &layer),
                     FACEKP_ERROR_ARGUMENT);
    facekp_model_free(model);
}
END_TEST

static facekp_status load_file(const char *path, char *message, size_t size) {
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.message = message;
    options.message_size = size;
    facekp_model *model = (facekp_model *)message;
    facekp_status status = facekp_model_load(path, &options, &model);
    if (status != FACEKP_OK)
        ck_assert_ptr_null(model);
    else
        facekp_model_free(model);
    return status;
}

START_TEST(a_failed_load_says_which_file_and_why) {
    char path[SMALL_PATH_BYTES], message[FKP_MESSAGE_BYTES] = "";
    ck_assert_int_eq(load_file("/no/such/file", message, sizeof message), FACEKP_ERROR_OPEN);
    ck_assert_ptr_nonnull(strstr(message, "/no/such/file"));
    ck_assert_int_eq(load_file("/tmp", message, sizeof message), FACEKP_ERROR_OPEN);

    small_model_write(&small_dino, NULL, 0, "fc.bias", path);
    ck_assert_int_eq(load_file(path, message, sizeof message), FACEKP_ERROR_VALUE);
    ck_assert_ptr_nonnull(strstr(message, "fc.bias"));
    ck_assert_int_eq(truncate(path, 5000), 0);
    ck_assert_int_eq(load_file(path, message, sizeof message), FACEKP_ERROR_TRUNCATED);
    ck_assert_int_eq(truncate(path, 0), 0);
    facekp_status empty = load_file(path, message, sizeof message);
    ck_assert(empty == FACEKP_ERROR_FORMAT || empty == FACEKP_ERROR_TRUNCATED);
    unlink(path);

    char tiny[4] = "---";
    ck_assert_int_eq(load_file("/no/such/file", tiny, sizeof tiny), FACEKP_ERROR_OPEN);
    ck_assert_str_eq(tiny, "/no");
}
END_TEST

START_TEST(metadata_that_makes_no_sense_is_refused) {
    const char *const bias[] = {"2.0", "2.0,1.5,1", "2,x", "1e3,0", "60,0", ".,.", ""};
    for (size_t i = 0; i < sizeof bias / sizeof *bias; i++) {
        const fkp_metadata extra = {"label_bias_px", bias[i]};
        char path[SMALL_PATH_BYTES], message[FKP_MESSAGE_BYTES] = "";
        small_model_write(&small_dino, &extra, 1, NULL, path);
        ck_assert_int_eq(load_file(path, message, sizeof message), FACEKP_ERROR_FORMAT);
        ck_assert_ptr_nonnull(strstr(message, "label_bias_px"));
        unlink(path);
    }
}
END_TEST

START_TEST(options_of_a_load_are_checked) {
    const facekp_allocator half = {.struct_size = sizeof half};
    struct {
        facekp_load_options options;
        facekp_status status;
    } cases[] = {
        {{.architecture = 5}, FACEKP_ERROR_ARGUMENT},
        {{.architecture = -1}, FACEKP_ERROR_ARGUMENT},
        {{.normalization = 3}, FACEKP_ERROR_ARGUMENT},
        {{.activation = 3}, FACEKP_ERROR_ARGUMENT},
        {{.cpu = "z80"}, FACEKP_ERROR_ARGUMENT},
        {{.allocator = &half}, FACEKP_ERROR_ARGUMENT},
        {{.random_weights = 1}, FACEKP_ERROR_ARGUMENT},
        {{.architecture = FACEKP_RESNET18}, FACEKP_ERROR_TENSOR},
    };
    char path[SMALL_PATH_BYTES];
    small_model_write(&small_dino, NULL, 0, NULL, path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].options.struct_size = sizeof cases[i].options;
        facekp_model *model;
        ck_assert_int_eq(facekp_model_load(path, &cases[i].options, &model), cases[i].status);
        ck_assert_ptr_null(model);
    }
    unlink(path);
    facekp_model *model;
    ck_assert_int_eq(facekp_model_load(NULL, NULL, &model), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_model_load_memory(NULL, 8, NULL, &model), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_model_load("x", NULL, NULL), FACEKP_ERROR_ARGUMENT);
}
END_TEST

START_TEST(memory_and_file_give_the_same_model) {
    char path[SMALL_PATH_BYTES];
    small_model_write(&small_dino, NULL, 0, NULL, path);
    fkp_file file;
    ck_assert_int_eq(fkp_file_open(path, &file, NULL), FACEKP_OK);
    unsigned char *copy = malloc(file.size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, file.data, file.size);
    const size_t size = file.size;
    fkp_file_close(&file);
    facekp_model *models[2];
    ck_assert_int_eq(facekp_model_load(path, NULL, &models[0]), FACEKP_OK);
    ck_assert_int_eq(facekp_model_load_memory(copy, size, NULL, &models[1]), FACEKP_OK);
    memset(copy, 0xff, size);
    free(copy);
    unlink(path);
    float input[32 * 32], outputs[2][136];
    for (int i = 0; i < 32 * 32; i++) input[i] = (float)(i % 17) / 17.0f;
    for (int i = 0; i < 2; i++) {
        facekp_session *session;
        ck_assert_int_eq(facekp_session_open(models[i], NULL, &session), FACEKP_OK);
        ck_assert_int_eq(facekp_session_run(session, input, 1, outputs[i], 136), FACEKP_OK);
        facekp_session_free(session);
        facekp_model_free(models[i]);
    }
    ck_assert_mem_eq(outputs[0], outputs[1], sizeof outputs[0]);
}
END_TEST

/* ---- converting ---- */

static off_t size_of(const char *path) {
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_size;
}

START_TEST(conversion_writes_what_loads) {
    char input[SMALL_PATH_BYTES], output[SMALL_PATH_BYTES + 8];
    const fkp_metadata extra = {"license", "CC0"};
    small_model_write(&small_dino, &extra, 1, NULL, input);
    snprintf(output, sizeof output, "%s.out", input);
    ck_assert_int_eq(facekp_convert(input, output, FACEKP_BF16, NULL), FACEKP_OK);
    ck_assert_int_lt(size_of(output), size_of(input) * 51 / 100);
    facekp_model *model;
    facekp_model_info info = FACEKP_MODEL_INFO_INIT;
    ck_assert_int_eq(facekp_model_load(output, NULL, &model), FACEKP_OK);
    ck_assert_int_eq(facekp_model_get_info(model, &info), FACEKP_OK);
    ck_assert_str_eq(info.precision, "BF16");
    ck_assert_str_eq(info.license, "CC0");
    facekp_model_free(model);
    unlink(output);

    char message[FKP_MESSAGE_BYTES] = "";
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.message = message;
    options.message_size = sizeof message;
    ck_assert_int_eq(facekp_convert(input, "/no/such/folder/x", FACEKP_F16, &options), FACEKP_ERROR_WRITE);
    ck_assert_ptr_nonnull(strstr(message, "/no/such/folder/x"));
    ck_assert_int_eq(facekp_convert(input, output, 4, NULL), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_convert(NULL, output, 0, NULL), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_convert("/no/such/file", output, 0, NULL), FACEKP_ERROR_OPEN);
    unlink(input);
}
END_TEST

/* ---- decoding alone ---- */

START_TEST(decoding_alone) {
    const float raw[4] = {0.0f, 1.0f, -1.5f, 0.25f};
    float points[4];
    ck_assert_int_eq(facekp_decode_regression(raw, 1, 2, points), FACEKP_OK);
    ck_assert(points[0] == 100.0f && points[1] == 150.0f && points[2] == 25.0f && points[3] == 112.5f);
    ck_assert_int_eq(facekp_decode_regression(raw, 0, 2, points), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_decode_regression(raw, SIZE_MAX, 2, points), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_decode_regression(NULL, 1, 2, points), FACEKP_ERROR_ARGUMENT);

    static float map[56 * 112];
    map[20 * 112 + 50] = 40.0f;
    float confidence = -1.0f;
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    for (int32_t decode = FACEKP_DECODE_DEFAULT; decode <= FACEKP_DECODE_DARK; decode++) {
        options.decode = decode;
        ck_assert_int_eq(facekp_decode_heatmaps(map, 1, 1, 56, 112, &options, points, &confidence),
                         FACEKP_OK);
        ck_assert(fabsf(points[0] - 100.5f) < 0.01f && fabsf(points[1] - 81.5f) < 0.01f);
        ck_assert(confidence > 0.99f && confidence <= 1.0f);
    }
    options.decode = 4;
    ck_assert_int_eq(facekp_decode_heatmaps(map, 1, 1, 56, 112, &options, points, NULL),
                     FACEKP_ERROR_ARGUMENT);
    options = (facekp_predict_options){.struct_size = sizeof options, .window = 4};
    ck_assert_int_eq(facekp_decode_heatmaps(map, 1, 1, 56, 112, &options, points, NULL),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_decode_heatmaps(map, 1, 1, 0, 112, NULL, points, NULL), FACEKP_ERROR_ARGUMENT);
}
END_TEST

/* ---- pictures ---- */

START_TEST(pictures) {
    char path[] = "/tmp/facekp-picture-XXXXXX", message[FKP_MESSAGE_BYTES] = "";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    facekp_picture *picture, *other;
    ck_assert_int_eq(facekp_picture_create(40, 30, 3, &picture), FACEKP_OK);
    const float points[4] = {10.0f, 12.0f, (float)NAN, 3.0f};
    ck_assert_int_eq(facekp_picture_draw_points(picture, points, 2, 2.0f, 0x00ff00), FACEKP_OK);
    ck_assert_uint_eq(facekp_picture_pixels(picture)[3 * (12 * 40 + 10) + 1], 255);
    ck_assert_int_eq(facekp_picture_write(picture, path, message, sizeof message), FACEKP_OK);
    ck_assert_int_eq(facekp_picture_read(path, 3, message, sizeof message, &other), FACEKP_OK);
    ck_assert_mem_eq(facekp_picture_pixels(picture), facekp_picture_pixels(other), 40 * 30 * 3);
    facekp_picture_free(other);
    ck_assert_int_eq(facekp_picture_resize(picture, 80, 60, &other), FACEKP_OK);
    facekp_image image = FACEKP_IMAGE_INIT;
    ck_assert_int_eq(facekp_picture_get_image(other, &image), FACEKP_OK);
    ck_assert(image.width == 80 && image.height == 60 && image.format == FACEKP_RGB8);
    facekp_picture_free(other);

    ck_assert_int_eq(facekp_picture_write(picture, "/no/such/folder/x.png", message, sizeof message),
                     FACEKP_ERROR_WRITE);
    ck_assert_ptr_nonnull(strstr(message, "x.png"));
    ck_assert_int_eq(facekp_picture_draw_points(picture, points, 2, 0.0f, 0), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_picture_read(path, 2, message, sizeof message, &other), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_picture_read("/no/such.png", 1, NULL, 0, &other), FACEKP_ERROR_OPEN);
    ck_assert_int_eq(facekp_picture_create(0, 4, 1, &other), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_picture_create(32767, 32767, 3, &other), FACEKP_ERROR_LIMIT);
    ck_assert_ptr_null(other);
    facekp_picture_free(picture);
    unlink(path);
}
END_TEST

START_TEST(a_heatmap_becomes_colours_from_dark_to_bright) {
    const float map[4] = {-3.0f, 0.0f, 5.0f, (float)NAN};
    facekp_picture *picture;
    ck_assert_int_eq(facekp_picture_from_heatmap(map, 4, 1, &picture), FACEKP_OK);
    const uint8_t *pixels = facekp_picture_pixels(picture);
    int sums[4];
    for (int i = 0; i < 4; i++) sums[i] = pixels[3 * i] + pixels[3 * i + 1] + pixels[3 * i + 2];
    ck_assert(sums[0] < sums[1] && sums[1] < sums[2] && sums[3] == sums[0]);
    facekp_picture_free(picture);
    ck_assert_int_eq(facekp_picture_from_heatmap(NULL, 4, 1, &picture), FACEKP_ERROR_ARGUMENT);
}
END_TEST

START_TEST(null_handles_are_harmless) {
    facekp_model_free(NULL);
    facekp_session_free(NULL);
    facekp_picture_free(NULL);
    facekp_model_info info = FACEKP_MODEL_INFO_INIT;
    facekp_image image = FACEKP_IMAGE_INIT;
    facekp_session *session;
    ck_assert_int_eq(facekp_model_get_info(NULL, &info), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_open(NULL, NULL, &session), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_run(NULL, NULL, 0, NULL, 0), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_predict(NULL, NULL, 0, NULL, NULL, 0, NULL, NULL), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_picture_get_image(NULL, &image), FACEKP_ERROR_ARGUMENT);
    ck_assert_uint_eq(facekp_model_output_count(NULL), 0);
    ck_assert_int_eq(facekp_model_layer_count(NULL), 0);
    ck_assert_uint_eq(facekp_session_memory(NULL), 0);
    ck_assert_str_eq(facekp_session_message(NULL), "");
    ck_assert_ptr_null(facekp_picture_pixels(NULL));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("api");
    TCase *test = tcase_create("api");
    tcase_set_timeout(test, 120);
    tcase_add_test(test, structs_of_other_versions_follow_the_rules);
    tcase_add_test(test, structs_from_before_they_grew_are_good);
    tcase_add_test(test, structs_that_are_filled_follow_the_rules);
    tcase_add_test(test, init_functions_never_write_beyond_the_size_they_are_told);
    tcase_add_test(test, a_model_describes_itself);
    tcase_add_test(test, a_failed_load_says_which_file_and_why);
    tcase_add_test(test, metadata_that_makes_no_sense_is_refused);
    tcase_add_test(test, options_of_a_load_are_checked);
    tcase_add_test(test, memory_and_file_give_the_same_model);
    tcase_add_test(test, conversion_writes_what_loads);
    tcase_add_test(test, decoding_alone);
    tcase_add_test(test, pictures);
    tcase_add_test(test, a_heatmap_becomes_colours_from_dark_to_bright);
    tcase_add_test(test, null_handles_are_harmless);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
