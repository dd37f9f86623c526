#include "networks/networks.h"

#include <string.h>

static const char *const names[] = {NULL, "direct", "resnet18", "dino", "unet"};

const char *fkp_architecture_name(int32_t architecture) {
    return architecture >= FACEKP_DIRECT && architecture <= FACEKP_UNET ? names[architecture] : NULL;
}

int32_t fkp_architecture_named(const char *name) {
    for (int32_t i = FACEKP_DIRECT; i <= FACEKP_UNET; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return FACEKP_ARCHITECTURE_AUTO;
}

static fkp_network_options with_defaults(const fkp_network_options *options) {
    fkp_network_options o = *options;
    if (o.activation == FKP_ACTIVATION_NONE) o.activation = FKP_ACTIVATION_ELU;
    if (o.width == 0) o.width = 32;
    if (o.keypoints == 0) o.keypoints = FACEKP_KEYPOINTS;
    if (o.input_size == 0) o.input_size = FACEKP_INPUT_SIZE;
    if (o.dimension == 0) o.dimension = 384;
    if (o.depth == 0) o.depth = 12;
    if (o.heads == 0) o.heads = 6;
    return o;
}

/* Sizes come from files: these bounds keep every product of them far from overflow. */
static bool are_sane(const fkp_network_options *o) {
    return o->width <= 1024 && o->keypoints <= 4096 && o->input_size >= 16 && o->input_size <= 4096 &&
           o->dimension <= 8192 && o->depth <= 24 && o->heads <= 256;
}

facekp_status fkp_network_create(const fkp_memory *memory, const fkp_network_options *options,
                                 fkp_network **network, fkp_error *error) {
    static void (*const describe[])(fkp_builder *, const fkp_network_options *) = {
        NULL, fkp_describe_direct, fkp_describe_resnet18, fkp_describe_dino, fkp_describe_unet};
    *network = NULL;
    if (fkp_architecture_name(options->architecture) == NULL)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "architecture %d is not one of 1 to 4",
                        (int)options->architecture);
    fkp_network_options o = with_defaults(options);
    if (!are_sane(&o))
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "the %s network's sizes are out of range",
                        fkp_architecture_name(o.architecture));
    fkp_builder builder;
    if (fkp_network_begin(memory, &builder, o.input_size, o.input_size, 1) != FACEKP_OK)
        return fkp_fail(error, builder.error.status, "%s", builder.error.message);
    builder.network->architecture = o.architecture;
    builder.network->keypoints = o.keypoints;
    builder.network->output_kind =
        o.architecture == FACEKP_UNET ? FACEKP_OUTPUT_HEATMAPS : FACEKP_OUTPUT_REGRESSION;
    describe[o.architecture](&builder, &o);
    return fkp_network_finish(&builder, network, error);
}
