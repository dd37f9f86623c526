/* Real networks, but small, as safetensors files: written by the library's own writer with weights from a
 * seed. */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weights/weights.h"

enum { SMALL_PATH_BYTES = 64 };

/* One block of the transformer on 2 x 2 patches: input 32 x 32, microseconds. */
static const fkp_network_options small_dino = {
    .architecture = FACEKP_DINO, .input_size = 32, .dimension = 64, .depth = 1, .heads = 1};
/* Heatmaps of 224 x 224 from two channels. */
static const fkp_network_options small_unet = {.architecture = FACEKP_UNET, .width = 2};

/* Writes the network to a new temporary file, whose path the caller removes. `extra` is added to the metadata
 * that names the architecture. A `poison` that is not NULL names a tensor whose first number becomes NaN. */
static inline void small_model_write(const fkp_network_options *options, const fkp_metadata *extra,
                                     size_t extra_count, const char *poison, char path[SMALL_PATH_BYTES]) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network;
    ck_assert_int_eq(fkp_network_create(&memory, options, &network, NULL), FACEKP_OK);
    float *storage = calloc(network->storage, sizeof *storage);
    fkp_write_tensor *tensors = calloc((size_t)network->parameter_count, sizeof *tensors);
    ck_assert_ptr_nonnull(storage);
    ck_assert_ptr_nonnull(tensors);
    fkp_network_initialize(network, 1, storage);
    for (int32_t i = 0; i < network->parameter_count; i++) {
        const fkp_parameter *parameter = &network->parameters[i];
        float *data = storage + parameter->offset;
        tensors[i] = (fkp_write_tensor){parameter->name, parameter->rank, parameter->shape, data};
        if (poison != NULL && strcmp(poison, parameter->name) == 0) data[0] = (float)NAN;
    }
    fkp_metadata_list metadata;
    fkp_metadata_begin(&metadata, options);
    for (size_t i = 0; i < extra_count; i++) fkp_metadata_add(&metadata, extra[i].key, extra[i].value);
    strcpy(path, "/tmp/facekp-test-XXXXXX");
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, tensors, (size_t)network->parameter_count, FKP_F32,
                                           metadata.entries, metadata.count, NULL),
                     FACEKP_OK);
    free(tensors);
    free(storage);
    fkp_network_free(&memory, network);
}

/* The same, loaded. `options` may be NULL. */
static inline facekp_model *small_model_load(const fkp_network_options *network, const fkp_metadata *extra,
                                             size_t extra_count, const facekp_load_options *options) {
    char path[SMALL_PATH_BYTES], message[FKP_MESSAGE_BYTES] = "";
    small_model_write(network, extra, extra_count, NULL, path);
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    if (options != NULL) load = *options;
    load.message = message;
    load.message_size = sizeof message;
    facekp_model *model;
    facekp_status status = facekp_model_load(path, &load, &model);
    unlink(path);
    ck_assert_msg(status == FACEKP_OK, "%s", message);
    return model;
}

#endif
