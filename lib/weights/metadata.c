/* The metadata that the library's own files get. recognize.c reads it back. */
#include <stdio.h>

#include "weights/container.h"

const char *const fkp_activation_names[2] = {"elu", "relu"};
const char *const fkp_head_names[2] = {"query", "flatten"};

void fkp_metadata_add(fkp_metadata_list *list, const char *key, const char *value) {
    if (value == NULL || list->count == FKP_METADATA_ENTRIES) return;
    list->entries[list->count++] = (fkp_metadata){key, value};
}

static void add_number(fkp_metadata_list *list, const char *key, size_t number) {
    if (number == 0 || list->count == FKP_METADATA_ENTRIES) return;
    char *text = list->numbers[list->count];
    snprintf(text, sizeof list->numbers[0], "%zu", number);
    fkp_metadata_add(list, key, text);
}

void fkp_metadata_begin(fkp_metadata_list *list, const fkp_network_options *options) {
    list->count = 0;
    fkp_metadata_add(list, "architecture", fkp_architecture_name(options->architecture));
    add_number(list, "keypoints", options->keypoints);
    add_number(list, "input_size", options->input_size);
    if (options->architecture == FACEKP_DIRECT && options->activation != FKP_ACTIVATION_NONE)
        fkp_metadata_add(list, "activation",
                         fkp_activation_names[options->activation == FKP_ACTIVATION_RELU]);
    if (options->architecture == FACEKP_UNET) add_number(list, "width", options->width);
    if (options->architecture != FACEKP_DINO) return;
    fkp_metadata_add(list, "head", fkp_head_names[options->head == FKP_DINO_FLATTEN]);
    add_number(list, "dimension", options->dimension);
    add_number(list, "depth", options->depth);
    add_number(list, "heads", options->heads);
}

/* Millionths, without printf's locale. */
static int put_decimal(char *text, size_t size, double value) {
    int64_t millionths = (int64_t)(value * 1e6 + (value < 0 ? -0.5 : 0.5));
    uint64_t magnitude = millionths < 0 ? (uint64_t)-millionths : (uint64_t)millionths;
    return snprintf(text, size, "%s%llu.%06llu", millionths < 0 ? "-" : "",
                    (unsigned long long)(magnitude / 1000000), (unsigned long long)(magnitude % 1000000));
}

void fkp_metadata_add_label_bias(fkp_metadata_list *list, const double bias[2]) {
    if (list->count == FKP_METADATA_ENTRIES) return;
    char *text = list->numbers[list->count], x[32], y[32];
    put_decimal(x, sizeof x, bias[0]);
    put_decimal(y, sizeof y, bias[1]);
    snprintf(text, sizeof list->numbers[0], "%s,%s", x, y);
    fkp_metadata_add(list, "label_bias_px", text);
}
