/* For mkdtemp. */
#define _POSIX_C_SOURCE 200809L
/* Trainings from data to weights: the same bits on any threads, learning, stopping, and what can be wrong. */
#include "small_training.h"
#include "support/failing_allocator.h"
#include "weights/weights.h"

enum { LOG_BYTES = 8192 };

static small_data data, sixteen, few;

static void make_data(void) {
    small_data_make(&data, 14);
    small_data_make(&sixteen, 16);
    small_data_make(&few, 3);
}

static void remove_data(void) {
    remove_folder(data.folder);
    remove_folder(sixteen.folder);
    remove_folder(few.folder);
}

/* ---- bits ---- */

static const struct {
    const char *recipe, *variant;
    int32_t input_size, accumulate;
} networks[] = {{"direct", "elu", 64, 1},        {"direct-tuned", "relu", 64, 1},
                {"resnet18-tuned", NULL, 32, 1}, {"dino-tuned", "query", 32, 1},
                {"dino", "flatten", 32, 1},      {"unet-tuned", NULL, 32, 2}};

START_TEST(threads_do_not_change_a_bit) {
    char checkpoints[3][PATH_BYTES], outputs[3][PATH_BYTES], name[32];
    facekp_train_options options = small_training(&data);
    ck_assert_int_eq(facekp_train_recipe(networks[_i].recipe, &options), FACEKP_OK);
    options.variant = networks[_i].variant;
    options.input_size = networks[_i].input_size;
    options.accumulate = networks[_i].accumulate;
    options.dimension = 64;
    options.depth = options.heads = 1;
    options.width = 4;
    options.epochs = 1;
    options.batch = 3;
    if (options.groups != NULL) options.groups = "*:1"; /* nothing waits for a later epoch */
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "threads%d.ckpt", i + 1);
        join_path(checkpoints[i], data.folder, name);
        snprintf(name, sizeof name, "threads%d.safetensors", i + 1);
        join_path(outputs[i], data.folder, name);
        options.threads = i + 1;
        options.loader_threads = 3 - i;
        options.checkpoint = checkpoints[i];
        options.output = outputs[i];
        run_training(&options, FACEKP_OK);
    }
    for (int i = 1; i < 3; i++) {
        check_same_files(checkpoints[0], checkpoints[i]);
        check_same_files(outputs[0], outputs[i]);
    }
}
END_TEST

