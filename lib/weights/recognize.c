/* Which network a file is for: its metadata says so, or the names and shapes of its tensors tell. */
#include <stdio.h>
#include <string.h>

#include "weights/container.h"

#define MOST_KEYPOINTS                                                                                       \
    256                  /* a last layer with more outputs is a classifier's, whose file is a start only     \
                          */
#define HEAD_CHANNELS 64 /* of every published ViT */

static bool has(const fkp_weights *weights, const char *name) {
    return fkp_weights_find(weights, name) != NULL;
}

/* Size of an axis of a tensor; 0 if there is no such tensor or axis. */
static size_t axis(const fkp_weights *weights, const char *name, int32_t index) {
    const fkp_tensor *tensor = fkp_weights_find(weights, name);
    return tensor == NULL || index >= tensor->rank ? 0 : tensor->shape[index];
}

/* ---- the architecture ---- */

static bool is_resnet(const fkp_weights *weights) { return has(weights, "layer1.0.conv1.weight"); }
static bool is_resnet18(const fkp_weights *weights) {
    return is_resnet(weights) && !has(weights, "layer1.0.conv3.weight") &&
           !has(weights, "layer1.2.conv1.weight");
}

static int32_t architecture_of_names(const fkp_weights *weights) {
    if (has(weights, "patch_embed.proj.weight")) return FACEKP_DINO;
    if (has(weights, "inc.0.weight")) return FACEKP_UNET;
    if (is_resnet18(weights)) return FACEKP_RESNET18;
    if (has(weights, "conv.0.weight") && has(weights, "fcbn.0.weight")) return FACEKP_DIRECT;
    return FACEKP_ARCHITECTURE_AUTO;
}

static facekp_status find_architecture(const fkp_weights *weights, int32_t asked, int32_t *found,
                                       fkp_error *error) {
    const char *text = fkp_weights_metadata(weights, "architecture");
    int32_t said = text == NULL ? FACEKP_ARCHITECTURE_AUTO : fkp_architecture_named(text);
    if (text != NULL && said == FACEKP_ARCHITECTURE_AUTO && asked == FACEKP_ARCHITECTURE_AUTO)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "metadata architecture is \"%.60s\"; direct, resnet18, dino and unet are known",
                        text);
    if (said != FACEKP_ARCHITECTURE_AUTO && asked != FACEKP_ARCHITECTURE_AUTO && said != asked)
        return fkp_fail(error, FACEKP_ERROR_TENSOR, "the file is of the %s network, not of %s", text,
                        fkp_architecture_name(asked));
    *found = asked != FACEKP_ARCHITECTURE_AUTO ? asked : said;
    if (*found == FACEKP_ARCHITECTURE_AUTO) *found = architecture_of_names(weights);
    if (*found != FACEKP_ARCHITECTURE_AUTO) return FACEKP_OK;
    if (is_resnet(weights))
        return fkp_fail(error, FACEKP_ERROR_TENSOR,
                        "the tensors are of a ResNet, but of a deeper one than 18");
    return fkp_fail(error, FACEKP_ERROR_TENSOR,
                    "the tensors are of no known network (%zu tensors, the first is %.60s); name the "
                    "architecture if you know it",
                    weights->count,
                    weights->count == 0 ? "none" : weights->tensors[weights->by_name[0]].name);
}

/* ---- the variant, from tensors ---- */

static size_t keypoints_of_rows(size_t rows) {
    return rows % 2 == 0 && rows / 2 <= MOST_KEYPOINTS ? rows / 2 : 0;
}

static size_t count_blocks(const fkp_weights *weights) {
    char name[FKP_NAME_BYTES];
    size_t count = 0;
    do snprintf(name, sizeof name, "blocks.%zu.norm1.weight", count);
    while (has(weights, name) && ++count < FKP_MAX_LAYERS);
    return count;
}

