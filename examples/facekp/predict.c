#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "drawing.h"
#include "facekp/facekp.h"
#include "model_file.h"
#include "options.h"
#include "paths.h"
#include "progress.h"
#include "results.h"

/* The command line. */
typedef struct predict_settings {
    const char *model, *out, *heatmaps, *output, *cpu;
    box_list boxes;
    bool csv, json, pts, second_pass, keep_bias, measure;
    int64_t threads, window, seed;
    int32_t decode, architecture, random;
} predict_settings;

/* What stays from image to image. */
typedef struct predict_state {
    const predict_settings *settings;
    facekp_model *model;
    facekp_model_info info;
    facekp_session *session;
    size_t faces; /* of an image */
    size_t keypoints;
    float *points, *confidences, *transforms, *raw; /* raw: of one face, for heatmaps */
    int32_t *statuses;
    result_writer writer;
    progress_line progress;
    bool many; /* images */
} predict_state;

static const char *const decode_names[] = {"default", "argmax", "soft-argmax", "dark", NULL};

static int parse(predict_settings *settings, int argc, char **argv, char ***images, int *count) {
    const option_entry options[] = {
        {"model", OPTION_TEXT, &settings->model, "FILE",
         "weights; default: the model that comes with the tool", 0, 0, NULL},
        {"box", OPTION_BOXES, &settings->boxes, "X,Y,W,H",
         "box around the 68 points of a face, in every image; repeatable", 0, 0, NULL},
        {"csv", OPTION_FLAG, &settings->csv, NULL, "print a row per face (the default)", 0, 0, NULL},
        {"json", OPTION_FLAG, &settings->json, NULL, "print JSON", 0, 0, NULL},
        {"pts", OPTION_FLAG, &settings->pts, NULL, "print 300-W .pts", 0, 0, NULL},
        {"output", OPTION_TEXT, &settings->output, "PATH",
         "print there; with --pts also a folder: a file per face", 0, 0, NULL},
        {"out", OPTION_TEXT, &settings->out, "PNG", "draw the points; for many images a folder", 0, 0, NULL},
        {"heatmaps", OPTION_TEXT, &settings->heatmaps, "FOLDER", "write each heatmap and their sum as PNG", 0,
         0, NULL},
        {"decode", OPTION_CHOICE, &settings->decode, "HOW", "heatmaps to points: argmax, soft-argmax, dark",
         0, 0, decode_names},
        {"window", OPTION_INTEGER, &settings->window, "CELLS",
         "side of the window of soft-argmax, odd, 3 to 31", 3, 31, NULL},
        {"second-pass", OPTION_FLAG, &settings->second_pass, NULL, "look again, around the first points", 0,
         0, NULL},
        {"keep-bias", OPTION_FLAG, &settings->keep_bias, NULL,
         "leave the training labels' offset in the points", 0, 0, NULL},
        {"threads", OPTION_INTEGER, &settings->threads, "N", "default: all cores", 1, 256, NULL},
        {"cpu", OPTION_TEXT, &settings->cpu, "LEVEL", "at most portable, avx2, avx512 or amx", 0, 0, NULL},
        {"measure", OPTION_FLAG, &settings->measure, NULL,
         "time ways of computing before the first image, use the fastest", 0, 0, NULL},
        {"architecture", OPTION_CHOICE, &settings->architecture, "NAME",
         "what the model file holds, where it does not tell", 0, 0, architecture_names},
        {"random", OPTION_CHOICE, &settings->random, "NAME", "random weights: direct, resnet18, dino or unet",
         0, 0, architecture_names},
        {"seed", OPTION_INTEGER, &settings->seed, "N", "of the random weights", 0, 9007199254740992.0, NULL},
    };
    const command_usage usage = {
        .line = "facekp predict [OPTIONS] IMAGE...",
        .about = "Finds 68 keypoints in each PNG image: in the whole image, a face crop, or in "
                 "the boxes given.\nPoints are pixels of the image; the centre of its first "
                 "pixel is (0, 0).",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .least = 1,
        .most = -1};
    int code = parse_options(&usage, argc, argv, images, count);
    if (code == PARSED && settings->csv + settings->json + settings->pts > 1) {
        complain("only one of --csv, --json and --pts can be printed");
        code = EXIT_USAGE;
    }
    return code;
}