START_TEST(another_seed_is_another_training) {
    facekp_train_options options = small_training(&data);
    char outputs[2][PATH_BYTES];
    size_t sizes[2];
    unsigned char *bytes[2];
    for (int i = 0; i < 2; i++) {
        join_path(outputs[i], data.folder, i == 0 ? "one.safetensors" : "two.safetensors");
        options.output = outputs[i];
        options.seed = (uint64_t)i;
        run_training(&options, FACEKP_OK);
        bytes[i] = read_whole_file(outputs[i], &sizes[i]);
        ck_assert_ptr_nonnull(bytes[i]);
    }
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_ne(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
}
END_TEST

/* ---- learning ---- */

static int32_t keep_last(void *user, const facekp_train_epoch *epoch) {
    *(facekp_train_epoch *)user = *epoch;
    return 0;
}

/* Networks as small as they come, each with as many epochs as it takes. */
static const struct {
    const char *architecture;
    int32_t input_size, epochs;
    double learning_rate;
} overfits[] = {
    {"direct", 64, 60, 1e-3}, {"resnet18", 32, 50, 1e-3}, {"dino", 32, 1500, 1e-3}, {"unet", 32, 200, 1e-2}};

/* The epoch of the lowest training MSE: at a constant learning rate Adam leaps up again now and then, and
 * where it does depends on the last bits. */
static int32_t keep_lowest(void *user, const facekp_train_epoch *epoch) {
    facekp_train_epoch *lowest = user;
    if (epoch->epoch == 0 || epoch->train_mse < lowest->train_mse) *lowest = *epoch;
    return 0;
}

START_TEST(sixteen_faces_are_learned_by_heart) {
    facekp_train_epoch lowest = {0};
    facekp_train_options options;
    facekp_train_options_init(&options, sizeof options);
    options.train_csv = sixteen.csv;
    options.split = "none";
    options.architecture = overfits[_i].architecture;
    options.input_size = overfits[_i].input_size;
    options.epochs = overfits[_i].epochs;
    options.learning_rate = overfits[_i].learning_rate;
    options.batch = 16;
    options.seed = 1;
    options.no_dropout = 1;
    options.threads = FACEKP_THREADS_ALL;
    options.dimension = 64;
    options.depth = options.heads = 1;
    options.width = 8;
    options.heatmap_sigma = 1.0;
    options.on_epoch = keep_lowest;
    options.callback_user = &lowest;
    run_training(&options, FACEKP_OK);
    ck_assert_msg(lowest.train_mse < 0.001, "the lowest training MSE of %s is %g", options.architecture,
                  lowest.train_mse);
    ck_assert(isnan(lowest.validation_loss) && isnan(lowest.validation.mse));
}
END_TEST

static const struct {
    const char *recipe;
    int32_t input_size;
} measured[] = {{"dino-tuned", 32}, {"unet-tuned", 32}, {"direct", 64}};

/* The best epoch's weights are what validation measured: facekp_train_evaluate() says the same of the file.
 */
START_TEST(the_output_is_the_best_epoch) {
    facekp_train_epoch last = {0};
    char output[PATH_BYTES], log[PATH_BYTES];
    facekp_train_options options = small_training(&data);
    ck_assert_int_eq(facekp_train_recipe(measured[_i].recipe, &options), FACEKP_OK);
    options.input_size = measured[_i].input_size;
    options.dimension = 64;
    options.depth = options.heads = 1;
    options.width = 4;
    options.batch = 3;
    join_path(output, data.folder, "best.safetensors");
    join_path(log, data.folder, "best.csv");
    options.output = output;
    options.epoch_log = log;
    options.epochs = 3;
    options.on_epoch = keep_last;
    options.callback_user = &last;
    run_training(&options, FACEKP_OK);
    size_t size;
    char *text = (char *)read_whole_file(log, &size), *line = text;
    ck_assert_ptr_nonnull(text);
    text[size - 1] = '\0';
    double best = INFINITY;
    for (int epoch = 0; epoch < 3; epoch++) {
        line = strchr(line, '\n') + 1;
        double validation = NAN;
        ck_assert_int_eq(sscanf(line, "%*d,%*f,%*f,%*f,%*f,%lf", &validation), 1);
        best = fmin(best, validation);
    }
    ck_assert_ptr_null(strchr(line, '\n'));
    free(text);
    facekp_train_evaluation evaluation;
    facekp_train_evaluation_init(&evaluation, sizeof evaluation);
    evaluation.model = output;
    evaluation.csv = data.csv;
    evaluation.split = "person";
    facekp_train_report *report;
    facekp_train_metrics metrics = {.struct_size = sizeof metrics};
    ck_assert_int_eq(facekp_train_evaluate(&evaluation, &report), FACEKP_OK);
    ck_assert_int_eq(facekp_train_report_get_metrics(report, &metrics), FACEKP_OK);
    facekp_train_report_free(report);
    ck_assert_int_eq(metrics.faces, last.validation.faces);
    ck_assert_double_eq_tol(metrics.mse, best, 1e-4 * best);
}
END_TEST

START_TEST(patience_ends_a_training) {
    facekp_train_epoch last = {0};
    facekp_train_options options = small_training(&data);
    options.epochs = 50;
    options.patience = 2;
    options.schedule = "constant";
    options.learning_rate = 1.0; /* so high that it soon gets worse */
    options.ema_decay = 0.0;
    options.on_epoch = keep_last;
    options.callback_user = &last;
    run_training(&options, FACEKP_OK);
    ck_assert_int_lt(last.epoch, 49);
    ck_assert_int_eq(last.best, 0);
}
END_TEST

/* ---- starting from other weights ---- */

/* What the log said, line after line. */
static void collect(void *user, int32_t level, const char *message) {
    (void)level;
    char *text = user;
    snprintf(text + strlen(text), LOG_BYTES - strlen(text), "%s\n", message);
}

/* The numbers of a tensor of a file; free() them. */
static float *read_tensor(const char *path, const char *name, size_t *count) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, NULL), FACEKP_OK);
    const fkp_tensor *tensor = fkp_weights_find(weights, name);
    ck_assert_msg(tensor != NULL, "%s has no %s", path, name);
    float *values = malloc(tensor->count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    fkp_tensor_read(tensor, values);
    *count = tensor->count;
    fkp_weights_close(weights);
    return values;
}

