/* Recognising a file's network and fitting its tensors: names, shapes, three channels to one, partial files.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "support/failing_allocator.h"
#include "weights/weights.h"

#define PRETRAINED FKP_TEST_SHARED "/pretrained/resnet18_imagenet_stem_to_layer3.safetensors"
#define MOST_TENSORS 256

static char scratch[64];
static fkp_memory memory;

/* A file being made up: the parameters of a network, changed by the tests, with values by name and position.
 */
typedef struct made_file {
    fkp_write_tensor tensors[MOST_TENSORS];
    char names[MOST_TENSORS][2 * FKP_NAME_BYTES];
    size_t shapes[MOST_TENSORS][4];
    float *data[MOST_TENSORS];
    size_t count;
} made_file;

static size_t product(const size_t *shape, int32_t rank) {
    size_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= shape[i];
    return count;
}

static float value_at(const char *name, size_t index) {
    uint64_t key = 0;
    for (const char *c = name; *c != '\0'; c++) key = fkp_mix64(key + (unsigned char)*c);
    return fkp_to_uniform(fkp_random_at(key, index)) + 0.25f;
}

static void add_tensor(made_file *file, const char *prefix, const char *name, int32_t rank,
                       const size_t *shape) {
    size_t i = file->count++, count = product(shape, rank);
    ck_assert_uint_lt(i, MOST_TENSORS);
    snprintf(file->names[i], sizeof file->names[i], "%s%s", prefix, name);
    for (int32_t d = 0; d < rank; d++) file->shapes[i][d] = shape[d];
    file->data[i] = malloc((count + 1) * sizeof(float));
    for (size_t k = 0; k < count; k++) file->data[i][k] = value_at(name, k);
    file->tensors[i] = (fkp_write_tensor){file->names[i], rank, file->shapes[i], file->data[i]};
}

static made_file *make_file(const fkp_network *network, const char *prefix) {
    made_file *file = calloc(1, sizeof *file);
    for (int32_t i = 0; i < network->parameter_count; i++) {
        const fkp_parameter *parameter = &network->parameters[i];
        add_tensor(file, prefix, parameter->name, parameter->rank, parameter->shape);
    }
    return file;
}

static size_t find_made(const made_file *file, const char *name) {
    size_t i = 0;
    while (i < file->count && strcmp(file->names[i], name) != 0) i++;
    ck_assert_msg(i < file->count, "%s", name);
    return i;
}

static void drop_tensor(made_file *file, const char *name) {
    size_t i = find_made(file, name);
    free(file->data[i]);
    file->data[i] = NULL;
    file->tensors[i].name = NULL;
    file->names[i][0] = '\0';
}

/* Another shape of as many tensors: gone and made again. */
static void reshape_tensor(made_file *file, const char *name, int32_t rank, const size_t *shape) {
    drop_tensor(file, name);
    add_tensor(file, "", name, rank, shape);
}

static fkp_weights *write_and_open(made_file *file, const fkp_metadata *metadata, size_t metadata_count) {
    char path[128];
    snprintf(path, sizeof path, "%s/file.safetensors", scratch);
    size_t kept = 0;
    fkp_write_tensor tensors[MOST_TENSORS];
    for (size_t i = 0; i < file->count; i++)
        if (file->tensors[i].name != NULL) tensors[kept++] = file->tensors[i];
    fkp_error error = {0};
    facekp_status status =
        fkp_safetensors_write(&memory, path, tensors, kept, FKP_F32, metadata, metadata_count, &error);
    ck_assert_msg(status == FACEKP_OK, "%s", error.message);
    fkp_weights *weights;
    ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, &error), FACEKP_OK);
    unlink(path);
    return weights;
}

static void free_file(made_file *file) {
    for (size_t i = 0; i < file->count; i++) free(file->data[i]);
    free(file);
}

static fkp_network *network_of(const fkp_network_options *options) {
    fkp_network *network;
    fkp_error error = {0};
    ck_assert_msg(fkp_network_create(&memory, options, &network, &error) == FACEKP_OK, "%s", error.message);
    return network;
}