static void look_at_dino(const fkp_weights *weights, fkp_network_options *options) {
    options->dimension = axis(weights, "patch_embed.proj.weight", 0);
    options->depth = count_blocks(weights);
    if (options->dimension % HEAD_CHANNELS == 0) options->heads = options->dimension / HEAD_CHANNELS;
    if (has(weights, "fc.0.weight")) options->head = FKP_DINO_FLATTEN;
    size_t queries = axis(weights, "query", 0);
    if (options->head == FKP_DINO_FLATTEN)
        options->keypoints = keypoints_of_rows(axis(weights, "fc.4.weight", 0));
    else if (queries <= MOST_KEYPOINTS)
        options->keypoints = queries;
}

static void look_at_tensors(const fkp_weights *weights, fkp_network_options *options) {
    switch (options->architecture) {
    case FACEKP_DIRECT:
        options->keypoints = keypoints_of_rows(axis(weights, "fc.2.weight", 0));
        break;
    case FACEKP_RESNET18:
        options->keypoints = keypoints_of_rows(axis(weights, "fc.weight", 0));
        break;
    case FACEKP_DINO:
        look_at_dino(weights, options);
        break;
    default:
        options->width = axis(weights, "inc.0.weight", 0);
        options->keypoints = axis(weights, "outc.weight", 0);
        if (options->keypoints > MOST_KEYPOINTS) options->keypoints = 0;
    }
}

/* ---- the variant, from metadata ---- */

static facekp_status read_number(const fkp_weights *weights, const char *key, size_t *value,
                                 fkp_error *error) {
    const char *text = fkp_weights_metadata(weights, key);
    if (text == NULL) return FACEKP_OK;
    size_t number = 0, length = strlen(text);
    bool digits = length > 0 && length <= 9;
    for (size_t i = 0; i < length && digits; i++) {
        digits = text[i] >= '0' && text[i] <= '9';
        number = number * 10 + (size_t)(text[i] - '0');
    }
    if (!digits)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "metadata %s is \"%.60s\"; a whole number was expected",
                        key, text);
    *value = number;
    return FACEKP_OK;
}

/* The place of the metadata's value among `names`; -1 without the entry. */
static facekp_status read_choice(const fkp_weights *weights, const char *key, const char *const names[2],
                                 int *choice, fkp_error *error) {
    const char *text = fkp_weights_metadata(weights, key);
    *choice = -1;
    if (text == NULL) return FACEKP_OK;
    for (int i = 0; i < 2; i++)
        if (strcmp(text, names[i]) == 0) {
            *choice = i;
            return FACEKP_OK;
        }
    return fkp_fail(error, FACEKP_ERROR_FORMAT, "metadata %s is \"%.60s\"; %s or %s was expected", key, text,
                    names[0], names[1]);
}

static facekp_status read_variant(const fkp_weights *weights, fkp_network_options *options,
                                  fkp_error *error) {
    int activation = -1, head = -1;
    facekp_status status = read_choice(weights, "activation", fkp_activation_names, &activation, error);
    if (status == FACEKP_OK) status = read_choice(weights, "head", fkp_head_names, &head, error);
    if (status == FACEKP_OK) status = read_number(weights, "width", &options->width, error);
    if (status == FACEKP_OK) status = read_number(weights, "keypoints", &options->keypoints, error);
    if (status == FACEKP_OK) status = read_number(weights, "input_size", &options->input_size, error);
    if (status == FACEKP_OK) status = read_number(weights, "dimension", &options->dimension, error);
    if (status == FACEKP_OK) status = read_number(weights, "depth", &options->depth, error);
    if (status == FACEKP_OK) status = read_number(weights, "heads", &options->heads, error);
    if (activation >= 0) options->activation = activation == 0 ? FKP_ACTIVATION_ELU : FKP_ACTIVATION_RELU;
    if (head >= 0) options->head = head == 0 ? FKP_DINO_QUERY : FKP_DINO_FLATTEN;
    return status;
}

facekp_status fkp_weights_recognize(const fkp_weights *weights, int32_t architecture,
                                    fkp_network_options *result, fkp_error *error) {
    fkp_network_options options = {0};
    facekp_status status = find_architecture(weights, architecture, &options.architecture, error);
    if (status != FACEKP_OK) return status;
    look_at_tensors(weights, &options);
    status = read_variant(weights, &options, error);
    if (status == FACEKP_OK) *result = options;
    return status;
}
