/* The steps of a training, and the public functions around them. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/floating.h"
#include "base/random.h"
#include "base/structs.h"
#include "train/data/target.h"

#define DROPOUT_STREAM UINT64_C(0x64726f706f7574) /* "dropout" */

/* ---- one step ---- */

double fkp_train_loss(facekp_train *t, const float *output, const float *targets, size_t count,
                      float *d_output) {
    const fkp_context context = {.kernels = &t->kernels, .pool = t->pool, .scratch = t->loss_scratch};
    const fkp_shape shape = t->network->layers[t->network->layer_count - 1].shape;
    if (fkp_train_on_heatmaps(t)) {
        fkp_target_cells(targets, count * 2 * t->settings.keypoints, shape.width, t->cells);
        targets = t->cells;
    }
    const fkp_loss_batch batch = {count, shape, output, targets, d_output};
    return fkp_loss_run(&context, &t->settings.loss, &batch);
}

static facekp_status fail_not_finite(facekp_train *t, const char *what, double value,
                                     const fkp_batch *batch) {
    const fkp_face *face = &t->dataset->faces[batch->faces[0]];
    return fkp_fail(
        &t->error, FACEKP_ERROR_VALUE,
        "%s is %f in epoch %llu, step %llu (the batch that begins with %s); lower the learning rate or "
        "clip the gradients",
        what, value, (unsigned long long)batch->epoch, (unsigned long long)batch->step, face->name);
}

static void count_in(facekp_train *t, const float *targets, size_t count, double loss) {
    const size_t coordinates = count * 2 * t->settings.keypoints;
    double squares = 0.0;
    for (size_t i = 0; i < coordinates; i++) {
        double difference = (double)t->points[i] - (double)targets[i];
        squares += difference * difference;
    }
    t->position.square_sum += squares;
    t->position.coordinates += coordinates;
    t->position.loss_sum += loss;
    t->position.batches++;
}

/* Forward and backward over the parts of one step's batch; gradients add up. *loss is their mean. */
static facekp_status differentiate(facekp_train *t, const fkp_batch *batch, size_t *parts, double *loss) {
    const size_t crop = fkp_shape_floats(t->network->layers[0].shape), points = 2 * t->settings.keypoints;
    *loss = 0.0;
    *parts = 0;
    for (size_t first = 0; first < batch->count; first += t->settings.batch, ++*parts) {
        const size_t left = batch->count - first, count = left < t->settings.batch ? left : t->settings.batch;
        const float *targets = batch->targets + first * points;
        const uint64_t number = batch->epoch * t->steps + batch->step;
        const fkp_forward forward = {true,
                                     fkp_random_stream(t->options.seed ^ DROPOUT_STREAM, number, *parts).key};
        float *output =
            fkp_gradient_forward(t->engine, t->parameters, batch->crops + first * crop, count, &forward);
        fkp_train_points(t, output, count);
        double value = fkp_train_loss(t, output, targets, count, output);
        if (!isfinite(value)) return fail_not_finite(t, "the loss", value, batch);
        fkp_gradient_backward(t->engine, t->parameters, output, *parts > 0, t->gradients);
        count_in(t, targets, count, value);
        *loss += value;
    }
    *loss /= (double)*parts;
    return FACEKP_OK;
}

static facekp_status take_step(facekp_train *t, const fkp_batch *batch, facekp_train_step *step) {
    size_t parts;
    double loss;
    facekp_status status = differentiate(t, batch, &parts, &loss);
    if (status != FACEKP_OK) return status;
    const double rate = fkp_schedule_at(&t->settings.schedule, batch->epoch * t->steps + batch->step);
    const fkp_optimiser_step_values values = {rate, 1.0 / (double)parts};
    double norm = fkp_optimiser_step(t->optimiser, &values, t->parameters, t->gradients);
    if (!isfinite(norm)) return fail_not_finite(t, "the gradients' norm", norm, batch);
    *step = (facekp_train_step){.struct_size = sizeof *step,
                                .epoch = (int32_t)batch->epoch,
                                .epochs = t->settings.schedule.epochs,
                                .step = (int64_t)batch->step,
                                .steps = (int64_t)t->steps,
                                .loss = loss,
                                .gradient_norm = norm,
                                .learning_rate = rate};
    return FACEKP_OK;
}