static const fkp_parameter *parameter_named(const fkp_network *network, const char *name) {
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (strcmp(network->parameters[i].name, name) == 0) return &network->parameters[i];
    ck_abort_msg("no parameter %s", name);
    return NULL;
}

typedef struct log_text {
    char text[65536];
    size_t lines;
} log_text;

static void collect(void *user, int32_t level, const char *message) {
    log_text *log = user;
    ck_assert(level == FACEKP_LOG_WARNING || level == FACEKP_LOG_INFO);
    size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof log->text - used, "%s\n", message);
    log->lines++;
}

/* ---- recognising ---- */

static const fkp_network_options variants[] = {
    {.architecture = FACEKP_DIRECT, .activation = FKP_ACTIVATION_ELU, .keypoints = 5},
    {.architecture = FACEKP_DIRECT, .activation = FKP_ACTIVATION_RELU, .keypoints = 68},
    {.architecture = FACEKP_RESNET18, .keypoints = 68},
    {.architecture = FACEKP_DINO,
     .head = FKP_DINO_QUERY,
     .keypoints = 7,
     .dimension = 64,
     .depth = 2,
     .heads = 2,
     .input_size = 32},
    {.architecture = FACEKP_DINO,
     .head = FKP_DINO_FLATTEN,
     .keypoints = 7,
     .dimension = 64,
     .depth = 3,
     .heads = 1,
     .input_size = 32},
    {.architecture = FACEKP_UNET, .width = 4, .keypoints = 9},
};
#define VARIANTS ((int)(sizeof variants / sizeof *variants))

/* Every number that both leave unset has one default. */
static void check_same(const fkp_network_options *a, const fkp_network_options *b, bool with_metadata) {
    ck_assert_int_eq(a->architecture, b->architecture);
    ck_assert_uint_eq(a->keypoints, b->keypoints);
    ck_assert_uint_eq(a->width, b->width);
    ck_assert_uint_eq(a->dimension, b->dimension);
    ck_assert_uint_eq(a->depth, b->depth);
    ck_assert_int_eq(a->head, b->head);
    if (!with_metadata) return;
    ck_assert_uint_eq(a->heads, b->heads);
    ck_assert_uint_eq(a->input_size, b->input_size);
    ck_assert_int_eq(a->activation, b->activation);
}

START_TEST(a_network_is_known_by_its_names) {
    fkp_network *network = network_of(&variants[_i]);
    made_file *file = make_file(network, _i % 2 == 0 ? "" : "module.");
    fkp_weights *weights = write_and_open(file, NULL, 0);
    fkp_network_options found;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_recognize(weights, 0, &found, &error), FACEKP_OK);
    check_same(&found, &variants[_i], false);
    ck_assert_int_eq(fkp_weights_recognize(weights, variants[_i].architecture, &found, &error), FACEKP_OK);
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(metadata_of_ours_gives_the_options_back) {
    static const double bias[2] = {2.0, -1.5};
    fkp_metadata_list list;
    fkp_metadata_begin(&list, &variants[_i]);
    fkp_metadata_add(&list, "license", "MIT");
    fkp_metadata_add(&list, "training_data", NULL);
    fkp_metadata_add_label_bias(&list, bias);
    made_file file = {.count = 0};
    const size_t one = 1;
    add_tensor(&file, "", "anything", 1, &one);
    fkp_weights *weights = write_and_open(&file, list.entries, list.count);
    fkp_network_options found;
    fkp_error error = {0};
    ck_assert_msg(fkp_weights_recognize(weights, 0, &found, &error) == FACEKP_OK, "%s", error.message);
    ck_assert_str_eq(fkp_weights_metadata(weights, "license"), "MIT");
    ck_assert_ptr_null(fkp_weights_metadata(weights, "training_data"));
    ck_assert_str_eq(fkp_weights_metadata(weights, "label_bias_px"), "2.000000,-1.500000");
    fkp_network_options expected = variants[_i];
    if (expected.architecture != FACEKP_DIRECT) ck_assert_int_eq(found.activation, FKP_ACTIVATION_NONE);
    check_same(&found, &expected, true);
    fkp_weights_close(weights);
    free(file.data[0]);
}
END_TEST