static bool same_tensor(const char *a, const char *b, const char *name) {
    size_t count_a, count_b;
    float *values_a = read_tensor(a, name, &count_a), *values_b = read_tensor(b, name, &count_b);
    bool same = count_a == count_b && memcmp(values_a, values_b, count_a * sizeof *values_a) == 0;
    free(values_a);
    free(values_b);
    return same;
}

/* A step so small that no weight moves shows what a training starts from. */
static facekp_train_options motionless(const char *output) {
    facekp_train_options options = small_training(&data);
    options.optimiser = "sgd";
    options.schedule = "constant";
    options.learning_rate = 1e-38;
    options.weight_decay = 0.0;
    options.ema_decay = 0.0;
    options.epochs = 1;
    options.output = output;
    return options;
}

START_TEST(other_weights_are_taken_as_far_as_they_fit) {
    char first[PATH_BYTES], second[PATH_BYTES], log[LOG_BYTES] = "";
    join_path(first, data.folder, "first.safetensors");
    join_path(second, data.folder, "second.safetensors");
    facekp_train_options options = motionless(first);
    run_training(&options, FACEKP_OK);
    options = motionless(second);
    options.seed = 77; /* other random numbers */
    options.weights = first;
    options.log = collect;
    options.log_user = log;
    run_training(&options, FACEKP_OK);
    check_same_files(first, second);
    ck_assert_ptr_nonnull(strstr(log, "21 of 21 tensors"));
    /* The other head takes the backbone, keeps its own random last layer, and says both by name. */
    log[0] = '\0';
    options.variant = "flatten";
    run_training(&options, FACEKP_OK);
    ck_assert(same_tensor(first, second, "patch_embed.proj.weight"));
    ck_assert(same_tensor(first, second, "blocks.0.mlp.fc2.bias"));
    ck_assert_ptr_nonnull(strstr(log, "query: not used"));
    ck_assert_ptr_nonnull(strstr(log, "fc.4.weight: missing in the file"));
    ck_assert_ptr_nonnull(strstr(log,
                                 "18 of 24 tensors taken from the weights file, of patch_embed, cls_token, "
                                 "pos_embed, blocks, norm; the others start from random numbers"));
    ck_assert_ptr_null(strstr(log, "blocks.0"));
    ck_assert_int_eq(facekp_train_recipe("unet", &options), FACEKP_OK);
    options.variant = NULL;
    options.input_size = 32;
    options.width = 2;
    check_open_fails(&options, FACEKP_ERROR_TENSOR, "do not fit the unet");
}
END_TEST

/* ---- what is trained on ---- */

/* The squared error of the first epoch of mirrored faces, with weights that do not move. */
static facekp_train_epoch mirrored(double bias_x, double bias_y, const char *extra_csv) {
    facekp_train_epoch last = {0};
    facekp_train_options options = motionless(NULL);
    options.random_crop = 0;
    options.shift = options.zoom = options.rotation = options.brightness = options.contrast = options.gamma =
        options.blur = options.noise = options.occlusion = 0.0;
    options.flip = 1.0;
    options.label_bias_x = bias_x;
    options.label_bias_y = bias_y;
    options.extra_csv = extra_csv;
    options.batch = extra_csv == NULL ? 13 : 27; /* all of them */
    options.on_epoch = keep_last;
    options.callback_user = &last;
    run_training(&options, FACEKP_OK);
    return last;
}

/* mean (e - s)^2 + mean (e + s)^2 - 2 mean e^2 = 2 s^2, whatever the errors e are: of a shift of the targets
 * by s this is what is left. */
static double second_difference(double bias_x, double bias_y, const char *extra_csv) {
    const double above = mirrored(bias_x, bias_y, extra_csv).train_mse;
    const double below = mirrored(-bias_x, -bias_y, extra_csv).train_mse;
    return above + below - 2.0 * mirrored(0.0, 0.0, extra_csv).train_mse;
}

/* A bias b that is taken out before the mirror and put back after it moves the targets by 2 b in x and not at
 * all in y. Faces of the extra file, which have none, get it put on: b both ways. Those held out are not
 * mirrored, and stay as they are. */
START_TEST(the_label_bias_is_kept_out_of_the_mirror) {
    const double px = 1.0 / 50.0;
    ck_assert_double_eq_tol(second_difference(8.0, 6.0, NULL), 256.0 * px * px, 1e-4);
    const double own = 13.0 / 27.0, extra = 14.0 / 27.0;
    ck_assert_double_eq_tol(second_difference(8.0, 6.0, data.csv),
                            (own * 256.0 + extra * (64.0 + 36.0)) * px * px, 1e-4);
    ck_assert_double_eq(mirrored(8.0, 6.0, NULL).validation.mse, mirrored(0.0, 0.0, NULL).validation.mse);
}
END_TEST

