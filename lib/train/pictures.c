/* The pictures of trainings and reports, as PNG files. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "decode/decode.h"
#include "train/data/target.h"
#include "train/losses.h"
#include "train/plot/chart.h"
#include "train/plot/figures.h"
#include "train/report.h"

#define COLUMN_BYTES 64
#define CAPTION_BYTES 56
#define LABEL_BYTES 96
#define MAX_SHEET 4096

/* Writes the picture and frees it; the message of whatever failed goes to the caller. */
static facekp_status finish(facekp_status status, facekp_picture *picture, const char *png, fkp_error *error,
                            char *message, size_t message_size) {
    if (status == FACEKP_OK) status = fkp_png_write(picture, png, error);
    fkp_picture_free(picture);
    if (status != FACEKP_OK) fkp_error_copy(error, message, message_size);
    return status;
}

/* ---- charts ---- */

static facekp_status cut_columns(const char *list, char names[FKP_MAX_SERIES][COLUMN_BYTES], size_t *count,
                                 fkp_error *error) {
    for (*count = 0;; list++) {
        const size_t length = strcspn(list, ",");
        if (*count == FKP_MAX_SERIES || length == 0 || length >= COLUMN_BYTES)
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                            "columns are a list as \"train_loss,validation_loss\", at most %d names",
                            FKP_MAX_SERIES);
        memcpy(names[*count], list, length);
        names[(*count)++][length] = '\0';
        list += length;
        if (*list == '\0') return FACEKP_OK;
    }
}

facekp_status facekp_train_plot_curves(const char *epoch_log, const char *columns, const char *title,
                                       int32_t log_scale, const char *png, char *message,
                                       size_t message_size) {
    if (epoch_log == NULL || png == NULL) return FACEKP_ERROR_ARGUMENT;
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    char names[FKP_MAX_SERIES][COLUMN_BYTES];
    const char *pointers[FKP_MAX_SERIES];
    size_t count;
    facekp_picture *picture = NULL;
    facekp_status status =
        cut_columns(columns == NULL ? "train_loss,validation_loss" : columns, names, &count, &error);
    for (size_t i = 0; i < count; i++) pointers[i] = names[i];
    if (status == FACEKP_OK)
        status =
            fkp_figure_curves(&memory, epoch_log, title, pointers, count, log_scale != 0, &picture, &error);
    return finish(status, picture, png, &error, message, message_size);
}

facekp_status facekp_train_plot_errors(facekp_train_report *const *reports, const char *const *labels,
                                       size_t count, const char *title, const char *png, char *message,
                                       size_t message_size) {
    if (reports == NULL || labels == NULL || png == NULL || count == 0 || count > FKP_MAX_SERIES)
        return FACEKP_ERROR_ARGUMENT;
    fkp_error_series series[FKP_MAX_SERIES];
    char named[FKP_MAX_SERIES][LABEL_BYTES], number[FKP_NUMBER_BYTES];
    fkp_error error = {0};
    facekp_picture *picture;
    for (size_t i = 0; i < count; i++) {
        if (reports[i] == NULL || labels[i] == NULL) return FACEKP_ERROR_ARGUMENT;
        const double auc = fkp_metrics_summarize(reports[i]->metrics).auc;
        snprintf(named[i], LABEL_BYTES, "%.64s, AUC %.16s", labels[i], fkp_format_number(number, auc, 3));
        series[i] = (fkp_error_series){named[i], fkp_metrics_nme(reports[i]->metrics), reports[i]->count};
    }
    facekp_status status = fkp_figure_cumulative(&reports[0]->memory, title, series, count, &picture, &error);
    return finish(status, picture, png, &error, message, message_size);
}

/* ---- crops ---- */

static facekp_status sample_crop(const facekp_train_report *report, size_t face, int32_t size, float *crop,
                                 fkp_error *error) {
    facekp_image image;
    facekp_picture *owned;
    facekp_status status =
        fkp_dataset_image(report->dataset, report->faces[face], &report->memory, &image, &owned, error);
    if (status != FACEKP_OK) return status;
    const fkp_affine map = fkp_report_crop(report, face, size);
    fkp_image_sample(&image, &map, size, crop);
    fkp_picture_free(owned);
    return FACEKP_OK;
}

/* ---- contact sheets ---- */

static int compare_errors(const void *context, uint32_t a, uint32_t b) {
    const float *nme = context;
    if (nme[a] != nme[b]) return nme[a] < nme[b] ? -1 : 1;
    return (a > b) - (a < b);
}

