/* Trainings of seconds: rendered faces, a transformer of one block, callbacks that stop. */
#ifndef SMALL_TRAINING_H
#define SMALL_TRAINING_H

#include "facekp/train.h"
#include "support.h"
#include "support/whole_file.h"

/* A folder with faces.csv, which the tests of a program share. */
typedef struct small_data {
    char folder[PATH_BYTES], csv[PATH_BYTES];
} small_data;

static inline void small_data_make(small_data *data, int64_t faces) {
    scratch_folder(data->folder);
    facekp_train_synthesis synthesis;
    facekp_train_synthesis_init(&synthesis, sizeof synthesis);
    synthesis.folder = data->folder;
    synthesis.count = faces;
    synthesis.size = 64;
    ck_assert_int_eq(facekp_train_synth(&synthesis), FACEKP_OK);
    join_path(data->csv, data->folder, "faces.csv");
}

/* Two epochs of four steps, with augmentation and a new order each epoch. */
static inline facekp_train_options small_training(const small_data *data) {
    facekp_train_options options;
    facekp_train_options_init(&options, sizeof options);
    ck_assert_int_eq(facekp_train_recipe("dino-tuned", &options), FACEKP_OK);
    options.train_csv = data->csv;
    options.input_size = 32;
    options.dimension = 64;
    options.depth = 1;
    options.heads = 1;
    options.epochs = 2;
    options.batch = 3;
    options.seed = 5;
    return options;
}

/* Opens a training that must open. */
static inline facekp_train *open_training(const facekp_train_options *given) {
    char message[512] = "";
    facekp_train_options options = *given;
    options.message = message;
    options.message_size = sizeof message;
    facekp_train *train;
    facekp_status status = facekp_train_open(&options, &train);
    ck_assert_msg(status == FACEKP_OK, "%s", message);
    return train;
}

/* Opens, runs to the expected end, frees. */
static inline void run_training(const facekp_train_options *options, facekp_status expected) {
    facekp_train *train = open_training(options);
    facekp_status status = facekp_train_run(train);
    ck_assert_msg(status == expected, "%d: %s", (int)status, facekp_train_message(train));
    facekp_train_free(train);
}

/* Opening must fail so, with a message that has the word. */
static inline void check_open_fails(const facekp_train_options *given, facekp_status expected,
                                    const char *word) {
    char message[512] = "";
    facekp_train_options options = *given;
    options.message = message;
    options.message_size = sizeof message;
    facekp_train *train;
    facekp_status status = facekp_train_open(&options, &train);
    ck_assert_msg(status == expected, "%d: %s", (int)status, message);
    ck_assert_ptr_null(train);
    ck_assert_msg(strstr(message, word) != NULL, "\"%s\" is not in: %s", word, message);
}

static inline void check_same_files(const char *a, const char *b) {
    size_t size_a = 0, size_b = 1;
    unsigned char *bytes_a = read_whole_file(a, &size_a), *bytes_b = read_whole_file(b, &size_b);
    ck_assert_msg(bytes_a != NULL, "%s is not there", a);
    ck_assert_msg(bytes_b != NULL, "%s is not there", b);
    ck_assert_msg(size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0, "%s and %s differ", a, b);
    free(bytes_a);
    free(bytes_b);
}

/* For on_step: counts down, and stops at 0. */
static inline int32_t stop_at_zero(void *user, const facekp_train_step *step) {
    ck_assert_uint_eq(step->struct_size, sizeof *step);
    return --*(int *)user == 0;
}

#endif