static void check_close(const char *a, const char *b, const char *name, double tolerance) {
    size_t count, count_b;
    float *values = read_tensor(a, name, &count), *others = read_tensor(b, name, &count_b);
    ck_assert_uint_eq(count, count_b);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)values[i] - (double)others[i]) <= tolerance, "%s[%zu]: %g and %g", name, i,
                      (double)values[i], (double)others[i]);
    free(values);
    free(others);
}

/* Two batches of three to a step are a batch of six: SGD, since Adam would not see a wrong scale. */
START_TEST(accumulated_batches_are_one_batch) {
    char outputs[3][PATH_BYTES];
    static const char *const names[] = {"six.safetensors", "twice.safetensors", "start.safetensors"};
    for (int i = 0; i < 3; i++) {
        join_path(outputs[i], data.folder, names[i]);
        facekp_train_options options = motionless(outputs[i]);
        options.clip_norm = 0.0;
        options.momentum = 0.9;
        options.batch = i == 1 ? 3 : 6;
        options.accumulate = i == 1 ? 2 : 1;
        if (i < 2) options.learning_rate = 0.05;
        run_training(&options, FACEKP_OK);
    }
    check_close(outputs[0], outputs[1], "fc.bias", 1e-6);
    check_close(outputs[0], outputs[1], "blocks.0.attn.qkv.weight", 1e-6);
    ck_assert(!same_tensor(outputs[0], outputs[2], "fc.bias"));
}
END_TEST

/* ---- failures ---- */

START_TEST(a_loss_that_is_not_finite_stops) {
    char checkpoint[PATH_BYTES], kept[PATH_BYTES], output[PATH_BYTES];
    facekp_train_options options = small_training(&data);
    join_path(checkpoint, data.folder, "nan.ckpt");
    join_path(output, data.folder, "nan.safetensors");
    options.checkpoint = checkpoint;
    options.output = output;
    options.checkpoint_steps = 1;
    options.schedule = "constant";
    options.learning_rate = 1e30;
    facekp_train *train = open_training(&options);
    ck_assert_int_eq(facekp_train_run(train), FACEKP_ERROR_VALUE);
    ck_assert_ptr_nonnull(strstr(facekp_train_message(train), "epoch 0"));
    ck_assert_ptr_nonnull(strstr(facekp_train_message(train), "face0000"));
    ck_assert_int_eq(facekp_train_run(train), FACEKP_ERROR_STATE);
    facekp_train_free(train);
    ck_assert_int_ne(access(output, F_OK), 0);
    /* The last checkpoint is good: it opens, fails at the same step, and is as it was. */
    size_t size;
    unsigned char *bytes = read_whole_file(checkpoint, &size);
    ck_assert_ptr_nonnull(bytes);
    join_path(kept, data.folder, "kept.ckpt");
    FILE *file = fopen(kept, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(bytes);
    options.resume = 1;
    run_training(&options, FACEKP_ERROR_VALUE);
    check_same_files(checkpoint, kept);
}
END_TEST

START_TEST(what_cannot_be_trained_does_not_open) {
    facekp_train_options options = small_training(&data);
    options.train_csv = NULL;
    check_open_fails(&options, FACEKP_ERROR_ARGUMENT, "train_csv");
    options = small_training(&data);
    options.architecture = "transformer";
    check_open_fails(&options, FACEKP_ERROR_ARGUMENT, "transformer");
    options = small_training(&data);
    options.held_out = 0.99;
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "hold out");
    options = small_training(&data);
    options.keypoints = 69;
    options.flip = 0.0;
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "\"x68\" is missing");
    options = small_training(&data);
    options.loss = "cross-entropy";
    check_open_fails(&options, FACEKP_ERROR_ARGUMENT, "cross-entropy");
    options = small_training(&data);
    options.batch = -1;
    check_open_fails(&options, FACEKP_ERROR_ARGUMENT, "batch");
    options = small_training(&data);
    options.resume = 1;
    check_open_fails(&options, FACEKP_ERROR_ARGUMENT, "checkpoint");
    options = small_training(&data);
    options.weights = "absent.pth";
    check_open_fails(&options, FACEKP_ERROR_OPEN, "absent.pth");
}
END_TEST

