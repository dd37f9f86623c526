/* For access. */
#define _POSIX_C_SOURCE 200809L
#include "train/data/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "train/data/csv.h"
#include "train/text.h"

#define MAX_COLUMNS (4 * FKP_MAX_KEYPOINTS)
#define FRAMES_SUFFIX "_frames_keypoints"

facekp_status fkp_dataset_create(const fkp_memory *memory, size_t cache_bytes, fkp_dataset **result,
                                 fkp_error *error) {
    *result = NULL;
    fkp_dataset *dataset = fkp_allocate(memory, 1, sizeof *dataset);
    if (dataset == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a data set");
    dataset->memory = *memory;
    dataset->cache_bytes = cache_bytes == 0 ? FKP_DEFAULT_CACHE_BYTES : cache_bytes;
    *result = dataset;
    return FACEKP_OK;
}

static void release_string(const fkp_memory *memory, char *text) {
    if (text != NULL) fkp_release(memory, text, strlen(text) + 1, 1);
}

static void free_face(const fkp_memory *memory, fkp_face *face) {
    release_string(memory, face->name);
    release_string(memory, face->path);
    fkp_picture_free(face->picture);
    *face = (fkp_face){0};
}

static size_t picture_bytes(const fkp_face *face) { return (size_t)face->width * (size_t)face->height; }

static void release_arrays(fkp_dataset *dataset) {
    fkp_release(&dataset->memory, dataset->faces, dataset->capacity, sizeof *dataset->faces);
    fkp_release(&dataset->memory, dataset->points, dataset->capacity * dataset->keypoints, 2 * sizeof(float));
    dataset->faces = NULL;
    dataset->points = NULL;
    dataset->capacity = 0;
}

static void truncate_to(fkp_dataset *dataset, size_t count) {
    while (dataset->count > count) {
        fkp_face *face = &dataset->faces[--dataset->count];
        if (face->picture != NULL) dataset->cached -= picture_bytes(face);
        free_face(&dataset->memory, face);
    }
    if (count == 0) release_arrays(dataset); /* so that the next file may have another number of points */
}

void fkp_dataset_free(fkp_dataset *dataset) {
    if (dataset == NULL) return;
    fkp_memory memory = dataset->memory;
    truncate_to(dataset, 0);
    fkp_release(&memory, dataset, 1, sizeof *dataset);
}

/* Room for one more face. */
static facekp_status reserve(fkp_dataset *dataset, fkp_error *error) {
    if (dataset->count < dataset->capacity) return FACEKP_OK;
    size_t capacity = dataset->capacity == 0 ? 256 : dataset->capacity, floats;
    if (dataset->capacity != 0 && !fkp_checked_multiply(capacity, 2, &capacity)) capacity = SIZE_MAX;
    fkp_face *faces = NULL;
    float *points = NULL;
    if (fkp_checked_multiply(capacity, dataset->keypoints, &floats)) {
        faces = fkp_allocate(&dataset->memory, capacity, sizeof *faces);
        points = fkp_allocate_raw(&dataset->memory, floats, 2 * sizeof(float));
    }
    if (faces == NULL || points == NULL) {
        fkp_release(&dataset->memory, faces, capacity, sizeof *faces);
        if (points != NULL) fkp_release(&dataset->memory, points, floats, 2 * sizeof(float));
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for more than %zu faces", dataset->count);
    }
    if (dataset->count > 0) {
        memcpy(faces, dataset->faces, dataset->count * sizeof *faces);
        memcpy(points, dataset->points, dataset->count * dataset->keypoints * 2 * sizeof(float));
    }
    release_arrays(dataset);
    dataset->faces = faces;
    dataset->points = points;
    dataset->capacity = capacity;
    return FACEKP_OK;
}

/* ---- where the images are ---- */

static size_t length_without_csv(const char *path) {
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".csv") == 0 ? length - 4 : length;
}