/* ---- opening ---- */

static bool open_model(predict_state *prediction) {
    const predict_settings *settings = prediction->settings;
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.architecture = settings->random >= 0 ? settings->random + 1 : settings->architecture + 1;
    load.random_weights = settings->random >= 0;
    load.seed = (uint64_t)settings->seed;
    load.cpu = settings->cpu;
    load.measure = settings->measure;
    prediction->model = load_model(settings->model, &load);
    if (prediction->model == NULL) return false;
    prediction->info = (facekp_model_info)FACEKP_MODEL_INFO_INIT;
    facekp_session_options open = FACEKP_SESSION_OPTIONS_INIT;
    open.threads = settings->threads == 0 ? FACEKP_THREADS_ALL : (int32_t)settings->threads;
    facekp_status status = facekp_model_get_info(prediction->model, &prediction->info);
    if (status == FACEKP_OK) status = facekp_session_open(prediction->model, &open, &prediction->session);
    if (status != FACEKP_OK) complain("the model could not be opened: %s", facekp_status_string(status));
    return status == FACEKP_OK;
}

static bool open_buffers(predict_state *prediction) {
    const size_t faces = prediction->faces, keypoints = prediction->keypoints;
    prediction->points = calloc(faces * keypoints, 2 * sizeof(float));
    prediction->confidences = calloc(faces * keypoints, sizeof(float));
    prediction->transforms = calloc(faces, 6 * sizeof(float));
    prediction->statuses = calloc(faces, sizeof(int32_t));
    if (prediction->settings->heatmaps != NULL)
        prediction->raw = calloc(facekp_model_output_count(prediction->model), sizeof(float));
    const bool enough = prediction->points != NULL && prediction->confidences != NULL &&
                        prediction->transforms != NULL && prediction->statuses != NULL &&
                        (prediction->settings->heatmaps == NULL || prediction->raw != NULL);
    if (!enough) complain("no memory for %zu faces", faces);
    return enough;
}

/* Returns PARSED, or the exit code with which to leave. */
static int open_prediction(predict_state *prediction) {
    const predict_settings *settings = prediction->settings;
    if (!open_model(prediction)) return EXIT_MODEL;
    prediction->faces = settings->boxes.count > 0 ? settings->boxes.count : 1;
    prediction->keypoints = (size_t)prediction->info.keypoints;
    if (settings->heatmaps != NULL && prediction->info.output_kind != FACEKP_OUTPUT_HEATMAPS) {
        complain("--heatmaps: a model of architecture %s has none", prediction->info.architecture);
        return EXIT_USAGE;
    }
    if (!open_buffers(prediction)) return EXIT_MODEL;
    if (settings->heatmaps != NULL && !make_folder(settings->heatmaps)) return EXIT_INPUT;
    if (settings->out != NULL && prediction->many && !make_folder(settings->out)) return EXIT_INPUT;
    const result_format format = settings->json ? RESULT_JSON : settings->pts ? RESULT_PTS : RESULT_CSV;
    return results_open(&prediction->writer, format, prediction->keypoints, settings->output) ? PARSED
                                                                                              : EXIT_INPUT;
}

static void close_prediction(predict_state *prediction) {
    free(prediction->points);
    free(prediction->confidences);
    free(prediction->transforms);
    free(prediction->raw);
    free(prediction->statuses);
    facekp_session_free(prediction->session);
    facekp_model_free(prediction->model);
}

/* ---- one image ---- */