/* Puts the faces to show, in their order, into the first `count` places of `order`. */
static void choose(const facekp_train_report *report, int32_t choice, size_t count, uint32_t *order) {
    const size_t all = report->count;
    for (size_t i = 0; i < all; i++) order[i] = (uint32_t)i;
    if (choice == FACEKP_TRAIN_FIRST) return;
    fkp_sort(order, all, compare_errors, fkp_metrics_nme(report->metrics));
    for (size_t i = 0; choice == FACEKP_TRAIN_WORST && i < all / 2; i++) {
        const uint32_t swapped = order[i];
        order[i] = order[all - 1 - i];
        order[all - 1 - i] = swapped;
    }
    for (size_t i = 0; choice == FACEKP_TRAIN_EVENLY && i < count && count > 1; i++)
        order[i] = order[i * (all - 1) / (count - 1)];
}

/* The image's name without folder and ending. */
static void write_name(const fkp_face *face, char name[CAPTION_BYTES]) {
    const char *slash = strrchr(face->name, '/'), *begin = slash == NULL ? face->name : slash + 1;
    const char *ending = strrchr(begin, '.');
    const size_t length = ending == NULL ? strlen(begin) : (size_t)(ending - begin);
    snprintf(name, CAPTION_BYTES, "%.*s", (int)fkp_min_size(length, CAPTION_BYTES - 1), begin);
}

static void write_error(const facekp_train_report *report, size_t face, char note[CAPTION_BYTES]) {
    char number[FKP_NUMBER_BYTES];
    const double percent = 100.0 * (double)fkp_metrics_nme(report->metrics)[face];
    snprintf(note, CAPTION_BYTES, "NME %.16s %%", fkp_format_number(number, percent, 1));
}

/* What a sheet is drawn from: a tile, a crop and a caption for each of `count` faces. */
typedef struct sheet {
    size_t count;
    uint32_t *order; /* of all faces of the report */
    fkp_tile_view *tiles;
    float *crops;
    char (*captions)[2][CAPTION_BYTES]; /* name, error */
} sheet;

/* One and a half times the crop: points of eyes and mouth stand apart. */
enum { TILE = FACEKP_INPUT_SIZE * 3 / 2, TILE_PIXELS = TILE * TILE };

