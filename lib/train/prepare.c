/* What a training starts from: data, network, weights. */
/* For access. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "train/trainer.h"

/* ---- data ---- */

typedef struct csv_source {
    const char *path, *images;
    double bias_x, bias_y;
} csv_source;

static facekp_status add_csv(facekp_train *t, fkp_dataset *dataset, const csv_source *source) {
    const fkp_dataset_options options = {.keypoints = t->settings.keypoints,
                                         .folder = source->images,
                                         .skip_bad = t->options.skip_bad != 0,
                                         .label_bias = {(float)source->bias_x, (float)source->bias_y},
                                         .log = t->options.log,
                                         .log_user = t->options.log_user};
    return fkp_dataset_add(dataset, source->path, &options, &t->error);
}

/* Train faces in the order of the file, then those of the extra file, then the ones held out. */
static facekp_status list_faces(facekp_train *t, const fkp_split *split, size_t own) {
    t->held_count = split->held_count;
    t->train_count = t->dataset->count - t->held_count;
    t->face_capacity = t->dataset->count;
    t->faces = fkp_allocate_raw(&t->memory, t->face_capacity, sizeof *t->faces);
    if (t->faces == NULL)
        return fkp_fail(&t->error, FACEKP_ERROR_MEMORY, "no memory for a list of %zu faces",
                        t->face_capacity);
    size_t own_count = own - t->held_count;
    for (size_t i = 0; i < own_count; i++) t->faces[i] = split->faces == NULL ? i : split->faces[i];
    for (size_t i = own; i < t->dataset->count; i++) t->faces[own_count + i - own] = i;
    for (size_t i = 0; i < t->held_count; i++) t->faces[t->train_count + i] = split->faces[own_count + i];
    return FACEKP_OK;
}

static facekp_status read_data(facekp_train *t, const facekp_train_options *o) {
    if (o->train_csv == NULL) return fkp_fail(&t->error, FACEKP_ERROR_ARGUMENT, "option train_csv is needed");
    facekp_status status = fkp_dataset_create(&t->memory, (size_t)o->cache_bytes, &t->dataset, &t->error);
    if (status != FACEKP_OK) return status;
    status = add_csv(t, t->dataset,
                     &(csv_source){o->train_csv, o->train_images, o->label_bias_x, o->label_bias_y});
    if (status != FACEKP_OK) return status;
    size_t own = t->dataset->count;
    fkp_split split = {0};
    if (o->validation_csv == NULL && t->settings.hold_out != FKP_HOLD_OUT_NONE)
        status =
            fkp_split_create(&t->memory, t->dataset,
                             t->settings.hold_out == FKP_HOLD_OUT_VIDEO ? FKP_SPLIT_VIDEO : FKP_SPLIT_PERSON,
                             t->settings.held_out, o->split_seed, &split, &t->error);
    if (status == FACEKP_OK && o->extra_csv != NULL)
        status = add_csv(
            t, t->dataset,
            &(csv_source){o->extra_csv, o->extra_images, o->extra_label_bias_x, o->extra_label_bias_y});
    if (status == FACEKP_OK) status = list_faces(t, &split, own);
    fkp_split_free(&t->memory, &split);
    if (status != FACEKP_OK || o->validation_csv == NULL) return status;
    status = fkp_dataset_create(&t->memory, (size_t)o->cache_bytes, &t->validation, &t->error);
    if (status != FACEKP_OK) return status;
    return add_csv(t, t->validation,
                   &(csv_source){o->validation_csv, o->validation_images, o->label_bias_x, o->label_bias_y});
}

/* A fingerprint of names and points (FNV-1a), so that a training is not resumed on other faces. */
static uint64_t fold_bytes(uint64_t hash, const void *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t fingerprint(const facekp_train *t) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ t->train_count;
    for (size_t i = 0; i < t->train_count + t->held_count; i++) {
        const char *name = t->dataset->faces[t->faces[i]].name;
        hash = fold_bytes(hash, name, strlen(name) + 1);
        hash = fold_bytes(hash, fkp_dataset_points(t->dataset, t->faces[i]),
                          t->dataset->keypoints * 2 * sizeof(float));
    }
    return hash;
}