/* ---- one epoch ---- */

/* What one call of facekp_train_run() has done, for the speeds. */
typedef struct run_clock {
    double training_seconds, epoch_seconds;
    uint64_t images, epoch_images;
} run_clock;

static facekp_status stop_here(facekp_train *t) {
    facekp_status status = fkp_train_write_checkpoint(t);
    if (status != FACEKP_OK) return status;
    return fkp_fail(&t->error, FACEKP_ERROR_CANCELLED,
                    "stopped by the callback in epoch %llu, before step %llu",
                    (unsigned long long)t->position.epoch, (unsigned long long)t->position.step);
}

static facekp_status run_steps(facekp_train *t, fkp_loader *loader, run_clock *clock) {
    const int32_t every = t->options.checkpoint_steps;
    while (t->position.step < t->steps) {
        fkp_batch batch;
        facekp_train_step step;
        const double begin = fkp_seconds_now();
        facekp_status status = fkp_loader_next(loader, &batch, &t->error);
        if (status == FACEKP_OK) status = take_step(t, &batch, &step);
        if (status != FACEKP_OK) return status;
        t->position.step++;
        const double seconds = fkp_seconds_now() - begin;
        clock->training_seconds += seconds;
        clock->epoch_seconds += seconds;
        clock->images += batch.count;
        clock->epoch_images += batch.count;
        step.images_per_second = (double)clock->images / fmax(clock->training_seconds, 1e-9);
        if (t->options.on_step != NULL && t->options.on_step(t->options.callback_user, &step) != 0)
            return stop_here(t);
        if (every > 0 && t->position.step % (uint64_t)every == 0) status = fkp_train_write_checkpoint(t);
        if (status != FACEKP_OK) return status;
    }
    return FACEKP_OK;
}

/* Validates; without validation every epoch is the best, and the numbers are NaN. */
static facekp_status judge_epoch(facekp_train *t, facekp_train_epoch *epoch, double *metric) {
    fkp_metrics_summary summary = {.mse = NAN,
                                   .nme = NAN,
                                   .median_error = NAN,
                                   .p95_error = NAN,
                                   .failure_rate = NAN,
                                   .auc = NAN,
                                   .all = {NAN, NAN, NAN}};
    epoch->validation_loss = NAN;
    facekp_status status = FACEKP_OK;
    if (fkp_train_validates(t)) status = fkp_train_validate(t, &epoch->validation_loss, &summary);
    epoch->validation = fkp_metrics_publish(&summary);
    *metric = t->settings.metric == FKP_BEST_MSE   ? summary.mse
              : t->settings.metric == FKP_BEST_NME ? summary.nme
                                                   : epoch->validation_loss;
    return status;
}

/* Validates, keeps the best, writes log and checkpoint. The log is written first: if the process dies between
 * the two, the resumed training repeats the epoch's end and writes the same line again. */