static facekp_status fill_sheet(const facekp_train_report *report, int32_t choice, sheet *s,
                                fkp_error *error) {
    if (s->order == NULL || s->tiles == NULL || s->crops == NULL || s->captions == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a contact sheet of %zu faces", s->count);
    choose(report, choice, s->count, s->order);
    const size_t coordinates = fkp_report_coordinates(report);
    for (size_t i = 0; i < s->count; i++) {
        const size_t face = s->order[i];
        float *crop = s->crops + i * TILE_PIXELS;
        facekp_status status = sample_crop(report, face, TILE, crop, error);
        if (status != FACEKP_OK) return status;
        write_error(report, face, s->captions[i][1]);
        write_name(&report->dataset->faces[report->faces[face]], s->captions[i][0]);
        s->tiles[i] =
            (fkp_tile_view){crop, report->predicted + face * coordinates, report->truth + face * coordinates,
                            s->captions[i][0], s->captions[i][1]};
    }
    return FACEKP_OK;
}

facekp_status facekp_train_plot_faces(facekp_train_report *report, int32_t choice, size_t count,
                                      size_t columns, const char *png, char *message, size_t message_size) {
    if (report == NULL || png == NULL || count == 0 || choice < FACEKP_TRAIN_FIRST ||
        choice > FACEKP_TRAIN_EVENLY)
        return FACEKP_ERROR_ARGUMENT;
    const fkp_memory *memory = &report->memory;
    fkp_error error = {0};
    sheet s = {.count = fkp_min_size(fkp_min_size(count, report->count), MAX_SHEET)};
    s.order = fkp_allocate_raw(memory, report->count, sizeof *s.order);
    s.tiles = fkp_allocate(memory, s.count, sizeof *s.tiles);
    s.crops = fkp_allocate_raw(memory, s.count, TILE_PIXELS * sizeof *s.crops);
    s.captions = fkp_allocate(memory, s.count, sizeof *s.captions);
    facekp_picture *picture = NULL;
    facekp_status status = fill_sheet(report, choice, &s, &error);
    if (status == FACEKP_OK)
        status = fkp_figure_sheet(memory, s.tiles, s.count, columns, TILE, report->dataset->keypoints,
                                  &picture, &error);
    fkp_release(memory, s.captions, s.count, sizeof *s.captions);
    fkp_release(memory, s.crops, s.count, TILE_PIXELS * sizeof *s.crops);
    fkp_release(memory, s.tiles, s.count, sizeof *s.tiles);
    fkp_release(memory, s.order, report->count, sizeof *s.order);
    return finish(status, picture, png, &error, message, message_size);
}

/* ---- heatmaps ---- */

/* A face and what the network makes of it. */
typedef struct heatmaps {
    int32_t size, input_size; /* sides of the maps and of the network's input */
    size_t cells, keypoints;
    float *input, *crop;    /* the crop as the network reads it, and as large as a map */
    float *logits;          /* keypoints x cells */
    float *shown, *targets; /* of the keypoints chosen */
} heatmaps;

static facekp_status run_network(facekp_train_report *report, size_t face, heatmaps *h, fkp_error *error) {
    if (h->input == NULL || h->crop == NULL || h->logits == NULL || h->shown == NULL || h->targets == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %zu heatmaps", h->keypoints);
    facekp_status status = sample_crop(report, face, h->input_size, h->input, error);
    if (status == FACEKP_OK) status = sample_crop(report, face, h->size, h->crop, error);
    if (status != FACEKP_OK) return status;
    status = facekp_session_run(report->session, h->input, 1, h->logits, h->keypoints * h->cells);
    return status == FACEKP_OK ? status
                               : fkp_fail(error, status, "%s", facekp_session_message(report->session));
}

/* The maps of `count` keypoints, evenly chosen, and what they were trained towards. */
static facekp_status draw_row(const facekp_train_report *report, size_t face, size_t count, const heatmaps *h,
                              facekp_picture **picture, fkp_error *error) {
    const float *truth = report->truth + face * fkp_report_coordinates(report);
    const fkp_shape shape = {(size_t)h->size, (size_t)h->size, 1};
    const fkp_loss loss = {.kind = FKP_LOSS_CROSS_ENTROPY};
    size_t numbers[FKP_MAX_HEATMAP_ROW];
    for (size_t i = 0; i < count; i++) {
        float cells[2];
        numbers[i] = count == 1 ? 0 : i * (h->keypoints - 1) / (count - 1);
        memcpy(h->shown + i * h->cells, h->logits + numbers[i] * h->cells, h->cells * sizeof(float));
        fkp_target_cells(truth + 2 * numbers[i], 2, (size_t)h->size, cells);
        fkp_loss_target_maps(&loss, 1, shape, cells, h->targets + i * h->cells);
    }
    return fkp_figure_heatmaps(&report->memory, h->shown, h->targets, numbers, count, h->size, picture,
                               error);
}

static facekp_status check_heatmaps(const facekp_train_report *report, size_t face, size_t count,
                                    fkp_error *error) {
    if (report->model.output_kind != FACEKP_OUTPUT_HEATMAPS ||
        report->model.output_width != report->model.output_height)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "the model makes no square heatmaps");
    if (face >= report->count)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "face %zu of %zu", face, report->count);
    if (count > FKP_MAX_HEATMAP_ROW || count > report->dataset->keypoints)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%zu heatmaps in a row; at most %zu", count,
                        fkp_min_size(FKP_MAX_HEATMAP_ROW, report->dataset->keypoints));
    return FACEKP_OK;
}

facekp_status facekp_train_plot_heatmaps(facekp_train_report *report, size_t face, size_t count,
                                         const char *png, char *message, size_t message_size) {
    if (report == NULL || png == NULL) return FACEKP_ERROR_ARGUMENT;
    const fkp_memory *memory = &report->memory;
    facekp_picture *picture = NULL;
    fkp_error error = {0};
    facekp_status status = check_heatmaps(report, face, count, &error);
    if (status != FACEKP_OK) return finish(status, NULL, png, &error, message, message_size);
    heatmaps h = {.size = report->model.output_width,
                  .input_size = report->model.input_width,
                  .keypoints = report->dataset->keypoints};
    const size_t pixels = (size_t)h.input_size * (size_t)h.input_size;
    h.cells = (size_t)h.size * (size_t)h.size;
    h.input = fkp_allocate(memory, pixels, sizeof(float));
    h.crop = fkp_allocate(memory, h.cells, sizeof(float));
    h.logits = fkp_allocate(memory, h.keypoints, h.cells * sizeof(float));
    h.shown = fkp_allocate(memory, count, h.cells * sizeof(float));
    h.targets = fkp_allocate(memory, count, h.cells * sizeof(float));
    status = run_network(report, face, &h, &error);
    if (status == FACEKP_OK)
        status = count == 0
                     ? fkp_figure_heatmap_sum(memory, h.logits, h.keypoints, h.size, h.crop, &picture, &error)
                     : draw_row(report, face, count, &h, &picture, &error);
    fkp_release(memory, h.targets, count, h.cells * sizeof(float));
    fkp_release(memory, h.shown, count, h.cells * sizeof(float));
    fkp_release(memory, h.logits, h.keypoints, h.cells * sizeof(float));
    fkp_release(memory, h.crop, h.cells, sizeof(float));
    fkp_release(memory, h.input, pixels, sizeof(float));
    return finish(status, picture, png, &error, message, message_size);
}