static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* The folder's name as `length` bytes of the CSV's path; "" is the working folder. */
static size_t find_folder(const char *csv_path, char *scratch) {
    size_t stem = length_without_csv(csv_path), suffix = strlen(FRAMES_SUFFIX);
    memcpy(scratch, csv_path, stem);
    scratch[stem] = '\0';
    if (stem < strlen(csv_path) && access(scratch, X_OK) == 0) return stem;
    if (stem > suffix && strcmp(scratch + stem - suffix, FRAMES_SUFFIX) == 0) {
        scratch[stem - suffix] = '\0';
        if (access(scratch, X_OK) == 0) return stem - suffix;
    }
    return folder_length(csv_path);
}

static char *image_path(const fkp_memory *memory, const char *folder, fkp_field name) {
    size_t prefix = strlen(folder), length = (size_t)(name.end - name.begin);
    size_t slash = prefix > 0 && folder[prefix - 1] != '/';
    char *path = fkp_allocate_raw(memory, prefix + slash + length + 1, 1);
    if (path == NULL) return NULL;
    memcpy(path, folder, prefix);
    if (slash) path[prefix] = '/';
    memcpy(path + prefix + slash, name.begin, length);
    path[prefix + slash + length] = '\0';
    return path;
}

/* ---- one file ---- */

/* A CSV file being read: where it is, and which column holds what. */
typedef struct reading {
    const fkp_dataset_options *options;
    const char *csv_path;
    char *folder;
    size_t folder_bytes;
    fkp_csv csv;
    fkp_field *fields; /* MAX_COLUMNS */
    size_t *columns;   /* of coordinate i; keypoints x 2 */
    size_t image_column;
    size_t column_count;
} reading;

static facekp_status fail_at(const reading *in, fkp_error *error, facekp_status status, const char *what) {
    return fkp_fail(error, status, "%s:%zu: %s", in->csv_path, in->csv.line, what);
}

/* The name a column of coordinate `i` has in one of the two layouts. */
static void coordinate_name(char name[32], size_t i, bool numbered) {
    if (numbered)
        snprintf(name, 32, "%zu", i);
    else
        snprintf(name, 32, "%c%zu", i % 2 == 0 ? 'x' : 'y', i / 2);
}

static size_t find_column(const reading *in, const char *name) {
    size_t column = 0;
    while (column < in->column_count && !fkp_field_equals(in->fields[column], name)) column++;
    return column;
}

static facekp_status read_header(reading *in, size_t *keypoints, fkp_error *error) {
    char name[32];
    if (!fkp_csv_next(&in->csv, in->fields, MAX_COLUMNS, &in->column_count))
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s: there is no header line", in->csv_path);
    if (in->column_count > MAX_COLUMNS)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "%s:%zu: %zu columns; at most %d are read", in->csv_path,
                        in->csv.line, in->column_count, MAX_COLUMNS);
    in->image_column = find_column(in, "image");
    bool numbered = in->image_column == in->column_count && find_column(in, "0") < in->column_count;
    if (numbered) in->image_column = 0;
    if (in->image_column == in->column_count)
        return fail_at(in, error, FACEKP_ERROR_FORMAT, "column \"image\" is missing");
    size_t wanted = *keypoints;
    for (size_t i = 0; i < 2 * FKP_MAX_KEYPOINTS; i++) {
        coordinate_name(name, i, numbered);
        in->columns[i] = find_column(in, name);
        bool missing = in->columns[i] == in->column_count;
        if (missing && wanted == 0 && i > 0 && i % 2 == 0) {
            *keypoints = i / 2;
            return FACEKP_OK;
        }
        if (missing)
            return fkp_fail(error, FACEKP_ERROR_FORMAT,
                            "%s:%zu: column \"%s\" is missing (%zu of %zu points are there)", in->csv_path,
                            in->csv.line, name, i / 2, wanted == 0 ? i / 2 + 1 : wanted);
        if (i + 1 == 2 * wanted) return FACEKP_OK;
    }
    *keypoints = FKP_MAX_KEYPOINTS;
    return FACEKP_OK;
}

