/* Writing safetensors as the reference does: the header padded with spaces to a multiple of 8, wider elements
 * first and then by name, so that every tensor is aligned. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/sort.h"
#include "weights/container.h"

#define CHUNK 1024 /* floats converted at a time */

/* A tensor to write: its dtype in the file, and either floats or a tensor of a weights file. */
typedef struct output {
    const char *name;
    fkp_dtype dtype;
    int32_t rank;
    const size_t *shape;
    size_t count;
    const float *floats;
    const fkp_tensor *tensor;
} output;

typedef struct write_job {
    const fkp_memory *memory;
    const char *path;
    output *sources;
    uint32_t *order;
    size_t count;
    const fkp_metadata *metadata[2]; /* of two entries with one key, the one of the first list holds */
    size_t metadata_count[2];
    fkp_error *error;
} write_job;

static int compare_sources(const void *context, uint32_t a, uint32_t b) {
    const output *first = (const output *)context + a, *second = (const output *)context + b;
    size_t first_bytes = fkp_dtype_bytes(first->dtype), second_bytes = fkp_dtype_bytes(second->dtype);
    if (first_bytes != second_bytes) return first_bytes > second_bytes ? -1 : 1;
    return strcmp(first->name, second->name);
}

static bool first_list_has(const write_job *job, const char *key) {
    for (size_t i = 0; i < job->metadata_count[0]; i++)
        if (strcmp(job->metadata[0][i].key, key) == 0) return true;
    return false;
}

static void write_metadata(const write_job *job, fkp_json_writer *header) {
    if (job->metadata_count[0] + job->metadata_count[1] == 0) return;
    fkp_json_write_raw(header, "\"__metadata__\":{");
    bool comma = false;
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < job->metadata_count[list]; i++) {
            const fkp_metadata *entry = &job->metadata[list][i];
            if (list == 1 && first_list_has(job, entry->key)) continue;
            if (comma) fkp_json_write_raw(header, ",");
            fkp_json_write_string(header, entry->key);
            fkp_json_write_raw(header, ":");
            fkp_json_write_string(header, entry->value);
            comma = true;
        }
    fkp_json_write_raw(header, job->count != 0 ? "}," : "}");
}

static void write_entry(const output *source, size_t begin, size_t end, fkp_json_writer *header) {
    fkp_json_write_string(header, source->name);
    fkp_json_write_raw(header, ":{\"dtype\":");
    fkp_json_write_string(header, fkp_dtype_name(source->dtype));
    fkp_json_write_raw(header, ",\"shape\":[");
    for (int32_t i = 0; i < source->rank; i++) {
        if (i > 0) fkp_json_write_raw(header, ",");
        fkp_json_write_unsigned(header, source->shape[i]);
    }
    fkp_json_write_raw(header, "],\"data_offsets\":[");
    fkp_json_write_unsigned(header, begin);
    fkp_json_write_raw(header, ",");
    fkp_json_write_unsigned(header, end);
    fkp_json_write_raw(header, "]}");
}

static facekp_status write_header(const write_job *job, fkp_json_writer *header) {
    size_t offset = 0;
    fkp_json_write_raw(header, "{");
    write_metadata(job, header);
    for (size_t i = 0; i < job->count; i++) {
        const output *source = &job->sources[job->order[i]];
        size_t bytes, end;
        if (!fkp_checked_multiply(source->count, fkp_dtype_bytes(source->dtype), &bytes) ||
            !fkp_checked_add(offset, bytes, &end))
            return fkp_fail(job->error, FACEKP_ERROR_LIMIT, "%s: the tensors are too large to write",
                            job->path);
        if (i > 0) fkp_json_write_raw(header, ",");
        write_entry(source, offset, end, header);
        offset = end;
    }
    fkp_json_write_raw(header, "}");
    while (header->used % 8 != 0 && !header->failed) fkp_json_write_raw(header, " ");
    if (header->failed)
        return fkp_fail(job->error, FACEKP_ERROR_MEMORY, "%s: no memory for the header", job->path);
    return FACEKP_OK;
}

