#include "train/data/loader.h"

#include <pthread.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"

#define SHUFFLE_STREAM UINT64_C(0x73687566666c65) /* "shuffle" */

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_LENT } slot_state;

typedef struct slot {
    slot_state state;
    fkp_batch batch;
    float *crops, *targets;
    size_t *faces;
    facekp_status status;
    fkp_error error;
} slot;

typedef struct preparer {
    fkp_loader *loader;
    pthread_t thread;
    float *scratch;       /* one crop */
    size_t *order;        /* of the epoch below */
    uint64_t order_epoch; /* UINT64_MAX: none yet */
} preparer;

struct fkp_loader {
    fkp_memory memory;
    fkp_loader_options options;
    size_t batch, target_floats, crop_floats;
    uint64_t steps;
    uint64_t next_filled, next_taken, end; /* batch numbers counted from epoch 0, step 0 */
    size_t slot_count, preparer_count, started;
    slot *slots;
    preparer *preparers;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stop;
};

/* ---- the threads' side ---- */

static size_t face_at(const fkp_loader_options *options, size_t i) {
    return options->faces == NULL ? i : options->faces[i];
}

/* Fisher and Yates, from the top. */
static void order_epoch(preparer *self, uint64_t epoch) {
    const fkp_loader_options *options = &self->loader->options;
    if (self->order_epoch == epoch) return;
    self->order_epoch = epoch;
    for (size_t i = 0; i < options->face_count; i++) self->order[i] = face_at(options, i);
    if (!options->training) return;
    fkp_random random = fkp_random_stream(options->seed, epoch, SHUFFLE_STREAM);
    for (size_t i = options->face_count; i > 1; i--) {
        size_t j = (size_t)fkp_random_below(&random, i);
        size_t face = self->order[i - 1];
        self->order[i - 1] = self->order[j];
        self->order[j] = face;
    }
}

static void fill(preparer *self, slot *into, uint64_t number) {
    const fkp_loader *loader = self->loader;
    const fkp_loader_options *options = &loader->options;
    /* The host's allocator may be called from the host's own thread only. */
    const fkp_memory memory = fkp_memory_from(NULL);
    uint64_t epoch = number / loader->steps, step = number % loader->steps;
    size_t first = (size_t)step * loader->batch;
    size_t count = fkp_min_size(loader->batch, options->face_count - first);
    order_epoch(self, epoch);
    into->status = FACEKP_OK;
    for (size_t i = 0; i < count && into->status == FACEKP_OK; i++) {
        into->faces[i] = self->order[first + i];
        into->status = fkp_sample(options->dataset, into->faces[i], &options->augment, options->seed, epoch,
                                  &memory, options->size, into->crops + i * loader->crop_floats,
                                  into->targets + i * loader->target_floats, self->scratch, &into->error);
    }
    into->batch = (fkp_batch){count, epoch, step, into->crops, into->targets, into->faces};
}

/* The slot of the next batch to fill, or NULL when there is nothing more to do. */
static slot *await_free_slot(fkp_loader *loader, uint64_t *number) {
    for (;;) {
        if (loader->stop || loader->next_filled == loader->end) return NULL;
        slot *next = &loader->slots[loader->next_filled % loader->slot_count];
        if (next->state == SLOT_FREE) {
            next->state = SLOT_FILLING;
            *number = loader->next_filled++;
            return next;
        }
        pthread_cond_wait(&loader->changed, &loader->mutex);
    }
}