/* Found when it is opened, not after an epoch of hours. */
START_TEST(what_cannot_be_written_does_not_open) {
    char path[PATH_BYTES];
    facekp_train_options options = small_training(&data);
    join_path(path, data.folder, "no/such/folder");
    options.checkpoint = path;
    check_open_fails(&options, FACEKP_ERROR_WRITE, "no/such/folder");
    options = small_training(&data);
    options.output = data.folder;
    check_open_fails(&options, FACEKP_ERROR_WRITE, "not a regular file");
    options = small_training(&data);
    options.output = "/dev/full";
    check_open_fails(&options, FACEKP_ERROR_WRITE, "/dev/full");
    options = small_training(&data);
    options.epoch_log = data.csv; /* another file of the user's */
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "no epoch log");
}
END_TEST

/* The CSV again with its last two columns gone. */
START_TEST(sixty_seven_points_are_refused) {
    char path[PATH_BYTES], images[PATH_BYTES];
    size_t size;
    char *text = (char *)read_whole_file(data.csv, &size);
    ck_assert_ptr_nonnull(text);
    text[size - 1] = '\0';
    join_path(path, data.folder, "67.csv");
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        for (int i = 0; i < 2; i++) *strrchr(line, ',') = '\0';
        fprintf(file, "%s\n", line);
    }
    fclose(file);
    free(text);
    facekp_train_options options = small_training(&data);
    join_path(images, data.folder, "faces");
    options.train_csv = path;
    options.train_images = images;
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "67 of 68 points");
    options.keypoints = 67;
    options.flip = 0.0;
    facekp_train_free(open_training(&options));
}
END_TEST

START_TEST(one_person_cannot_be_split) {
    small_data one;
    small_data_make(&one, 1);
    facekp_train_options options = small_training(&one);
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "too few");
    options.split = "none";
    run_training(&options, FACEKP_OK);
    remove_folder(one.folder);
}
END_TEST

static facekp_status open_and_run(const facekp_allocator *allocator, void *argument) {
    facekp_train_options options = *(const facekp_train_options *)argument;
    char message[512] = "";
    options.allocator = allocator;
    options.message = message;
    options.message_size = sizeof message;
    facekp_train *train;
    facekp_status status = facekp_train_open(&options, &train);
    if (status != FACEKP_OK) {
        ck_assert_ptr_null(train);
        ck_assert_str_ne(message, "");
        return status;
    }
    status = facekp_train_run(train);
    ck_assert_int_eq(strcmp(facekp_train_message(train), "") == 0, status == FACEKP_OK);
    facekp_train_free(train);
    return status;
}

/* With everything that a training may write and start from. */
START_TEST(every_failing_allocation) {
    char output[PATH_BYTES], log[PATH_BYTES], checkpoint[PATH_BYTES], weights[PATH_BYTES];
    join_path(weights, data.folder, "weights.safetensors");
    facekp_train_options options = motionless(weights);
    run_training(&options, FACEKP_OK);
    options = small_training(&few);
    join_path(output, data.folder, "faults.safetensors");
    join_path(log, data.folder, "faults.csv");
    join_path(checkpoint, data.folder, "faults.ckpt");
    options.output = output;
    options.epoch_log = log;
    options.checkpoint = checkpoint;
    options.weights = weights;
    options.extra_csv = few.csv;
    options.epochs = 1;
    options.batch = 2;
    check_every_allocation(open_and_run, &options);
    options.resume = 1; /* from the end, where there is nothing left to do */
    check_every_allocation(open_and_run, &options);
}
END_TEST

/* The engines of the other networks, batch by batch of a data set of its own to validate on. */
START_TEST(every_failing_allocation_of_an_engine) {
    static const char *const recipes[] = {"direct", "unet-tuned"};
    static const int32_t sizes[] = {64, 32};
    facekp_train_options options = small_training(&few);
    ck_assert_int_eq(facekp_train_recipe(recipes[_i], &options), FACEKP_OK);
    options.validation_csv = few.csv;
    options.input_size = sizes[_i];
    options.width = 2;
    options.epochs = 1;
    options.batch = 3;
    check_every_allocation(open_and_run, &options);
}
END_TEST

/* ---- options ---- */

