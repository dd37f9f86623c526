/* What a training leaves behind: weights, log, checkpoint. Each file is written whole or not at all. */
/* For access. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <unistd.h>

#include "train/data/csv.h"
#include "train/trainer.h"

/* ---- weights ---- */

float *fkp_train_kept_weights(facekp_train *t) {
    for (size_t i = 0; i < fkp_optimiser_state_count(t->optimiser); i++) {
        fkp_optimiser_state state = fkp_optimiser_state_at(t->optimiser, i);
        if (state.data == fkp_optimiser_average(t->optimiser)) return state.data;
    }
    return t->parameters;
}

facekp_status fkp_train_write_output(facekp_train *t) {
    const fkp_network *network = t->network;
    const size_t count = (size_t)network->parameter_count;
    fkp_write_tensor *tensors = fkp_allocate(&t->memory, count, sizeof *tensors);
    if (tensors == NULL)
        return fkp_fail(&t->error, FACEKP_ERROR_MEMORY, "%s: no memory to write it", t->options.output);
    const float *weights = fkp_train_kept_weights(t);
    for (size_t i = 0; i < count; i++) {
        const fkp_parameter *p = &network->parameters[i];
        tensors[i] = (fkp_write_tensor){p->name, p->rank, p->shape, weights + p->offset};
    }
    fkp_metadata_list metadata;
    fkp_metadata_begin(&metadata, &t->settings.network);
    fkp_metadata_add(&metadata, "license", t->options.license);
    fkp_metadata_add(&metadata, "training_data", t->options.training_data);
    fkp_metadata_add_label_bias(&metadata,
                                (const double[]){t->options.label_bias_x, t->options.label_bias_y});
    facekp_status status =
        fkp_safetensors_write(&t->memory, t->options.output, tensors, count, t->settings.output_dtype,
                              metadata.entries, metadata.count, &t->error);
    fkp_release(&t->memory, tensors, count, sizeof *tensors);
    return status;
}

/* ---- epoch log ---- */

static const char header[] = "epoch,learning_rate,train_loss,train_mse,validation_loss,validation_mse,"
                             "validation_nme,median_px,p95_px,failure_rate,auc,residual_x,residual_y,seconds,"
                             "images_per_second";

/* Opens the log that is there; *file is empty when there is none. */
static facekp_status open_log(facekp_train *t, fkp_file *file) {
    const size_t length = sizeof header - 1;
    *file = (fkp_file){.data = NULL};
    if (access(t->options.epoch_log, F_OK) != 0) return FACEKP_OK;
    facekp_status status = fkp_file_open(t->options.epoch_log, file, &t->error);
    if (status != FACEKP_OK) return status;
    if (file->size > length && memcmp(file->data, header, length) == 0 && file->data[length] == '\n')
        return FACEKP_OK;
    fkp_file_close(file);
    return fkp_fail(&t->error, FACEKP_ERROR_FORMAT,
                    "%s: is no epoch log of this version, and is not written over; name another file",
                    t->options.epoch_log);
}

/* Copies the lines of earlier epochs. */
static void copy_lines(const facekp_train *t, const fkp_file *file, fkp_text *text) {
    if (file->data == NULL) return;
    const char *line = (const char *)file->data + sizeof header, *end = (const char *)file->data + file->size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *comma = memchr(line, ',', (size_t)(end - line));
        double epoch;
        if (newline == NULL || comma == NULL || comma > newline || !fkp_parse_number(line, comma, &epoch))
            break;
        if (epoch >= (double)t->position.epoch) break;
        fkp_text_append(text, "%.*s\n", (int)(newline - line), line);
        line = newline + 1;
    }
}

static void append_epoch(fkp_text *text, const facekp_train_epoch *epoch) {
    const facekp_train_metrics *v = &epoch->validation;
    const double cells[] = {epoch->learning_rate,
                            epoch->train_loss,
                            epoch->train_mse,
                            epoch->validation_loss,
                            v->mse,
                            v->nme,
                            v->median_px,
                            v->p95_px,
                            v->failure_rate,
                            v->auc,
                            v->residual_x,
                            v->residual_y,
                            epoch->seconds,
                            epoch->images_per_second};
    fkp_text_append(text, "%d", (int)epoch->epoch);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        fkp_text_append(text, ",");
        fkp_text_number(text, cells[i], -1);
    }
    fkp_text_append(text, "\n");
}

facekp_status fkp_train_write_log(facekp_train *t, const facekp_train_epoch *epoch) {
    if (t->options.epoch_log == NULL) return FACEKP_OK;
    fkp_file file;
    fkp_text text;
    facekp_status status = open_log(t, &file);
    if (status != FACEKP_OK) return status;
    fkp_text_begin(&text, &t->memory);
    fkp_text_append(&text, "%s\n", header);
    copy_lines(t, &file, &text);
    fkp_file_close(&file);
    append_epoch(&text, epoch);
    status = fkp_text_write(&text, t->options.epoch_log, &t->error);
    fkp_text_free(&text);
    return status;
}

/* ---- checkpoint ---- */

facekp_status fkp_train_write_checkpoint(facekp_train *t) {
    if (t->options.checkpoint == NULL) return FACEKP_OK;
    const fkp_checkpoint checkpoint = {t->network, t->parameters, t->optimiser, fkp_text_get(&t->description),
                                       &t->position};
    return fkp_checkpoint_write(&t->memory, t->options.checkpoint, &checkpoint, &t->error);
}

/* ---- before the first step ---- */

static facekp_status check_file(facekp_train *t, const char *path) {
    fkp_writer *writer;
    facekp_status status = fkp_file_sweep(&t->memory, path, &t->error);
    if (status == FACEKP_OK) status = fkp_writer_open(&t->memory, path, &writer, &t->error);
    if (status == FACEKP_OK) fkp_writer_abandon(writer);
    return status;
}

facekp_status fkp_train_check_files(facekp_train *t) {
    const char *const written[] = {t->options.checkpoint, t->options.output, t->options.epoch_log};
    facekp_status status = FACEKP_OK;
    for (size_t i = 0; i < sizeof written / sizeof *written && status == FACEKP_OK; i++)
        if (written[i] != NULL) status = check_file(t, written[i]);
    if (status != FACEKP_OK || t->options.epoch_log == NULL) return status;
    fkp_file file;
    status = open_log(t, &file);
    if (status == FACEKP_OK) fkp_file_close(&file);
    return status;
}