static const struct {
    const char *tensor;
    fkp_metadata metadata;
    int32_t asked;
    facekp_status status;
    const char *says;
} unknown[] = {
    {"what.weight", {NULL, NULL}, 0, FACEKP_ERROR_TENSOR, "what.weight"},
    {"layer1.0.conv1.weight", {"a", "b"}, 0, FACEKP_OK, ""},
    {"x", {"architecture", "vgg"}, 0, FACEKP_ERROR_UNSUPPORTED, "vgg"},
    {"x", {"architecture", "unet"}, FACEKP_DINO, FACEKP_ERROR_TENSOR, "not of dino"},
    {"x", {"activation", "gelu"}, FACEKP_DIRECT, FACEKP_ERROR_FORMAT, "gelu"},
    {"x", {"head", "x"}, FACEKP_DINO, FACEKP_ERROR_FORMAT, "query or flatten"},
    {"x", {"width", "-3"}, FACEKP_UNET, FACEKP_ERROR_FORMAT, "-3"},
    {"x", {"keypoints", "99999999999999999999"}, FACEKP_UNET, FACEKP_ERROR_FORMAT, "whole number"},
    {"x", {"depth", ""}, FACEKP_DINO, FACEKP_ERROR_FORMAT, "whole number"},
};

START_TEST(what_is_not_known_is_said) {
    made_file file = {.count = 0};
    const size_t one = 1;
    add_tensor(&file, "", unknown[_i].tensor, 1, &one);
    fkp_weights *weights = write_and_open(&file, &unknown[_i].metadata, unknown[_i].metadata.key != NULL);
    fkp_network_options options;
    fkp_error error = {0};
    facekp_status status = fkp_weights_recognize(weights, unknown[_i].asked, &options, &error);
    ck_assert_msg(status == unknown[_i].status, "%d: %s", (int)status, error.message);
    ck_assert_msg(strstr(error.message, unknown[_i].says) != NULL, "%s", error.message);
    fkp_weights_close(weights);
    free(file.data[0]);
}
END_TEST

START_TEST(a_deeper_resnet_is_told_apart) {
    made_file file = {.count = 0};
    const size_t one = 1;
    add_tensor(&file, "", "layer1.0.conv1.weight", 1, &one);
    add_tensor(&file, "", "layer1.0.conv3.weight", 1, &one);
    fkp_weights *weights = write_and_open(&file, NULL, 0);
    fkp_network_options options;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_recognize(weights, 0, &options, &error), FACEKP_ERROR_TENSOR);
    ck_assert_ptr_nonnull(strstr(error.message, "deeper"));
    fkp_weights_close(weights);
    free(file.data[0]);
    free(file.data[1]);
}
END_TEST

/* ---- fitting ---- */

static const fkp_network_options small_unet = {
    .architecture = FACEKP_UNET, .width = 2, .keypoints = 3, .input_size = 32};

/* As large as ResNet18's largest weight. */
static float room[512 * 512 * 9];

static const float *read_all(const fkp_fit *fit, const fkp_parameter *parameter, fkp_error *error) {
    ck_assert_uint_le(parameter->count, sizeof room / sizeof *room);
    return fkp_fit_read(fit, parameter, 0, parameter->count, room, error);
}

static void check_values(fkp_fit *fit, const fkp_parameter *parameter) {
    fkp_error error = {0};
    const float *values = read_all(fit, parameter, &error);
    ck_assert_msg(values != NULL, "%s", error.message);
    for (size_t i = 0; i < parameter->count; i++) ck_assert(values[i] == value_at(parameter->name, i));
    const size_t middle = parameter->count / 2;
    ck_assert_ptr_eq(fkp_fit_read(fit, parameter, middle, 1, room, &error), room);
    ck_assert(room[0] == value_at(parameter->name, middle));
}