static facekp_status finish_epoch(facekp_train *t, const run_clock *clock, double started) {
    fkp_position *p = &t->position;
    double metric;
    facekp_train_epoch epoch = {.struct_size = sizeof epoch,
                                .epoch = (int32_t)p->epoch,
                                .epochs = t->settings.schedule.epochs,
                                .train_loss = p->loss_sum / (double)p->batches,
                                .train_mse = p->square_sum / (double)p->coordinates,
                                .images_per_second =
                                    (double)clock->epoch_images / fmax(clock->epoch_seconds, 1e-9)};
    epoch.learning_rate = fkp_schedule_at(&t->settings.schedule, (p->epoch + 1) * t->steps - 1);
    facekp_status status = judge_epoch(t, &epoch, &metric);
    if (status != FACEKP_OK) return status;
    epoch.best = !fkp_train_validates(t) || metric < p->best;
    if (epoch.best && t->options.output != NULL) status = fkp_train_write_output(t);
    epoch.seconds = fkp_seconds_now() - started;
    if (status == FACEKP_OK) status = fkp_train_write_log(t, &epoch);
    if (status != FACEKP_OK) return status;
    *p = (fkp_position){.epoch = p->epoch + 1,
                        .data = p->data,
                        .best = epoch.best ? metric : p->best,
                        .best_epoch = epoch.best ? p->epoch : p->best_epoch,
                        .worse_epochs = epoch.best ? 0 : p->worse_epochs + 1};
    status = fkp_train_write_checkpoint(t);
    if (status != FACEKP_OK) return status;
    if (t->options.on_epoch != NULL && t->options.on_epoch(t->options.callback_user, &epoch) != 0)
        return fkp_fail(&t->error, FACEKP_ERROR_CANCELLED, "stopped by the callback after epoch %d",
                        (int)epoch.epoch);
    return FACEKP_OK;
}

/* ---- all of it ---- */

static bool is_over(const facekp_train *t) {
    const uint64_t patience = (uint64_t)t->options.patience;
    return t->position.epoch >= (uint64_t)t->settings.schedule.epochs ||
           (patience > 0 && t->position.worse_epochs >= patience);
}

static facekp_status run_epochs(facekp_train *t, fkp_loader *loader) {
    run_clock clock = {0};
    facekp_status status = FACEKP_OK;
    while (status == FACEKP_OK && !is_over(t)) {
        const double started = fkp_seconds_now();
        clock.epoch_seconds = 0.0;
        clock.epoch_images = 0;
        fkp_optimiser_begin_epoch(t->optimiser, (int32_t)t->position.epoch);
        fkp_gradient_set_trained(t->engine, fkp_optimiser_trained(t->optimiser));
        status = run_steps(t, loader, &clock);
        if (status == FACEKP_OK) status = finish_epoch(t, &clock, started);
    }
    return status;
}

static facekp_status run(facekp_train *t) {
    const fkp_loader_options options = {.dataset = t->dataset,
                                        .faces = t->faces,
                                        .face_count = t->train_count,
                                        .batch = t->settings.batch * t->settings.accumulate,
                                        .size = (int32_t)t->network->layers[0].shape.width,
                                        .augment = t->settings.augment,
                                        .seed = t->options.seed,
                                        .training = true,
                                        .threads = t->options.loader_threads};
    fkp_loader *loader;
    facekp_status status =
        fkp_loader_create(&t->memory, &options, t->position.epoch, t->position.step, &loader, &t->error);
    if (status != FACEKP_OK) return status;
    status = run_epochs(t, loader);
    fkp_loader_free(loader);
    return status;
}

facekp_status facekp_train_run(facekp_train *train) {
    if (train == NULL) return FACEKP_ERROR_ARGUMENT;
    if (train->error.status == FACEKP_ERROR_VALUE)
        return fkp_fail(&train->error, FACEKP_ERROR_STATE,
                        "this training has failed; open it again from its checkpoint");
    fkp_floating floating = fkp_floating_begin(true);
    train->error = (fkp_error){0};
    facekp_status status = run(train);
    fkp_floating_end(floating);
    return status;
}