static facekp_status read_points(const reading *in, size_t field_count, size_t keypoints, float *points,
                                 fkp_error *error) {
    char name[32];
    if (field_count < in->column_count)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s:%zu: %zu fields where the header has %zu",
                        in->csv_path, in->csv.line, field_count, in->column_count);
    for (size_t i = 0; i < 2 * keypoints; i++) {
        fkp_field field = in->fields[in->columns[i]];
        coordinate_name(name, i, false);
        double value;
        if (!fkp_parse_number(field.begin, field.end, &value))
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s:%zu: %s is \"%.*s\", not a number", in->csv_path,
                            in->csv.line, name, (int)fkp_min_size((size_t)(field.end - field.begin), 32),
                            field.begin);
        if (!(fabs(value) < 1e9))
            return fkp_fail(error, FACEKP_ERROR_VALUE, "%s:%zu: %s is \"%.*s\", not a finite coordinate",
                            in->csv_path, in->csv.line, name,
                            (int)fkp_min_size((size_t)(field.end - field.begin), 32), field.begin);
        points[i] = (float)value;
    }
    return FACEKP_OK;
}

static facekp_status check_inside(const reading *in, const fkp_face *face, const float *points,
                                  size_t keypoints, fkp_error *error) {
    double side = face->width > face->height ? face->width : face->height;
    for (size_t k = 0; k < keypoints; k++) {
        double x = (double)points[2 * k], y = (double)points[2 * k + 1];
        if (x < -side || y < -side || x > face->width + side || y > face->height + side)
            return fkp_fail(error, FACEKP_ERROR_VALUE,
                            "%s:%zu: point %zu (%.1f, %.1f) lies far outside its image of %d x %d pixels",
                            in->csv_path, in->csv.line, k, x, y, (int)face->width, (int)face->height);
    }
    return FACEKP_OK;
}

static facekp_status read_image(const reading *in, fkp_dataset *dataset, fkp_face *face, fkp_error *error) {
    facekp_picture *picture;
    facekp_status status = fkp_png_read(&dataset->memory, face->path, 1, &picture, error);
    if (status != FACEKP_OK) {
        char place[FKP_MESSAGE_BYTES / 4];
        snprintf(place, sizeof place, "%s:%zu", in->csv_path, in->csv.line);
        return fkp_fail_in(error, place);
    }
    face->width = picture->width;
    face->height = picture->height;
    face->picture = picture;
    return FACEKP_OK;
}

/* Reads one row into the place after the last face; the caller counts it in. */
static facekp_status read_row(const reading *in, size_t field_count, fkp_dataset *dataset, fkp_error *error) {
    facekp_status status = reserve(dataset, error);
    if (status != FACEKP_OK) return status;
    fkp_face *face = &dataset->faces[dataset->count];
    float *points = dataset->points + dataset->count * dataset->keypoints * 2;
    status = read_points(in, field_count, dataset->keypoints, points, error);
    if (status != FACEKP_OK) return status;
    fkp_field name = in->fields[in->image_column];
    if (name.begin == name.end) return fail_at(in, error, FACEKP_ERROR_FORMAT, "the image's name is empty");
    face->path = image_path(&dataset->memory, in->folder, name);
    face->name = image_path(&dataset->memory, "", name);
    if (face->path == NULL || face->name == NULL)
        status = fail_at(in, error, FACEKP_ERROR_MEMORY, "no memory for the image's name");
    if (status == FACEKP_OK) status = read_image(in, dataset, face, error);
    if (status == FACEKP_OK) status = check_inside(in, face, points, dataset->keypoints, error);
    if (status != FACEKP_OK) {
        free_face(&dataset->memory, face);
        return status;
    }
    memcpy(face->label_bias, in->options->label_bias, sizeof face->label_bias);
    if (picture_bytes(face) <= dataset->cache_bytes - dataset->cached) {
        dataset->cached += picture_bytes(face);
    } else {
        fkp_picture_free(face->picture);
        face->picture = NULL;
    }
    return FACEKP_OK;
}

static bool may_skip(facekp_status status) {
    return status != FACEKP_ERROR_MEMORY && status != FACEKP_ERROR_THREAD;
}