/* ---- network ---- */

static float *allocate_floats(facekp_train *t, size_t count) {
    return fkp_allocate(&t->memory, count, sizeof(float));
}

static facekp_status allocate_buffers(facekp_train *t) {
    const fkp_shape shape = t->network->layers[t->network->layer_count - 1].shape;
    size_t coordinates = t->settings.batch * 2 * t->settings.keypoints;
    t->parameters = allocate_floats(t, t->network->storage);
    t->gradients = allocate_floats(t, t->network->storage);
    t->loss_scratch_floats = fkp_loss_scratch(&t->settings.loss, shape, t->settings.batch);
    t->loss_scratch = allocate_floats(t, t->loss_scratch_floats);
    t->cells = allocate_floats(t, coordinates);
    t->points = allocate_floats(t, coordinates);
    t->plane = allocate_floats(t, fkp_shape_rows(shape));
    if (t->parameters == NULL || t->gradients == NULL || t->loss_scratch == NULL || t->cells == NULL ||
        t->points == NULL || t->plane == NULL)
        return fkp_fail(&t->error, FACEKP_ERROR_MEMORY, "no memory for %zu parameters and their gradients",
                        t->network->storage);
    return FACEKP_OK;
}

static facekp_status build_network(facekp_train *t) {
    facekp_status status = fkp_network_create(&t->memory, &t->settings.network, &t->network, &t->error);
    if (status != FACEKP_OK) return status;
    for (int32_t i = 0; i < t->network->layer_count && t->options.no_dropout != 0; i++)
        if (t->network->layers[i].kind == FKP_LAYER_DROPOUT) t->network->layers[i].rate = 0.0f;
    fkp_kernels_select(FKP_ISA_COUNT - 1, &t->kernels);
    status = fkp_pool_create(&t->memory, t->options.threads, NULL, NULL, &t->pool, &t->error);
    if (status == FACEKP_OK)
        status = fkp_gradient_create(&t->memory, t->network, &t->kernels, t->pool, t->settings.batch,
                                     &t->engine, &t->error);
    if (status == FACEKP_OK)
        status = fkp_optimiser_create(&t->memory, t->network, &t->kernels, t->pool, &t->settings.optimiser,
                                      t->settings.groups, t->settings.group_count, &t->optimiser, &t->error);
    return status == FACEKP_OK ? allocate_buffers(t) : status;
}

/* ---- weights ---- */

/* The parts of the network, by the first word of their tensors' names, that something was taken of: "conv1,
 * bn1, layer1". As many as fit. */
typedef struct part_list {
    char text[FKP_MESSAGE_BYTES / 2];
    size_t used, last; /* bytes, and where the last part begins */
} part_list;

static void add_part(part_list *list, const char *name) {
    const size_t length = strcspn(name, "."), comma = list->used == 0 ? 0 : 2;
    const char *last = list->text + list->last;
    if (list->used - list->last == length && memcmp(last, name, length) == 0) return;
    if (list->used + comma + length >= sizeof list->text) return;
    memcpy(list->text + list->used, ", ", comma);
    list->last = list->used + comma;
    memcpy(list->text + list->last, name, length);
    list->used = list->last + length;
    list->text[list->used] = '\0';
}

/* Copies what the file has of the network. What it has not, the fit has told by name. */
static facekp_status take_tensors(facekp_train *t, fkp_fit *fit) {
    char line[FKP_MESSAGE_BYTES];
    part_list parts = {.used = 0};
    size_t taken = 0;
    for (int32_t i = 0; i < t->network->parameter_count; i++) {
        const fkp_parameter *p = &t->network->parameters[i];
        fkp_error error = {0};
        const float *values = fkp_fit_read(fit, p, 0, p->count, t->parameters + p->offset, &error);
        if (values == NULL && error.status != FACEKP_OK)
            return fkp_fail(&t->error, error.status, "%s", error.message);
        if (values == NULL) continue;
        memcpy(t->parameters + p->offset, values, p->count * sizeof(float));
        add_part(&parts, p->name);
        taken++;
    }
    snprintf(line, sizeof line, "%zu of %d tensors taken from the weights file, of %s%s", taken,
             (int)t->network->parameter_count, parts.text,
             taken == (size_t)t->network->parameter_count ? "" : "; the others start from random numbers");
    if (t->options.log != NULL) t->options.log(t->options.log_user, FACEKP_LOG_INFO, line);
    return FACEKP_OK;
}