facekp_status facekp_train_open(const facekp_train_options *given, facekp_train **result) {
    if (result == NULL) return FACEKP_ERROR_ARGUMENT;
    *result = NULL;
    facekp_train_options options;
    facekp_allocator allocator;
    fkp_error error = {0};
    facekp_status status = fkp_struct_read(given, &options, sizeof options, "facekp_train_options", &error);
    if (status != FACEKP_OK) return status; /* where the message would go is not known */
    status = fkp_struct_read(options.allocator, &allocator, sizeof allocator, "facekp_allocator", &error);
    const fkp_memory memory = fkp_memory_from(options.allocator == NULL ? NULL : &allocator);
    facekp_train *train = status == FACEKP_OK ? fkp_allocate(&memory, 1, sizeof *train) : NULL;
    if (train == NULL) {
        if (status == FACEKP_OK) status = fkp_fail(&error, FACEKP_ERROR_MEMORY, "no memory for a training");
        fkp_error_copy(&error, options.message, options.message_size);
        return status;
    }
    train->memory = memory;
    train->options = options;
    fkp_text_begin(&train->description, &memory);
    fkp_floating floating = fkp_floating_begin(true);
    status = fkp_train_prepare(train, &options);
    fkp_floating_end(floating);
    if (status == FACEKP_OK) {
        *result = train;
        return FACEKP_OK;
    }
    fkp_error_copy(&train->error, options.message, options.message_size);
    facekp_train_free(train);
    return status;
}

static void free_string(const fkp_memory *memory, const char *text) {
    if (text != NULL) fkp_release(memory, (void *)(uintptr_t)text, strlen(text) + 1, 1);
}

static void free_buffers(facekp_train *t) {
    const fkp_memory *memory = &t->memory;
    const size_t coordinates = t->settings.batch * 2 * t->settings.keypoints;
    if (t->network == NULL) return;
    const size_t storage = t->network->storage;
    fkp_release(memory, t->parameters, storage, sizeof(float));
    fkp_release(memory, t->gradients, storage, sizeof(float));
    fkp_release(memory, t->loss_scratch, t->loss_scratch_floats, sizeof(float));
    fkp_release(memory, t->cells, coordinates, sizeof(float));
    fkp_release(memory, t->points, coordinates, sizeof(float));
    fkp_release(memory, t->plane, fkp_shape_rows(t->network->layers[t->network->layer_count - 1].shape),
                sizeof(float));
}

void facekp_train_free(facekp_train *t) {
    if (t == NULL) return;
    fkp_memory memory = t->memory;
    free_buffers(t);
    fkp_optimiser_free(t->optimiser);
    fkp_gradient_free(t->engine);
    fkp_pool_free(t->pool);
    fkp_network_free(&memory, t->network);
    fkp_release(&memory, t->faces, t->face_capacity, sizeof *t->faces);
    fkp_dataset_free(t->validation);
    fkp_dataset_free(t->dataset);
    fkp_text_free(&t->description);
    free_string(&memory, t->options.checkpoint);
    free_string(&memory, t->options.epoch_log);
    free_string(&memory, t->options.output);
    free_string(&memory, t->options.license);
    free_string(&memory, t->options.training_data);
    fkp_release(&memory, t, 1, sizeof *t);
}

const char *facekp_train_message(const facekp_train *train) {
    return train == NULL ? "" : train->error.message;
}

facekp_status facekp_train_get_info(const facekp_train *t, facekp_train_info *info) {
    if (t == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = fkp_struct_check(info, sizeof *info, "facekp_train_info", NULL);
    if (status != FACEKP_OK) return status;
    facekp_train_info known = {
        .train_faces = (int64_t)t->train_count,
        .validation_faces = (int64_t)(t->validation != NULL ? t->validation->count : t->held_count),
        .skipped_rows = (int64_t)(t->dataset->skipped + (t->validation != NULL ? t->validation->skipped : 0)),
        .engine_bytes = (int64_t)fkp_gradient_bytes(t->engine),
        .steps_per_epoch = (int64_t)t->steps};
    for (int32_t i = 0; i < t->network->layer_count; i++)
        known.parameters += (int64_t)fkp_layer_parameters(t->network, i);
    fkp_struct_write(info, &known, sizeof known);
    return FACEKP_OK;
}