/* Face `i` of an image, into its place in the buffers. */
static facekp_status find_points(predict_state *prediction, const facekp_image *image, size_t i) {
    const predict_settings *settings = prediction->settings;
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    options.decode = settings->decode;
    options.window = (int32_t)settings->window;
    options.second_pass = settings->second_pass;
    options.keep_label_bias = settings->keep_bias;
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = prediction->points + i * 2 * prediction->keypoints;
    faces.confidences = prediction->confidences + i * prediction->keypoints;
    faces.transforms = prediction->transforms + 6 * i;
    faces.raw = prediction->raw;
    const float *box = settings->boxes.count > 0 ? settings->boxes.values + 4 * i : NULL;
    return facekp_session_predict(prediction->session, &image, 1, box, NULL, 1, &options, &faces);
}

/* Writes what was found of a face, or, with `error`, that it failed. True when all went well. */
static bool report(predict_state *prediction, const char *file, size_t i, const char *error) {
    const predict_settings *settings = prediction->settings;
    const face_result result = {.file = file,
                                .face = i,
                                .box = settings->boxes.count > 0 ? settings->boxes.values + 4 * i : NULL,
                                .error = error,
                                .points = prediction->points + i * 2 * prediction->keypoints,
                                .confidences = prediction->confidences + i * prediction->keypoints,
                                .transform = prediction->transforms + 6 * i};
    bool good = results_write(&prediction->writer, &result);
    if (error != NULL) {
        progress_pause(&prediction->progress);
        complain("%s", error);
        good = false;
    } else if (settings->heatmaps != NULL) {
        good = draw_heatmaps(file, settings->heatmaps, i, prediction->raw, &prediction->info) && good;
    }
    return good;
}

static bool predict_faces(predict_state *prediction, const char *file, const facekp_picture *picture) {
    facekp_image image = FACEKP_IMAGE_INIT;
    if (facekp_picture_get_image(picture, &image) != FACEKP_OK) return false;
    bool good = true;
    for (size_t i = 0; i < prediction->faces; i++) {
        prediction->statuses[i] = find_points(prediction, &image, i);
        char message[1024];
        snprintf(message, sizeof message, "%s: %s", file, facekp_session_message(prediction->session));
        good = report(prediction, file, i, prediction->statuses[i] == FACEKP_OK ? NULL : message) && good;
    }
    return good;
}

static bool predict_image(predict_state *prediction, const char *file) {
    char message[1024] = "", path[PATH_BYTES];
    facekp_picture *picture;
    if (facekp_picture_read(file, 1, message, sizeof message, &picture) != FACEKP_OK) {
        for (size_t i = 0; i < prediction->faces; i++) report(prediction, file, i, message);
        return false;
    }
    const bool good = predict_faces(prediction, file, picture);
    facekp_picture_free(picture);
    const char *out = prediction->settings->out;
    if (out == NULL) return good;
    if (prediction->many || is_folder(out)) {
        if (!output_path(path, out, file, 0, ".png")) return false;
        out = path;
    }
    return draw_overlay(file, out, prediction->points, prediction->statuses, prediction->faces,
                        prediction->keypoints) &&
           good;
}

int command_predict(int argc, char **argv) {
    predict_settings settings = {.architecture = -1, .random = -1};
    char **images;
    int count;
    int code = parse(&settings, argc, argv, &images, &count);
    if (code != PARSED) return code;
    predict_state prediction = {.settings = &settings, .many = count > 1};
    code = open_prediction(&prediction);
    if (code == PARSED) {
        bool good = true;
        progress_begin(&prediction.progress, (size_t)count, "images");
        for (int i = 0; i < count; i++) {
            good = predict_image(&prediction, images[i]) && good;
            progress_show(&prediction.progress, (size_t)i + 1, NULL);
        }
        progress_end(&prediction.progress, (size_t)count, NULL);
        good = results_close(&prediction.writer) && good;
        code = good ? EXIT_DONE : EXIT_INPUT;
    }
    close_prediction(&prediction);
    return code;
}