START_TEST(a_file_that_fits_is_read) {
    fkp_network *network = network_of(&small_unet);
    made_file *file = make_file(network, "module.");
    const size_t none[1] = {1};
    add_tensor(file, "module.", "inc.1.num_batches_tracked", 0, none);
    add_tensor(file, "module.", "other", 1, none);
    fkp_weights *weights = write_and_open(file, NULL, 0);
    log_text *log = calloc(1, sizeof *log);
    const fkp_fit_options options = {.log = collect, .log_user = log};
    fkp_fit *fit;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, &options, &fit, &error), FACEKP_OK);
    ck_assert_str_eq(log->text, "other: not used by the network\n1 num_batches_tracked counters: not used\n");
    fkp_weight_source source = fkp_fit_source(fit);
    for (int32_t i = 0; i < network->parameter_count; i++) {
        check_values(fit, &network->parameters[i]);
        ck_assert_ptr_nonnull(source.read(source.user, &network->parameters[i], 0, 1, room, &error));
    }
    fkp_fit_free(fit);
    fkp_weights_close(weights);
    free(log);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(what_does_not_fit_is_named_with_both_shapes) {
    fkp_network *network = network_of(&small_unet);
    made_file *file = make_file(network, "");
    static const size_t shape[4] = {3, 2, 5, 5};
    reshape_tensor(file, "outc.weight", 4, shape);
    drop_tensor(file, "inc.0.bias");
    const size_t one = 1;
    add_tensor(file, "", "extra", 1, &one);
    fkp_weights *weights = write_and_open(file, NULL, 0);
    fkp_fit *fit = (fkp_fit *)file;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, NULL, &fit, &error), FACEKP_ERROR_TENSOR);
    ck_assert_ptr_null(fit);
    ck_assert_str_eq(
        error.message,
        "the tensors do not fit the unet network; 1 of another shape: outc.weight: [3, 2, 5, 5] in "
        "the file, [3, 2, 1, 1] in the network; 1 missing: inc.0.bias; 1 unknown: extra");
    /* partial: the same is left alone */
    const fkp_fit_options partial = {.partial = true};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, &partial, &fit, &error), FACEKP_OK);
    error.status = FACEKP_ERROR_STATE;
    ck_assert_ptr_null(read_all(fit, parameter_named(network, "inc.0.bias"), &error));
    ck_assert_int_eq(error.status, FACEKP_OK);
    error.status = FACEKP_ERROR_STATE;
    ck_assert_ptr_null(read_all(fit, parameter_named(network, "outc.weight"), &error));
    ck_assert_int_eq(error.status, FACEKP_OK);
    check_values(fit, parameter_named(network, "outc.bias"));
    fkp_fit_free(fit);
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(a_file_of_another_network_is_cut_to_a_message) {
    fkp_network *network = network_of(&small_unet);
    fkp_network *other = network_of(&variants[3]);
    made_file *file = make_file(other, "");
    fkp_weights *weights = write_and_open(file, NULL, 0);
    log_text *log = calloc(1, sizeof *log);
    for (int partial = 0; partial < 2; partial++) {
        const fkp_fit_options options = {.partial = partial != 0, .log = collect, .log_user = log};
        fkp_fit *fit;
        fkp_error error = {0};
        ck_assert_int_eq(fkp_fit_create(&memory, weights, network, &options, &fit, &error),
                         FACEKP_ERROR_TENSOR);
        ck_assert_ptr_nonnull(strstr(error.message, "missing: inc.0.weight, inc.0.bias"));
        ck_assert_ptr_nonnull(strstr(error.message, "…"));
    }
    ck_assert_uint_eq(log->lines, 2 * (size_t)(network->parameter_count + other->parameter_count));
    free(log);
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, other);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(nan_and_infinity_are_refused) {
    fkp_network *network = network_of(&small_unet);
    for (int i = 0; i < 2; i++) {
        made_file *file = make_file(network, "");
        file->data[find_made(file, "outc.bias")][1] = i == 0 ? NAN : -INFINITY;
        fkp_weights *weights = write_and_open(file, NULL, 0);
        fkp_fit *fit;
        fkp_error error = {0};
        ck_assert_int_eq(fkp_fit_create(&memory, weights, network, NULL, &fit, &error), FACEKP_OK);
        ck_assert_ptr_null(read_all(fit, parameter_named(network, "outc.bias"), &error));
        ck_assert_int_eq(error.status, FACEKP_ERROR_VALUE);
        ck_assert_str_eq(error.message,
                         i == 0 ? "outc.bias: number 1 is NaN" : "outc.bias: number 1 is infinite");
        fkp_fit_free(fit);
        fkp_weights_close(weights);
        free_file(file);
    }
    fkp_network_free(&memory, network);
}
END_TEST