START_TEST(options_by_name) {
    facekp_train_options options;
    char message[256] = "";
    facekp_train_options_init(&options, sizeof options);
    const struct {
        const char *name, *value;
        facekp_status status;
    } cases[] = {{"epochs", "12", FACEKP_OK},
                 {"learning_rate", "3e-4", FACEKP_OK},
                 {"seed", "18446744073709551615", FACEKP_OK},
                 {"train_csv", "x.csv", FACEKP_OK},
                 {"epochs", "1.5", FACEKP_ERROR_ARGUMENT},
                 {"epochs", "many", FACEKP_ERROR_ARGUMENT},
                 {"seed", "-1", FACEKP_ERROR_ARGUMENT},
                 {"learning_rate", "nan", FACEKP_ERROR_ARGUMENT},
                 {"nonsense", "1", FACEKP_ERROR_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        facekp_status status =
            facekp_train_option_set(&options, cases[i].name, cases[i].value, message, sizeof message);
        ck_assert_int_eq(status, cases[i].status);
        if (status != FACEKP_OK) ck_assert_ptr_nonnull(strstr(message, cases[i].name));
    }
    ck_assert_int_eq(options.epochs, 12);
    ck_assert_double_eq(options.learning_rate, 3e-4);
    ck_assert_uint_eq(options.seed, UINT64_MAX);
    ck_assert_str_eq(options.train_csv, "x.csv");
    int32_t count = 0;
    while (facekp_train_option_name(count) != NULL) count++;
    ck_assert_int_gt(count, 70);
}
END_TEST

START_TEST(recipes_leave_the_data_alone) {
    facekp_train_options options;
    facekp_train_options_init(&options, sizeof options);
    options.train_csv = "faces.csv";
    options.weights = "start.pth";
    options.threads = 3;
    int32_t count = 0;
    for (; facekp_train_recipe_name(count) != NULL; count++) {
        ck_assert_int_eq(facekp_train_recipe(facekp_train_recipe_name(count), &options), FACEKP_OK);
        ck_assert_int_eq(
            strncmp(facekp_train_recipe_name(count), options.architecture, strlen(options.architecture)), 0);
        ck_assert_double_gt(options.learning_rate, 0.0);
        ck_assert_int_eq(options.random_crop, 1);
        const bool plain = strstr(facekp_train_recipe_name(count), "tuned") == NULL;
        const double moved = options.shift + options.zoom + options.rotation + options.flip +
                             options.brightness + options.contrast + options.gamma + options.blur +
                             options.noise + options.occlusion;
        ck_assert_msg((moved == 0.0) == plain, "%s", facekp_train_recipe_name(count));
    }
    ck_assert_int_eq(count, 8);
    ck_assert_str_eq(options.train_csv, "faces.csv");
    ck_assert_str_eq(options.weights, "start.pth");
    ck_assert_int_eq(options.threads, 3);
    ck_assert_int_eq(facekp_train_recipe("omelette", &options), FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("trainer");
    TCase *test = tcase_create("trainer");
    tcase_set_timeout(test, 300);
    tcase_add_unchecked_fixture(test, make_data, remove_data);
    tcase_add_loop_test(test, threads_do_not_change_a_bit, 0, sizeof networks / sizeof *networks);
    tcase_add_test(test, another_seed_is_another_training);
    tcase_add_loop_test(test, sixteen_faces_are_learned_by_heart, 0,
                        (int)(sizeof overfits / sizeof *overfits));
    tcase_add_loop_test(test, the_output_is_the_best_epoch, 0, sizeof measured / sizeof *measured);
    tcase_add_test(test, patience_ends_a_training);
    tcase_add_test(test, other_weights_are_taken_as_far_as_they_fit);
    tcase_add_test(test, the_label_bias_is_kept_out_of_the_mirror);
    tcase_add_test(test, accumulated_batches_are_one_batch);
    tcase_add_test(test, a_loss_that_is_not_finite_stops);
    tcase_add_test(test, what_cannot_be_trained_does_not_open);
    tcase_add_test(test, what_cannot_be_written_does_not_open);
    tcase_add_test(test, sixty_seven_points_are_refused);
    tcase_add_test(test, one_person_cannot_be_split);
    tcase_add_test(test, every_failing_allocation);
    tcase_add_loop_test(test, every_failing_allocation_of_an_engine, 0, 2);
    tcase_add_test(test, options_by_name);
    tcase_add_test(test, recipes_leave_the_data_alone);
    suite_add_tcase(suite, test);
    return run_suite(suite);
}