static void store64(uint64_t value, uint8_t *bytes) {
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static size_t encode(fkp_dtype dtype, float value, uint8_t *bytes) {
    uint32_t bits;
    if (dtype == FKP_F32)
        memcpy(&bits, &value, sizeof bits);
    else
        bits = dtype == FKP_F16 ? fkp_float_to_half(value) : fkp_float_to_bfloat16(value);
    size_t width = fkp_dtype_bytes(dtype);
    for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(bits >> (8 * i));
    return width;
}

/* A finite number that the narrow type would make infinite is an error: nothing is clipped silently. */
static bool overflows(fkp_dtype dtype, float value) {
    if (dtype == FKP_F32 || !isfinite(value)) return false;
    return isinf(dtype == FKP_F16 ? fkp_half_to_float(fkp_float_to_half(value))
                                  : fkp_bfloat16_to_float(fkp_float_to_bfloat16(value)));
}

static facekp_status write_floats(const write_job *job, const output *source, const float *floats,
                                  fkp_writer *writer) {
    uint8_t bytes[CHUNK * sizeof(float)];
    for (size_t begin = 0; begin < source->count; begin += CHUNK) {
        size_t count = fkp_min_size(CHUNK, source->count - begin), used = 0;
        for (size_t i = 0; i < count; i++) {
            float value = floats[begin + i];
            if (overflows(source->dtype, value))
                return fkp_fail(job->error, FACEKP_ERROR_VALUE,
                                "%.200s: %g does not fit %s; write BF16 or F32", source->name, (double)value,
                                fkp_dtype_name(source->dtype));
            used += encode(source->dtype, value, bytes + used);
        }
        fkp_writer_write(writer, bytes, used);
    }
    return FACEKP_OK;
}

static facekp_status no_memory(const write_job *job, const output *source) {
    return fkp_fail(job->error, FACEKP_ERROR_MEMORY, "%.200s: no memory to convert it", source->name);
}

static facekp_status write_tensor(const write_job *job, const output *source, fkp_writer *writer) {
    const fkp_tensor *tensor = source->tensor;
    if (tensor == NULL) return write_floats(job, source, source->floats, writer);
    size_t width = fkp_dtype_bytes(tensor->dtype);
    facekp_status status = FACEKP_OK;
    if (tensor->dtype != source->dtype) {
        float *floats = fkp_allocate_raw(job->memory, tensor->count, sizeof *floats);
        if (floats == NULL) return no_memory(job, source);
        fkp_tensor_read(tensor, floats);
        status = write_floats(job, source, floats, writer);
        fkp_release(job->memory, floats, tensor->count, sizeof *floats);
    } else if (fkp_tensor_dense(tensor)) {
        fkp_writer_write(writer, tensor->data, tensor->count * width);
    } else {
        uint8_t *elements = fkp_allocate_raw(job->memory, tensor->count, width);
        if (elements == NULL) return no_memory(job, source);
        fkp_tensor_gather(tensor, elements);
        fkp_writer_write(writer, elements, tensor->count * width);
        fkp_release(job->memory, elements, tensor->count, width);
    }
    return status;
}

static facekp_status write_data(const write_job *job, const fkp_json_writer *header) {
    fkp_writer *writer;
    facekp_status status = fkp_writer_open(job->memory, job->path, &writer, job->error);
    if (status != FACEKP_OK) return status;
    uint8_t length[8];
    store64(header->used, length);
    fkp_writer_write(writer, length, sizeof length);
    fkp_writer_write(writer, header->text, header->used);
    for (size_t i = 0; i < job->count && status == FACEKP_OK; i++)
        status = write_tensor(job, &job->sources[job->order[i]], writer);
    if (status == FACEKP_OK) return fkp_writer_finish(writer, job->error);
    fkp_writer_abandon(writer);
    return status;
}

static facekp_status run(const write_job *job) {
    for (size_t i = 0; i < job->count; i++) job->order[i] = (uint32_t)i;
    fkp_sort(job->order, job->count, compare_sources, job->sources);
    for (size_t i = 1; i < job->count; i++)
        if (compare_sources(job->sources, job->order[i - 1], job->order[i]) == 0)
            return fkp_fail(job->error, FACEKP_ERROR_ARGUMENT, "%s: two tensors are called %.200s", job->path,
                            job->sources[job->order[i]].name);
    fkp_json_writer header;
    fkp_json_writer_begin(&header, job->memory);
    facekp_status status = write_header(job, &header);
    if (status == FACEKP_OK) status = write_data(job, &header);
    fkp_json_writer_free(&header);
    return status;
}

static facekp_status job_begin(write_job *job, size_t count) {
    job->count = count;
    if (count > FKP_MAX_TENSORS)
        return fkp_fail(job->error, FACEKP_ERROR_LIMIT, "%s: more than %d tensors", job->path,
                        FKP_MAX_TENSORS);
    job->sources = fkp_allocate(job->memory, count, sizeof *job->sources);
    job->order = fkp_allocate(job->memory, count, sizeof *job->order);
    if (job->sources == NULL || job->order == NULL)
        return fkp_fail(job->error, FACEKP_ERROR_MEMORY, "%s: no memory to write %zu tensors", job->path,
                        count);
    return FACEKP_OK;
}

static void job_end(write_job *job) {
    fkp_release(job->memory, job->sources, job->count, sizeof *job->sources);
    fkp_release(job->memory, job->order, job->count, sizeof *job->order);
}

facekp_status fkp_safetensors_write(const fkp_memory *memory, const char *path,
                                    const fkp_write_tensor *tensors, size_t count, fkp_dtype dtype,
                                    const fkp_metadata *metadata, size_t metadata_count, fkp_error *error) {
    if (dtype != FKP_F32 && dtype != FKP_F16 && dtype != FKP_BF16)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%s: weights are written as F32, F16 or BF16", path);
    write_job job = {memory, path, NULL, NULL, 0, {metadata, NULL}, {metadata_count, 0}, error};
    facekp_status status = job_begin(&job, count);
    for (size_t i = 0; i < count && status == FACEKP_OK; i++) {
        const fkp_write_tensor *t = &tensors[i];
        size_t product;
        if (!fkp_shape_count(t->shape, t->rank, &product))
            status = fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%.200s: its shape is too large", t->name);
        else
            job.sources[i] = (output){t->name, dtype, t->rank, t->shape, product, t->data, NULL};
    }
    if (status == FACEKP_OK) status = run(&job);
    job_end(&job);
    return status;
}

static bool floating(fkp_dtype dtype) {
    return dtype == FKP_F32 || dtype == FKP_F16 || dtype == FKP_BF16 || dtype == FKP_F64;
}

facekp_status fkp_weights_write(const fkp_memory *memory, const fkp_weights *weights, const char *path,
                                fkp_dtype dtype, const fkp_metadata *extra, size_t extra_count,
                                fkp_error *error) {
    if (dtype != FKP_DTYPES && dtype != FKP_F32 && dtype != FKP_F16 && dtype != FKP_BF16)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%s: weights are written as F32, F16 or BF16", path);
    write_job job = {
        memory, path, NULL, NULL, 0, {extra, weights->metadata}, {extra_count, weights->metadata_count},
        error};
    facekp_status status = job_begin(&job, weights->count);
    for (size_t i = 0; i < weights->count && status == FACEKP_OK; i++) {
        const fkp_tensor *t = &weights->tensors[i];
        fkp_dtype written = dtype != FKP_DTYPES && floating(t->dtype) ? dtype : t->dtype;
        job.sources[i] = (output){t->name, written, t->rank, t->shape, t->count, NULL, t};
    }
    if (status == FACEKP_OK) status = run(&job);
    job_end(&job);
    return status;
}
