/* Weights files: named tensors read from safetensors or from PyTorch's three containers, and written as
 * safetensors. Every file may be hostile: sizes are checked before they are multiplied, offsets before they
 * are followed. */
#ifndef FKP_WEIGHTS_H
#define FKP_WEIGHTS_H

#include "base/file.h"
#include "networks/networks.h"

#define FKP_MAX_RANK 8
#define FKP_MAX_TENSORS 4096
#define FKP_MAX_TENSOR_NAME 1024

typedef enum fkp_dtype {
    FKP_F32,
    FKP_F16,
    FKP_BF16,
    FKP_F64,
    FKP_I64,
    FKP_I32,
    FKP_I16,
    FKP_I8,
    FKP_U8,
    FKP_BOOL,
    FKP_DTYPES
} fkp_dtype;
size_t fkp_dtype_bytes(fkp_dtype dtype);
const char *fkp_dtype_name(fkp_dtype dtype); /* as safetensors spells it */

/* A tensor inside the file's bytes. Strides are in elements; dense and row-major unless a checkpoint says
 * otherwise. */
typedef struct fkp_tensor {
    const char *name;
    fkp_dtype dtype;
    int32_t rank;
    size_t shape[FKP_MAX_RANK];
    size_t strides[FKP_MAX_RANK];
    size_t count;
    const uint8_t *data; /* of element 0; unaligned */
} fkp_tensor;

typedef struct fkp_metadata {
    const char *key;
    const char *value;
} fkp_metadata;

/* The metadata of a file of ours, being collected. It points into itself: not to be copied. */
#define FKP_METADATA_ENTRIES 24
typedef struct fkp_metadata_list {
    fkp_metadata entries[FKP_METADATA_ENTRIES];
    size_t count;
    char numbers[FKP_METADATA_ENTRIES][72];
} fkp_metadata_list;

/* Begins with what fkp_weights_recognize() needs to find the same options again: the architecture and those
 * of its parameters that are not zero. */
void fkp_metadata_begin(fkp_metadata_list *list, const fkp_network_options *options);
/* Further entries: license, training_data, normalization, … Both texts are lent; a NULL value adds nothing.
 */
void fkp_metadata_add(fkp_metadata_list *list, const char *key, const char *value);
/* "label_bias_px": x and y in pixels of the input crop, each less than a million. */
void fkp_metadata_add_label_bias(fkp_metadata_list *list, const double bias[2]);

typedef struct fkp_weights fkp_weights;

/* Opens any supported format by its contents. Messages about contents do not name the path. The memory
 * variant keeps no reference after fkp_weights_close.
 */
facekp_status fkp_weights_open(const fkp_memory *memory, const char *path, fkp_weights **weights,
                               fkp_error *error);
facekp_status fkp_weights_open_memory(const fkp_memory *memory, const void *data, size_t size,
                                      fkp_weights **weights, fkp_error *error);
void fkp_weights_close(fkp_weights *weights);
const char *
fkp_weights_format(const fkp_weights *weights); /* "safetensors", "torch zip", "torch legacy", "torch tar" */
size_t fkp_weights_count(const fkp_weights *weights);
const fkp_tensor *fkp_weights_tensor(const fkp_weights *weights, size_t index);
/* By exact name; NULL if there is none. Names of checkpoints have known prefixes (module., backbone., …)
 * taken off. */
const fkp_tensor *fkp_weights_find(const fkp_weights *weights, const char *name);
const char *fkp_weights_metadata(const fkp_weights *weights, const char *key); /* NULL if there is none */
/* Copies numbers [first, first + count) of a tensor, in row-major order, to `values` as floats. Any threads
 * at a time. */
facekp_status fkp_weights_read(const fkp_weights *weights, const fkp_tensor *tensor, size_t first,
                               size_t count, float *values, fkp_error *error);

/* Converts any numeric dtype and stride to dense floats; dst holds tensor->count. */
void fkp_tensor_read(const fkp_tensor *tensor, float *dst);

/* ---- fitting a file to a network ---- */

/* Architecture and variant from metadata, else from tensor names and shapes. FACEKP_ERROR_TENSOR if neither
 * tells. */
facekp_status fkp_weights_recognize(const fkp_weights *weights, int32_t architecture,
                                    fkp_network_options *options, fkp_error *error);

typedef struct fkp_fit_options {
    int32_t normalization; /* FACEKP_NORMALIZATION_… */
    bool partial;   /* training from other weights: what is missing or of another shape is left alone */
    facekp_log log; /* receives, by name, what was not taken */
    void *log_user;
} fkp_fit_options;

/* A source for fkp_program_compile and for training: adapts a 3-channel first layer to one channel, checks
 * every shape (a failure lists what is missing, extra or misshapen, with both shapes) and refuses NaN and
 * infinity. */
typedef struct fkp_fit fkp_fit;
facekp_status fkp_fit_create(const fkp_memory *memory, const fkp_weights *weights, const fkp_network *network,
                             const fkp_fit_options *options, fkp_fit **fit, fkp_error *error);
void fkp_fit_free(fkp_fit *fit);
/* Copies numbers [first, first + count) of a parameter to `values`, which it returns; NULL with *error set on
 * failure. With `partial`, NULL and error->status FACEKP_OK when the file has no such tensor. Any threads at
 * a time. */
const float *fkp_fit_read(const fkp_fit *fit, const fkp_parameter *parameter, size_t first, size_t count,
                          float *values, fkp_error *error);
fkp_weight_source fkp_fit_source(const fkp_fit *fit);

/* ---- writing ---- */

typedef struct fkp_write_tensor {
    const char *name;
    int32_t rank;
    const size_t *shape;
    const float *data; /* dense */
} fkp_write_tensor;

/* Writes a safetensors file, whole or not at all, converting to `dtype` (F32, F16, BF16; round to nearest
 * even). */
facekp_status fkp_safetensors_write(const fkp_memory *memory, const char *path,
                                    const fkp_write_tensor *tensors, size_t count, fkp_dtype dtype,
                                    const fkp_metadata *metadata, size_t metadata_count, fkp_error *error);
/* Converts a whole weights file, keeping names and metadata. `dtype` FKP_DTYPES: as each tensor is. */
facekp_status fkp_weights_write(const fkp_memory *memory, const fkp_weights *weights, const char *path,
                                fkp_dtype dtype, const fkp_metadata *extra, size_t extra_count,
                                fkp_error *error);

/* half.c: IEEE binary16 and bfloat16, round to nearest even, infinities, NaN and denormals included. */
float fkp_half_to_float(uint16_t half);
uint16_t fkp_float_to_half(float value);
float fkp_bfloat16_to_float(uint16_t value);
uint16_t fkp_float_to_bfloat16(float value);

#endif