static facekp_status read_rows(reading *in, fkp_dataset *dataset, fkp_error *error) {
    size_t first = dataset->count, skipped = 0, field_count;
    while (fkp_csv_next(&in->csv, in->fields, MAX_COLUMNS, &field_count)) {
        facekp_status status = read_row(in, field_count, dataset, error);
        if (status == FACEKP_OK) {
            dataset->count++;
        } else if (in->options->skip_bad && may_skip(status)) {
            skipped++;
            if (in->options->log != NULL)
                in->options->log(in->options->log_user, FACEKP_LOG_WARNING, error->message);
        } else {
            return status;
        }
    }
    if (dataset->count == first)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s: there is no usable row (%zu were skipped)",
                        in->csv_path, skipped);
    dataset->skipped += skipped;
    return FACEKP_OK;
}

static facekp_status read_file(reading *in, fkp_dataset *dataset, const fkp_file *file, fkp_error *error) {
    size_t keypoints = dataset->count > 0 ? dataset->keypoints : in->options->keypoints;
    if (keypoints > FKP_MAX_KEYPOINTS)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "%zu points; at most %d are supported", keypoints,
                        FKP_MAX_KEYPOINTS);
    fkp_csv_begin(&in->csv, file->data, file->size);
    facekp_status status = read_header(in, &keypoints, error);
    if (status != FACEKP_OK) return status;
    dataset->keypoints = keypoints;
    return read_rows(in, dataset, error);
}

facekp_status fkp_dataset_add(fkp_dataset *dataset, const char *csv_path, const fkp_dataset_options *options,
                              fkp_error *error) {
    fkp_error own = {0};
    if (error == NULL) error = &own;
    fkp_file file;
    facekp_status status = fkp_file_open(csv_path, &file, error);
    if (status != FACEKP_OK) return status;
    const fkp_memory *memory = &dataset->memory;
    size_t count = dataset->count;
    reading in = {.options = options, .csv_path = csv_path};
    in.folder_bytes = strlen(options->folder != NULL ? options->folder : csv_path) + 1;
    in.folder = fkp_allocate(memory, in.folder_bytes, 1);
    in.fields = fkp_allocate_raw(memory, MAX_COLUMNS, sizeof *in.fields);
    in.columns = fkp_allocate_raw(memory, 2 * FKP_MAX_KEYPOINTS, sizeof *in.columns);
    if (in.folder == NULL || in.fields == NULL || in.columns == NULL) {
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory to read it", csv_path);
    } else {
        if (options->folder != NULL)
            memcpy(in.folder, options->folder, in.folder_bytes);
        else
            in.folder[find_folder(csv_path, in.folder)] = '\0';
        status = read_file(&in, dataset, &file, error);
    }
    fkp_release(memory, in.columns, 2 * FKP_MAX_KEYPOINTS, sizeof *in.columns);
    fkp_release(memory, in.fields, MAX_COLUMNS, sizeof *in.fields);
    fkp_release(memory, in.folder, in.folder_bytes, 1);
    fkp_file_close(&file);
    if (status != FACEKP_OK) truncate_to(dataset, count);
    return status;
}

facekp_status fkp_dataset_image(const fkp_dataset *dataset, size_t face, const fkp_memory *memory,
                                facekp_image *image, facekp_picture **owned, fkp_error *error) {
    const fkp_face *record = &dataset->faces[face];
    const facekp_picture *picture = record->picture;
    *owned = NULL;
    if (picture == NULL) {
        facekp_status status = fkp_png_read(memory, record->path, 1, owned, error);
        if (status != FACEKP_OK) return status;
        picture = *owned;
        if (picture->width != record->width || picture->height != record->height) {
            fkp_picture_free(*owned);
            *owned = NULL;
            return fkp_fail(error, FACEKP_ERROR_READ, "%s: the image was changed since it was first read",
                            record->path);
        }
    }
    *image =
        (facekp_image){sizeof *image, picture->pixels, 0, picture->width, picture->height, FACEKP_GRAY8, 0};
    return FACEKP_OK;
}