static void *preparer_main(void *argument) {
    preparer *self = argument;
    fkp_loader *loader = self->loader;
    uint64_t number;
    pthread_mutex_lock(&loader->mutex);
    for (slot *next; (next = await_free_slot(loader, &number)) != NULL;) {
        pthread_mutex_unlock(&loader->mutex);
        fill(self, next, number);
        pthread_mutex_lock(&loader->mutex);
        next->state = SLOT_READY;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* ---- the trainer's side ---- */

static void stop_threads(fkp_loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    for (size_t i = 0; i < loader->started; i++) pthread_join(loader->preparers[i].thread, NULL);
}

void fkp_loader_free(fkp_loader *loader) {
    if (loader == NULL) return;
    fkp_memory memory = loader->memory;
    stop_threads(loader);
    pthread_mutex_destroy(&loader->mutex);
    pthread_cond_destroy(&loader->changed);
    for (size_t i = 0; loader->slots != NULL && i < loader->slot_count; i++) {
        fkp_release(&memory, loader->slots[i].crops, loader->batch, loader->crop_floats * sizeof(float));
        fkp_release(&memory, loader->slots[i].targets, loader->batch, loader->target_floats * sizeof(float));
        fkp_release(&memory, loader->slots[i].faces, loader->batch, sizeof(size_t));
    }
    for (size_t i = 0; loader->preparers != NULL && i < loader->preparer_count; i++) {
        fkp_release(&memory, loader->preparers[i].scratch, loader->crop_floats, sizeof(float));
        fkp_release(&memory, loader->preparers[i].order, loader->options.face_count, sizeof(size_t));
    }
    fkp_release(&memory, loader->slots, loader->slot_count, sizeof *loader->slots);
    fkp_release(&memory, loader->preparers, loader->preparer_count, sizeof *loader->preparers);
    fkp_release(&memory, loader, 1, sizeof *loader);
}

static bool allocate_buffers(fkp_loader *loader) {
    const fkp_memory *memory = &loader->memory;
    bool good = true;
    loader->slots = fkp_allocate(memory, loader->slot_count, sizeof *loader->slots);
    loader->preparers = fkp_allocate(memory, loader->preparer_count, sizeof *loader->preparers);
    if (loader->slots == NULL || loader->preparers == NULL) return false;
    for (size_t i = 0; i < loader->slot_count; i++) {
        slot *s = &loader->slots[i];
        s->crops = fkp_allocate_raw(memory, loader->batch, loader->crop_floats * sizeof(float));
        s->targets = fkp_allocate_raw(memory, loader->batch, loader->target_floats * sizeof(float));
        s->faces = fkp_allocate_raw(memory, loader->batch, sizeof(size_t));
        good = good && s->crops != NULL && s->targets != NULL && s->faces != NULL;
    }
    for (size_t i = 0; i < loader->preparer_count; i++) {
        preparer *p = &loader->preparers[i];
        p->loader = loader;
        p->order_epoch = UINT64_MAX;
        p->scratch = fkp_allocate_raw(memory, loader->crop_floats, sizeof(float));
        p->order = fkp_allocate_raw(memory, loader->options.face_count, sizeof(size_t));
        good = good && p->scratch != NULL && p->order != NULL;
    }
    return good;
}

static facekp_status check_options(const fkp_loader_options *options, size_t face_count, fkp_error *error) {
    if (face_count == 0) return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "there is no face to load");
    if (options->batch == 0 || options->batch > FKP_MAX_BATCH)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a batch of %zu faces; it must be 1 to %d",
                        options->batch, FKP_MAX_BATCH);
    if (options->size < 16 || options->size > 4096)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "an input of %d pixels; it must be 16 to 4096",
                        (int)options->size);
    if (options->threads < 0 || options->threads > FKP_MAX_LOADER_THREADS || options->ahead < 0 ||
        options->ahead > 64)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%d loading threads, %d batches ahead: at most %d, 64",
                        (int)options->threads, (int)options->ahead, FKP_MAX_LOADER_THREADS);
    return fkp_augment_check(&options->augment, options->dataset->keypoints, error);
}

static facekp_status start_threads(fkp_loader *loader, fkp_error *error) {
    for (size_t i = 0; i < loader->preparer_count; i++) {
        if (pthread_create(&loader->preparers[i].thread, NULL, preparer_main, &loader->preparers[i]) != 0)
            return fkp_fail(error, FACEKP_ERROR_THREAD, "loading thread %zu could not be started", i + 1);
        loader->started++;
    }
    return FACEKP_OK;
}

facekp_status fkp_loader_create(const fkp_memory *memory, const fkp_loader_options *options, uint64_t epoch,
                                uint64_t step, fkp_loader **result, fkp_error *error) {
    *result = NULL;
    size_t face_count = options->faces == NULL ? options->dataset->count : options->face_count;
    facekp_status status = check_options(options, face_count, error);
    if (status != FACEKP_OK) return status;
    fkp_loader *loader = fkp_allocate(memory, 1, sizeof *loader);
    if (loader == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a loader");
    loader->memory = *memory;
    loader->options = *options;
    loader->options.face_count = face_count;
    loader->batch = fkp_min_size(options->batch, face_count);
    loader->steps = options->training ? face_count / loader->batch : fkp_divide_up(face_count, loader->batch);
    loader->crop_floats = (size_t)options->size * (size_t)options->size;
    loader->target_floats = options->dataset->keypoints * 2;
    loader->preparer_count = options->threads == 0 ? 1 : (size_t)options->threads;
    loader->slot_count = (options->ahead == 0 ? 3 : (size_t)options->ahead) + 1; /* and the one lent */
    loader->next_filled = loader->next_taken = epoch * loader->steps + step;
    loader->end = options->training ? UINT64_MAX : (epoch + 1) * loader->steps;
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->changed, NULL);
    status = allocate_buffers(loader)
                 ? start_threads(loader, error)
                 : fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for batches of %zu", loader->batch);
    if (status != FACEKP_OK) {
        fkp_loader_free(loader);
        return status;
    }
    *result = loader;
    return FACEKP_OK;
}

uint64_t fkp_loader_steps(const fkp_loader *loader) { return loader->steps; }

facekp_status fkp_loader_next(fkp_loader *loader, fkp_batch *batch, fkp_error *error) {
    *batch = (fkp_batch){0};
    pthread_mutex_lock(&loader->mutex);
    slot *lent = &loader->slots[(loader->next_taken + loader->slot_count - 1) % loader->slot_count];
    if (lent->state == SLOT_LENT) {
        lent->state = SLOT_FREE;
        pthread_cond_broadcast(&loader->changed);
    }
    facekp_status status = FACEKP_OK;
    if (loader->next_taken < loader->end) {
        slot *next = &loader->slots[loader->next_taken % loader->slot_count];
        while (next->state != SLOT_READY) pthread_cond_wait(&loader->changed, &loader->mutex);
        status = next->status;
        if (status == FACEKP_OK) {
            next->state = SLOT_LENT;
            *batch = next->batch;
            loader->next_taken++;
        } else {
            (void)fkp_fail(error, status, "%s", next->error.message); /* stays ready: it fails again */
        }
    }
    pthread_mutex_unlock(&loader->mutex);
    return status;
}
