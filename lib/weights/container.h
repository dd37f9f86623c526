/* What the readers of the formats share: an fkp_weights being filled. A reader gets the file's bytes, adds
 * tensors and metadata, and returns; weights.c then takes prefixes off the names and sorts them. */
#ifndef FKP_CONTAINER_H
#define FKP_CONTAINER_H

#include "base/arena.h"
#include "weights/weights.h"

struct fkp_weights {
    fkp_memory memory;
    fkp_file file; /* open when opened by path, else without data */
    const uint8_t *data;
    size_t size;
    const char *format;
    fkp_arena strings;
    fkp_tensor *tensors; /* FKP_MAX_TENSORS of them */
    size_t count;
    uint32_t *by_name;      /* indices of the tensors, sorted */
    bool *marks;            /* scratch of names.c, one a tensor */
    fkp_metadata *metadata; /* FKP_MAX_METADATA of them */
    size_t metadata_count;
};

#define FKP_MAX_METADATA 256
#define FKP_MAX_METADATA_VALUE 65536

/* Values of the metadata keys `activation` and `head`, in the order of their defaults. */
extern const char *const fkp_activation_names[2];
extern const char *const fkp_head_names[2];

/* Product of the sizes; false on overflow or a rank above FKP_MAX_RANK. */
bool fkp_shape_count(const size_t *shape, int32_t rank, size_t *count);
/* "[64, 3, 7, 7]", cut to fit. */
void fkp_shape_text(const size_t *shape, int32_t rank, char *text, size_t size);
/* Reads little-endian numbers from unaligned bytes. */
uint16_t fkp_load16(const uint8_t *bytes);
uint32_t fkp_load32(const uint8_t *bytes);
uint64_t fkp_load64(const uint8_t *bytes);

/* Adds a tensor whose element 0 is at `data` with `available` bytes of its storage from there on. Checks name
 * and limits, and that every element lies inside. The name is copied; count is computed. */
facekp_status fkp_weights_add(fkp_weights *weights, const char *name, const fkp_tensor *tensor,
                              size_t available, fkp_error *error);
facekp_status fkp_weights_add_metadata(fkp_weights *weights, const char *key, const char *value,
                                       fkp_error *error);
/* Fills tensor->strides for a dense, row-major tensor. */
void fkp_dense_strides(fkp_tensor *tensor);
bool fkp_tensor_dense(const fkp_tensor *tensor);
/* Elements [first, first + count) in row-major order, as fkp_tensor_read. */
void fkp_tensor_read_part(const fkp_tensor *tensor, size_t first, size_t count, float *dst);
/* `count` elements that lie `step` bytes apart, as floats. */
void fkp_floats_from(fkp_dtype dtype, const uint8_t *bytes, size_t step, size_t count, float *values);
/* Copies the elements as they are, in row-major order; dst holds count * fkp_dtype_bytes. */
void fkp_tensor_gather(const fkp_tensor *tensor, uint8_t *dst);

/* names.c: takes known prefixes off the names, where that leaves them unique; sorts; refuses duplicates. */
facekp_status fkp_weights_index(fkp_weights *weights, fkp_error *error);

/* One reader a format: is it this format, and read it. */
bool fkp_is_safetensors(const uint8_t *data, size_t size);
facekp_status fkp_safetensors_read(fkp_weights *weights, fkp_error *error);
bool fkp_is_torch_zip(const uint8_t *data, size_t size);
facekp_status fkp_torch_zip_read(fkp_weights *weights, fkp_error *error);
bool fkp_is_torch_legacy(const uint8_t *data, size_t size);
facekp_status fkp_torch_legacy_read(fkp_weights *weights, fkp_error *error);
bool fkp_is_torch_tar(const uint8_t *data, size_t size);
facekp_status fkp_torch_tar_read(fkp_weights *weights, fkp_error *error);

#endif
