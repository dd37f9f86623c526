/* Rendered faces, written in the format of the data sets. */
/* For mkdir and stat. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/floating.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "facekp/train.h"
#include "image/image.h"
#include "train/data/synth.h"
#include "train/text.h"

/* What the preprocessing of record makes the shorter side of an image: such pictures are not resampled. */
#define DEFAULT_SIZE 250
#define TOGETHER 32 /* faces between two calls of the callback */
#define PATH_BYTES 4096
#define NAME_BYTES 32

/* A face of the part under way. */
typedef struct rendered_face {
    float points[2 * FACEKP_KEYPOINTS];
    facekp_status status;
    fkp_error error;
} rendered_face;

typedef struct synthesis {
    facekp_train_synthesis options;
    fkp_memory memory;
    fkp_pool *pool;
    int64_t first; /* face of the part under way */
    rendered_face faces[TOGETHER];
    fkp_text csv;
} synthesis;

/* Each face is a person of its own, frame 0 of video 0, as split.h reads names. */
static void name_face(char name[NAME_BYTES], int64_t face) {
    snprintf(name, NAME_BYTES, "face%06lld_00.png", (long long)face);
}

static facekp_status render(const synthesis *s, int64_t index, rendered_face *face) {
    /* The host's allocator may be called from the host's own thread only. */
    const fkp_memory memory = fkp_memory_from(NULL);
    const int32_t size = s->options.size;
    char name[NAME_BYTES], path[PATH_BYTES + NAME_BYTES];
    facekp_picture *picture;
    facekp_status status = fkp_picture_create(&memory, size, size, 1, &picture, &face->error);
    if (status != FACEKP_OK) return status;
    name_face(name, index);
    snprintf(path, sizeof path, "%.4000s/faces/%s", s->options.folder, name);
    status = fkp_synth_render(&memory, s->options.seed, (uint64_t)index, size, picture->pixels, face->points,
                              &face->error);
    if (status == FACEKP_OK) status = fkp_png_write(picture, path, &face->error);
    fkp_picture_free(picture);
    return status;
}

static void render_tile(void *argument, size_t index, size_t worker) {
    (void)worker;
    synthesis *s = argument;
    s->faces[index].error = (fkp_error){0};
    s->faces[index].status = render(s, s->first + (int64_t)index, &s->faces[index]);
}

static void append_header(fkp_text *csv) {
    fkp_text_append(csv, "image");
    for (int k = 0; k < FACEKP_KEYPOINTS; k++) fkp_text_append(csv, ",x%d,y%d", k, k);
    fkp_text_append(csv, "\n");
}

static void append_row(fkp_text *csv, int64_t index, const rendered_face *face) {
    char name[NAME_BYTES];
    name_face(name, index);
    fkp_text_append(csv, "%s", name);
    for (int i = 0; i < 2 * FACEKP_KEYPOINTS; i++) {
        fkp_text_append(csv, ",");
        fkp_text_number(csv, (double)face->points[i], 3);
    }
    fkp_text_append(csv, "\n");
}

static facekp_status render_faces(synthesis *s, fkp_error *error) {
    const facekp_train_synthesis *o = &s->options;
    append_header(&s->csv);
    for (s->first = 0; s->first < o->count; s->first += TOGETHER) {
        const size_t count = o->count - s->first < TOGETHER ? (size_t)(o->count - s->first) : TOGETHER;
        fkp_parallel(s->pool, count, render_tile, s);
        for (size_t i = 0; i < count; i++) {
            const rendered_face *face = &s->faces[i];
            if (face->status != FACEKP_OK) return fkp_fail(error, face->status, "%s", face->error.message);
            append_row(&s->csv, s->first + (int64_t)i, face);
        }
        const int64_t done = s->first + (int64_t)count;
        if (o->on_face != NULL && o->on_face(o->callback_user, done, o->count) != 0)
            return fkp_fail(error, FACEKP_ERROR_CANCELLED, "stopped by the callback after %lld faces",
                            (long long)done);
    }
    return fkp_text_check(&s->csv, error);
}

static facekp_status make_folder(const char *path, fkp_error *error) {
    struct stat status;
    if (mkdir(path, 0777) == 0 || (stat(path, &status) == 0 && S_ISDIR(status.st_mode))) return FACEKP_OK;
    return fkp_fail(error, FACEKP_ERROR_OPEN, "%s: the folder could not be made: %s", path, strerror(errno));
}

static facekp_status check(facekp_train_synthesis *o, fkp_error *error) {
    if (o->size == 0) o->size = DEFAULT_SIZE;
    if (o->folder == NULL || o->folder[0] == '\0' || strlen(o->folder) > 4000)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a folder is needed, its name at most 4000 bytes");
    if (o->count < 1 || o->count > INT32_MAX)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%lld faces; it must be 1 to %d", (long long)o->count,
                        INT32_MAX);
    if (o->size < FKP_SYNTH_SMALLEST || o->size > FKP_SYNTH_LARGEST)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "pictures of %d pixels a side; it must be %d to %d",
                        (int)o->size, FKP_SYNTH_SMALLEST, FKP_SYNTH_LARGEST);
    return FACEKP_OK;
}

static facekp_status synthesize(synthesis *s, fkp_error *error) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%.4000s/faces", s->options.folder);
    facekp_status status = make_folder(s->options.folder, error);
    if (status == FACEKP_OK) status = make_folder(path, error);
    if (status == FACEKP_OK)
        status = fkp_pool_create(&s->memory, s->options.threads, NULL, NULL, &s->pool, error);
    if (status == FACEKP_OK) status = render_faces(s, error);
    snprintf(path, sizeof path, "%.4000s/faces.csv", s->options.folder);
    if (status == FACEKP_OK) status = fkp_text_write(&s->csv, path, error);
    return status;
}

facekp_status facekp_train_synth(const facekp_train_synthesis *given) {
    facekp_train_synthesis options;
    facekp_allocator allocator;
    fkp_error error = {0};
    facekp_status status = fkp_struct_read(given, &options, sizeof options, "facekp_train_synthesis", NULL);
    if (status != FACEKP_OK) return status; /* where the message would go is not known */
    status = fkp_struct_read(options.allocator, &allocator, sizeof allocator, "facekp_allocator", &error);
    if (status == FACEKP_OK) status = check(&options, &error);
    const fkp_memory memory = fkp_memory_from(options.allocator == NULL ? NULL : &allocator);
    synthesis *s = status == FACEKP_OK ? fkp_allocate(&memory, 1, sizeof *s) : NULL;
    if (status == FACEKP_OK && s == NULL)
        status = fkp_fail(&error, FACEKP_ERROR_MEMORY, "no memory to render faces");
    if (status == FACEKP_OK) {
        s->options = options;
        s->memory = memory;
        fkp_text_begin(&s->csv, &memory);
        fkp_floating floating = fkp_floating_begin(true);
        status = synthesize(s, &error);
        fkp_floating_end(floating);
        fkp_text_free(&s->csv);
        fkp_pool_free(s->pool);
        fkp_release(&memory, s, 1, sizeof *s);
    }
    if (status != FACEKP_OK) fkp_error_copy(&error, options.message, options.message_size);
    return status;
}