/* ---- three channels ---- */

static const double means[3] = {0.485, 0.456, 0.406}, deviations[3] = {0.229, 0.224, 0.225};

/* The first layer of the original at one place away from the border: a patch of gray values, normalised as
 * three channels. */
static double original_response(const float *weights, const double *patch, size_t taps, bool imagenet) {
    double sum = 0;
    for (size_t c = 0; c < 3; c++)
        for (size_t k = 0; k < taps; k++)
            sum +=
                (double)weights[c * taps + k] * (imagenet ? (patch[k] - means[c]) / deviations[c] : patch[k]);
    return sum;
}

static double fitted_response(const float *weights, const double *patch, size_t taps) {
    double sum = 0;
    for (size_t k = 0; k < taps; k++) sum += (double)weights[k] * patch[k];
    return sum;
}

static const struct {
    fkp_network_options network;
    const char *weight, *place; /* where the constant goes */
    double sign;
} firsts[] = {
    {{.architecture = FACEKP_RESNET18, .keypoints = 68}, "conv1.weight", "bn1.running_mean", -1},
    {{.architecture = FACEKP_DINO, .keypoints = 7, .dimension = 64, .depth = 1, .heads = 1, .input_size = 32},
     "patch_embed.proj.weight",
     "patch_embed.proj.bias",
     1},
    {{.architecture = FACEKP_UNET, .width = 2, .keypoints = 3, .input_size = 32},
     "inc.0.weight",
     "inc.0.bias",
     1},
};

static const struct {
    int32_t asked;
    fkp_metadata metadata;
    bool imagenet;
} normalizations[] = {
    {FACEKP_NORMALIZATION_DEFAULT, {NULL, NULL}, true},
    {FACEKP_NORMALIZATION_NONE, {NULL, NULL}, false},
    {FACEKP_NORMALIZATION_IMAGENET, {"normalization", "none"}, true},
    {FACEKP_NORMALIZATION_DEFAULT, {"normalization", "none"}, false},
    {FACEKP_NORMALIZATION_DEFAULT, {"normalization", "imagenet"}, true},
};

/* The fitted layer, with what follows it, answers a gray patch as the original answers its three copies. */
static void check_first_layer(const made_file *file, fkp_fit *fit, const fkp_network *network, size_t which,
                              bool imagenet) {
    const fkp_parameter *weight = parameter_named(network, firsts[which].weight);
    const fkp_parameter *place = parameter_named(network, firsts[which].place);
    const float *original = file->data[find_made(file, weight->name)];
    const float *original_place = file->data[find_made(file, place->name)];
    const size_t taps = weight->shape[2] * weight->shape[3], outputs = weight->shape[0];
    fkp_error error = {0};
    double *patch = malloc(taps * sizeof *patch), *responses = malloc(outputs * sizeof *responses);
    for (size_t k = 0; k < taps; k++) patch[k] = (double)value_at("patch", k) - 0.25;
    const float *fitted = read_all(fit, weight, &error);
    ck_assert_msg(fitted != NULL, "%s", error.message);
    for (size_t o = 0; o < outputs; o++) responses[o] = fitted_response(fitted + o * taps, patch, taps);
    const float *constant = read_all(fit, place, &error);
    ck_assert_ptr_nonnull(constant);
    for (size_t o = 0; o < outputs; o++) {
        double expected = original_response(original + o * 3 * taps, patch, taps, imagenet) +
                          firsts[which].sign * (double)original_place[o];
        double got = responses[o] + firsts[which].sign * (double)constant[o];
        ck_assert_msg(fabs(got - expected) <= 1e-6 * (double)taps * 30, "%zu: %g, not %g", o, got, expected);
    }
    free(patch);
    free(responses);
}