static facekp_status take_weights(facekp_train *t, const char *path) {
    fkp_weights *weights;
    facekp_status status = fkp_weights_open(&t->memory, path, &weights, &t->error);
    if (status != FACEKP_OK) return fkp_fail_in(&t->error, path);
    const fkp_fit_options options = {.normalization = t->settings.normalization,
                                     .partial = true,
                                     .log = t->options.log,
                                     .log_user = t->options.log_user};
    fkp_fit *fit;
    status = fkp_fit_create(&t->memory, weights, t->network, &options, &fit, &t->error);
    if (status == FACEKP_OK) {
        status = take_tensors(t, fit);
        fkp_fit_free(fit);
    }
    fkp_weights_close(weights);
    return status == FACEKP_OK ? FACEKP_OK : fkp_fail_in(&t->error, path);
}

static facekp_status read_checkpoint(facekp_train *t) {
    const fkp_checkpoint checkpoint = {t->network, t->parameters, t->optimiser, fkp_text_get(&t->description),
                                       &t->position};
    facekp_status status = fkp_checkpoint_read(&t->memory, t->options.checkpoint, &checkpoint, &t->error);
    if (status != FACEKP_OK) return status;
    if (t->position.epoch > (uint64_t)t->settings.schedule.epochs || t->position.step > t->steps)
        return fkp_fail(&t->error, FACEKP_ERROR_FORMAT, "%s: the checkpoint's position is beyond the end",
                        t->options.checkpoint);
    return FACEKP_OK;
}

static facekp_status first_weights(facekp_train *t, const facekp_train_options *o) {
    t->position = (fkp_position){.data = fingerprint(t), .best = INFINITY};
    if (o->resume != 0 && o->checkpoint != NULL && access(o->checkpoint, F_OK) == 0)
        return read_checkpoint(t);
    fkp_network_initialize(t->network, o->seed, t->parameters);
    facekp_status status = o->weights == NULL ? FACEKP_OK : take_weights(t, o->weights);
    if (status == FACEKP_OK) fkp_optimiser_start_average(t->optimiser, t->parameters);
    return status;
}

/* ---- all of it ---- */

/* Copies of the strings that are needed until the end. */
static facekp_status keep_strings(facekp_train *t, const facekp_train_options *given) {
    const char *const from[] = {given->checkpoint, given->epoch_log, given->output, given->license,
                                given->training_data};
    const char **const into[] = {&t->options.checkpoint, &t->options.epoch_log, &t->options.output,
                                 &t->options.license, &t->options.training_data};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        *into[i] = NULL; /* none is the caller's any more */
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        *into[i] = from[i] == NULL ? NULL : fkp_copy_string(&t->memory, from[i]);
        if (from[i] != NULL && *into[i] == NULL)
            return fkp_fail(&t->error, FACEKP_ERROR_MEMORY, "no memory for a path");
    }
    return FACEKP_OK;
}

facekp_status fkp_train_prepare(facekp_train *t, const facekp_train_options *options) {
    facekp_status status = keep_strings(t, options);
    if (status == FACEKP_OK) status = fkp_settings_read(options, &t->settings, &t->error);
    if (status == FACEKP_OK) status = fkp_train_check_files(t);
    if (status != FACEKP_OK) return status;
    fkp_options_describe(options, &t->description);
    status = fkp_text_check(&t->description, &t->error);
    if (status == FACEKP_OK) status = read_data(t, options);
    if (status == FACEKP_OK) status = build_network(t);
    if (status != FACEKP_OK) return status;
    size_t together = fkp_min_size(t->settings.batch * t->settings.accumulate, t->train_count);
    t->steps = t->train_count / together;
    t->settings.schedule.steps_per_epoch = t->steps;
    return first_weights(t, options);
}
