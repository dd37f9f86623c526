/* Element types, shapes, and the reading of strided elements. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "weights/container.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[FKP_DTYPES] = {
    [FKP_F32] = {"F32", 4}, [FKP_F16] = {"F16", 2},   [FKP_BF16] = {"BF16", 2}, [FKP_F64] = {"F64", 8},
    [FKP_I64] = {"I64", 8}, [FKP_I32] = {"I32", 4},   [FKP_I16] = {"I16", 2},   [FKP_I8] = {"I8", 1},
    [FKP_U8] = {"U8", 1},   [FKP_BOOL] = {"BOOL", 1},
};

size_t fkp_dtype_bytes(fkp_dtype dtype) { return dtypes[dtype].bytes; }
const char *fkp_dtype_name(fkp_dtype dtype) { return dtypes[dtype].name; }

bool fkp_shape_count(const size_t *shape, int32_t rank, size_t *count) {
    if (rank < 0 || rank > FKP_MAX_RANK) return false;
    size_t product = 1;
    for (int32_t i = 0; i < rank; i++)
        if (!fkp_checked_multiply(product, shape[i], &product)) return false;
    *count = product;
    return true;
}

void fkp_shape_text(const size_t *shape, int32_t rank, char *text, size_t size) {
    size_t used = 0;
    for (int32_t i = 0; i < rank && used < size; i++) {
        int wrote = snprintf(text + used, size - used, "%s%zu", i == 0 ? "[" : ", ", shape[i]);
        used += wrote < 0 ? size : (size_t)wrote;
    }
    if (used < size) snprintf(text + used, size - used, "%s", rank == 0 ? "[]" : "]");
}

uint16_t fkp_load16(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }
uint32_t fkp_load32(const uint8_t *bytes) {
    return fkp_load16(bytes) | (uint32_t)fkp_load16(bytes + 2) << 16;
}
uint64_t fkp_load64(const uint8_t *bytes) {
    return fkp_load32(bytes) | (uint64_t)fkp_load32(bytes + 4) << 32;
}

void fkp_dense_strides(fkp_tensor *tensor) {
    size_t stride = 1;
    for (int32_t i = tensor->rank; i-- > 0;) {
        tensor->strides[i] = stride;
        stride *= tensor->shape[i];
    }
}

bool fkp_tensor_dense(const fkp_tensor *tensor) {
    size_t stride = 1;
    for (int32_t i = tensor->rank; i-- > 0;) {
        if (tensor->shape[i] != 1 && tensor->strides[i] != stride) return tensor->count == 0;
        stride *= tensor->shape[i];
    }
    return true;
}

static float read_element(fkp_dtype dtype, const uint8_t *bytes) {
    uint32_t bits;
    uint64_t wide;
    float single;
    double number;
    switch (dtype) {
    case FKP_F32:
        bits = fkp_load32(bytes);
        memcpy(&single, &bits, sizeof single);
        return single;
    case FKP_F16:
        return fkp_half_to_float(fkp_load16(bytes));
    case FKP_BF16:
        return fkp_bfloat16_to_float(fkp_load16(bytes));
    case FKP_F64:
        wide = fkp_load64(bytes);
        memcpy(&number, &wide, sizeof number);
        return (float)number;
    case FKP_I64:
        return (float)(int64_t)fkp_load64(bytes);
    case FKP_I32:
        return (float)(int32_t)fkp_load32(bytes);
    case FKP_I16:
        return (float)(int16_t)fkp_load16(bytes);
    case FKP_I8:
        return (float)(int8_t)bytes[0];
    case FKP_BOOL:
        return bytes[0] != 0 ? 1.0f : 0.0f;
    default:
        return (float)bytes[0];
    }
}

/* Visits the rows (runs along the last axis) of a tensor in row-major order; a scalar is one row of one. */
typedef struct row_walk {
    const fkp_tensor *tensor;
    size_t index[FKP_MAX_RANK];
    size_t rows, length, step; /* step: bytes from element to element of a row */
    size_t width;              /* bytes of an element */
} row_walk;

static row_walk walk_begin(const fkp_tensor *tensor) {
    row_walk walk = {tensor, {0}, 0, 0, 0, fkp_dtype_bytes(tensor->dtype)};
    if (tensor->count == 0) return walk;
    int32_t last = tensor->rank - 1;
    walk.length = last < 0 ? 1 : tensor->shape[last];
    walk.step = last < 0 ? 0 : tensor->strides[last] * walk.width;
    walk.rows = tensor->count / walk.length;
    return walk;
}

/* Makes `row` the next one. */
static void walk_seek(row_walk *walk, size_t row) {
    for (int32_t i = walk->tensor->rank - 1; i-- > 0; row /= walk->tensor->shape[i])
        walk->index[i] = row % walk->tensor->shape[i];
}

static const uint8_t *walk_row(row_walk *walk) {
    const fkp_tensor *tensor = walk->tensor;
    size_t offset = 0;
    for (int32_t i = 0; i < tensor->rank - 1; i++) offset += walk->index[i] * tensor->strides[i];
    for (int32_t i = tensor->rank - 1; i-- > 0;) {
        if (++walk->index[i] < tensor->shape[i]) break;
        walk->index[i] = 0;
    }
    return tensor->data + offset * walk->width;
}

void fkp_floats_from(fkp_dtype dtype, const uint8_t *bytes, size_t step, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) values[i] = read_element(dtype, bytes + i * step);
}

void fkp_tensor_read_part(const fkp_tensor *tensor, size_t first, size_t count, float *dst) {
    if (count == 0) return;
    row_walk walk = walk_begin(tensor);
    size_t skip = first % walk.length;
    walk_seek(&walk, first / walk.length);
    for (size_t n; count > 0; dst += n, count -= n, skip = 0) {
        n = fkp_min_size(count, walk.length - skip);
        fkp_floats_from(tensor->dtype, walk_row(&walk) + skip * walk.step, walk.step, n, dst);
    }
}

void fkp_tensor_read(const fkp_tensor *tensor, float *dst) {
    fkp_tensor_read_part(tensor, 0, tensor->count, dst);
}

void fkp_tensor_gather(const fkp_tensor *tensor, uint8_t *dst) {
    row_walk walk = walk_begin(tensor);
    for (size_t row = 0; row < walk.rows; row++) {
        const uint8_t *src = walk_row(&walk);
        for (size_t i = 0; i < walk.length; i++, src += walk.step, dst += walk.width)
            memcpy(dst, src, walk.width);
    }
}