START_TEST(three_channels_become_one) {
    const size_t which = (size_t)_i;
    fkp_network *network = network_of(&firsts[which].network);
    made_file *file = make_file(network, "");
    const fkp_parameter *weight = parameter_named(network, firsts[which].weight);
    const size_t shape[4] = {weight->shape[0], 3, weight->shape[2], weight->shape[3]};
    reshape_tensor(file, weight->name, 4, shape);
    for (size_t n = 0; n < sizeof normalizations / sizeof *normalizations; n++) {
        fkp_weights *weights =
            write_and_open(file, &normalizations[n].metadata, normalizations[n].metadata.key != NULL);
        const fkp_fit_options options = {.normalization = normalizations[n].asked};
        fkp_fit *fit;
        fkp_error error = {0};
        ck_assert_msg(fkp_fit_create(&memory, weights, network, &options, &fit, &error) == FACEKP_OK, "%s",
                      error.message);
        check_first_layer(file, fit, network, which, normalizations[n].imagenet);
        fkp_fit_free(fit);
        fkp_weights_close(weights);
    }
    const fkp_metadata odd = {"normalization", "odd"};
    fkp_weights *weights = write_and_open(file, &odd, 1);
    fkp_fit *fit;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, NULL, &fit, &error), FACEKP_ERROR_FORMAT);
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(another_number_of_tokens_names_both_shapes) {
    fkp_network *network = network_of(&variants[3]);
    made_file *file = make_file(network, "");
    static const size_t shape[3] = {1, 10, 64};
    reshape_tensor(file, "pos_embed", 3, shape);
    fkp_weights *weights = write_and_open(file, NULL, 0);
    fkp_fit *fit;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, NULL, &fit, &error), FACEKP_ERROR_TENSOR);
    ck_assert_ptr_nonnull(
        strstr(error.message, "pos_embed: [1, 10, 64] in the file, [1, 5, 64] in the network"));
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

/* As torchvision ships it: three channels, a classifier of 1000, and counters. */
START_TEST(an_imagenet_classifier_is_a_start) {
    const fkp_network_options options = {.architecture = FACEKP_RESNET18};
    fkp_network *network = network_of(&options);
    made_file *file = make_file(network, "");
    static const size_t conv1[4] = {64, 3, 7, 7}, weight[2] = {1000, 512}, bias[1] = {1000};
    reshape_tensor(file, "conv1.weight", 4, conv1);
    reshape_tensor(file, "fc.weight", 2, weight);
    reshape_tensor(file, "fc.bias", 1, bias);
    fkp_weights *weights = write_and_open(file, NULL, 0);
    fkp_network_options found;
    fkp_fit *fit;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_recognize(weights, 0, &found, &error), FACEKP_OK);
    ck_assert(found.architecture == FACEKP_RESNET18 && found.keypoints == 0);
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, NULL, &fit, &error), FACEKP_ERROR_TENSOR);
    ck_assert_ptr_nonnull(
        strstr(error.message, "fc.weight: [1000, 512] in the file, [136, 512] in the network"));
    const fkp_fit_options partial = {.partial = true};
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, &partial, &fit, &error), FACEKP_OK);
    ck_assert_ptr_nonnull(read_all(fit, parameter_named(network, "conv1.weight"), &error));
    ck_assert_ptr_null(read_all(fit, parameter_named(network, "fc.weight"), &error));
    ck_assert_int_eq(error.status, FACEKP_OK);
    fkp_fit_free(fit);
    fkp_weights_close(weights);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

static facekp_status fit_and_read(const facekp_allocator *allocator, void *argument) {
    const fkp_network *network = argument;
    fkp_memory counted = fkp_memory_from(allocator);
    char path[128];
    snprintf(path, sizeof path, "%s/memory.safetensors", scratch);
    fkp_weights *weights = NULL;
    fkp_fit *fit = NULL;
    fkp_error error = {0};
    facekp_status status = fkp_weights_open(&counted, path, &weights, &error);
    if (status == FACEKP_OK) status = fkp_fit_create(&counted, weights, network, NULL, &fit, &error);
    for (int32_t i = 0; i < network->parameter_count && status == FACEKP_OK; i++)
        if (read_all(fit, &network->parameters[i], &error) == NULL) status = error.status;
    fkp_fit_free(fit);
    fkp_weights_close(weights);
    return status;
}

