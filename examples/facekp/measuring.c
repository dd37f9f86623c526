#include "measuring.h"

#include <string.h>

#include "command.h"

static const char *const splits[] = {"person", "video", NULL};
static const char *const decodings[] = {"default", "argmax", "soft-argmax", "dark", NULL};

void measuring_begin(measuring *settings, option_entry *entries) {
    *settings = (measuring){.split = -1, .threads = FACEKP_THREADS_ALL};
    const option_entry own[MEASURING_OPTIONS] = {
        {"csv", OPTION_TEXT, &settings->csv, "FILE", "faces with their points; needed", 0, 0, NULL},
        {"images", OPTION_TEXT, &settings->images, "FOLDER", "their images; default: named as the CSV", 0, 0,
         NULL},
        {"split", OPTION_CHOICE, &settings->split, "HOW",
         "only the faces that training holds out: by person or video", 0, 0, splits},
        {"held-out", OPTION_NUMBER, &settings->held_out, "PART", "how many of them, as in the training; 0.1",
         0.0, 1.0, NULL},
        {"split-seed", OPTION_INTEGER, &settings->split_seed, "N", "as in the training; 0", 0.0, 9e15, NULL},
        {"flip", OPTION_FLAG, &settings->flip, NULL, "average with the prediction of the mirror image", 0, 0,
         NULL},
        {"remove-bias", OPTION_FLAG, &settings->remove_bias, NULL,
         "take the label bias of the model out, as predict does", 0, 0, NULL},
        {"second-pass", OPTION_FLAG, &settings->second_pass, NULL,
         "look again in a crop around the first points", 0, 0, NULL},
        {"decode", OPTION_CHOICE, &settings->decode, "HOW", "heatmaps: argmax, soft-argmax or dark", 0, 0,
         decodings},
        {"skip-bad", OPTION_FLAG, &settings->skip_bad, NULL, "pass over bad rows and images with a warning",
         0, 0, NULL},
        {"threads", OPTION_INTEGER, &settings->threads, "N", "default: all cores", 1.0, 256.0, NULL},
    };
    memcpy(entries, own, sizeof own);
}

static void show_warning(void *user, int32_t level, const char *message) {
    (void)user;
    if (level == FACEKP_LOG_WARNING) complain("%s", message);
}

/* Whether it was the model, of all things an evaluation reads, that could not be used: a message begins with
 * the file that it is about. */
static bool is_about(const char *message, const char *path) {
    const size_t length = strlen(path);
    return strncmp(message, path, length) == 0 && message[length] == ':';
}

int measure(const measuring *settings, const char *model, facekp_train_report **report) {
    *report = NULL;
    if (settings->csv == NULL) {
        complain("faces to measure on are needed: --csv FILE");
        return EXIT_USAGE;
    }
    char message[512] = "";
    facekp_train_evaluation evaluation;
    facekp_train_evaluation_init(&evaluation, sizeof evaluation);
    evaluation.message = message;
    evaluation.message_size = sizeof message;
    evaluation.log = show_warning;
    evaluation.model = model;
    evaluation.csv = settings->csv;
    evaluation.images = settings->images;
    evaluation.split = settings->split < 0 ? NULL : splits[settings->split];
    evaluation.held_out = settings->held_out;
    evaluation.split_seed = (uint64_t)settings->split_seed;
    evaluation.skip_bad = settings->skip_bad;
    evaluation.flip = settings->flip;
    evaluation.remove_bias = settings->remove_bias;
    evaluation.second_pass = settings->second_pass;
    evaluation.decode = settings->decode;
    evaluation.threads = (int32_t)settings->threads;
    const facekp_status status = facekp_train_evaluate(&evaluation, report);
    if (status == FACEKP_OK) return EXIT_DONE;
    complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return is_about(message, model) ? EXIT_MODEL : EXIT_INPUT;
}