START_TEST(every_allocation_may_fail) {
    fkp_network *network = network_of(&small_unet);
    made_file *file = make_file(network, "");
    static const size_t shape[4] = {2, 3, 3, 3};
    reshape_tensor(file, "inc.0.weight", 4, shape);
    char path[128];
    snprintf(path, sizeof path, "%s/memory.safetensors", scratch);
    size_t kept = 0;
    fkp_write_tensor tensors[MOST_TENSORS];
    for (size_t i = 0; i < file->count; i++)
        if (file->tensors[i].name != NULL) tensors[kept++] = file->tensors[i];
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, tensors, kept, FKP_F32, NULL, 0, NULL), FACEKP_OK);
    check_every_allocation(fit_and_read, network);
    unlink(path);
    free_file(file);
    fkp_network_free(&memory, network);
}
END_TEST

START_TEST(the_pretrained_start_is_taken) {
    const fkp_network_options options = {.architecture = FACEKP_RESNET18};
    fkp_network *network = network_of(&options);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, PRETRAINED, &weights, &error), FACEKP_OK);
    log_text *log = calloc(1, sizeof *log);
    const fkp_fit_options partial = {.partial = true, .log = collect, .log_user = log};
    fkp_fit *fit;
    ck_assert_int_eq(fkp_fit_create(&memory, weights, network, &partial, &fit, &error), FACEKP_OK);
    ck_assert_ptr_nonnull(strstr(log->text, "layer4.1.bn2.bias: missing in the file\n"));
    ck_assert_ptr_nonnull(strstr(log->text, "conv1.weight: 3 channels in the file"));
    size_t taken = 0;
    for (int32_t i = 0; i < network->parameter_count; i++) {
        const float *values = read_all(fit, &network->parameters[i], &error);
        bool there = strncmp(network->parameters[i].name, "layer4", 6) != 0 &&
                     strncmp(network->parameters[i].name, "fc", 2) != 0;
        ck_assert_int_eq(values != NULL, there);
        taken += values != NULL;
    }
    ck_assert_uint_eq(taken, 75);
    fkp_fit_free(fit);
    fkp_weights_close(weights);
    free(log);
    fkp_network_free(&memory, network);
}
END_TEST

int main(void) {
    memory = fkp_memory_from(NULL);
    snprintf(scratch, sizeof scratch, "/tmp/facekp-fit-XXXXXX");
    if (mkdtemp(scratch) == NULL) return EXIT_FAILURE;
    Suite *suite = suite_create("fit");
    TCase *tests = tcase_create("fit");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, a_network_is_known_by_its_names, 0, VARIANTS);
    tcase_add_loop_test(tests, metadata_of_ours_gives_the_options_back, 0, VARIANTS);
    tcase_add_loop_test(tests, what_is_not_known_is_said, 0, (int)(sizeof unknown / sizeof *unknown));
    tcase_add_test(tests, a_deeper_resnet_is_told_apart);
    tcase_add_test(tests, a_file_that_fits_is_read);
    tcase_add_test(tests, what_does_not_fit_is_named_with_both_shapes);
    tcase_add_test(tests, a_file_of_another_network_is_cut_to_a_message);
    tcase_add_test(tests, nan_and_infinity_are_refused);
    tcase_add_loop_test(tests, three_channels_become_one, 0, (int)(sizeof firsts / sizeof *firsts));
    tcase_add_test(tests, another_number_of_tokens_names_both_shapes);
    tcase_add_test(tests, an_imagenet_classifier_is_a_start);
    tcase_add_test(tests, every_allocation_may_fail);
    if (access(PRETRAINED, R_OK) == 0)
        tcase_add_test(tests, the_pretrained_start_is_taken);
    else
        printf("skipped: %s is not there\n", PRETRAINED);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(scratch);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
