/* Curves of an epoch log, and of the cumulative error. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/data/csv.h"
#include "train/metrics.h"
#include "train/plot/chart.h"
#include "train/plot/figures.h"

#define MAX_COLUMNS 64
#define CUMULATIVE_POINTS 201

/* ---- the epoch log ---- */

/* The asked-for columns of the log as numbers: table[row * (count + 1)] is x, then the columns. */
typedef struct table {
    double *cells;
    size_t rows, columns, capacity;
} table;

static facekp_status find_columns(const char *path, const fkp_field *header, size_t fields,
                                  const char *const *names, size_t count, size_t *found, fkp_error *error) {
    for (size_t i = 0; i < count; i++) {
        found[i] = 0;
        while (found[i] < fields && !fkp_field_equals(header[found[i]], names[i])) found[i]++;
        if (found[i] == fields)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s: column \"%s\" is missing", path, names[i]);
    }
    return FACEKP_OK;
}

static size_t count_lines(const fkp_file *file) {
    size_t lines = 1;
    for (size_t i = 0; i < file->size; i++) lines += file->data[i] == '\n';
    return lines;
}

static double cell(const fkp_field *fields, size_t count, size_t column) {
    double value;
    bool good = column < count && fkp_parse_number(fields[column].begin, fields[column].end, &value);
    return good ? value : NAN;
}

/* Columns one after the other: cells[c * capacity + row], the x axis first. */
static facekp_status read_table(const fkp_memory *memory, const char *path, const fkp_file *file,
                                const char *const *names, size_t count, table *result, fkp_error *error) {
    fkp_csv csv;
    fkp_field fields[MAX_COLUMNS];
    size_t found[FKP_MAX_SERIES], width;
    fkp_csv_begin(&csv, file->data, file->size);
    if (!fkp_csv_next(&csv, fields, MAX_COLUMNS, &width) || width > MAX_COLUMNS)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s: this is no epoch log", path);
    facekp_status status = find_columns(path, fields, width, names, count, found, error);
    if (status != FACEKP_OK) return status;
    table t = {.columns = count + 1, .capacity = count_lines(file)};
    t.cells = fkp_allocate(memory, t.capacity, t.columns * sizeof(double));
    if (t.cells == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory to read it", path);
    for (; fkp_csv_next(&csv, fields, MAX_COLUMNS, &width); t.rows++) {
        t.cells[t.rows] = cell(fields, width, 0);
        for (size_t i = 0; i < count; i++)
            t.cells[(i + 1) * t.capacity + t.rows] = cell(fields, width, found[i]);
    }
    *result = t;
    if (t.rows > 0) return FACEKP_OK;
    fkp_release(memory, t.cells, t.capacity, t.columns * sizeof(double));
    return fkp_fail(error, FACEKP_ERROR_FORMAT, "%s: there is no line in the log yet", path);
}

facekp_status fkp_figure_curves(const fkp_memory *memory, const char *log_path, const char *title,
                                const char *const *columns, size_t count, bool log_scale,
                                facekp_picture **picture, fkp_error *error) {
    *picture = NULL;
    if (count == 0 || count > FKP_MAX_SERIES)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%zu curves; it must be 1 to %d", count,
                        FKP_MAX_SERIES);
    fkp_file file;
    facekp_status status = fkp_file_open(log_path, &file, error);
    if (status != FACEKP_OK) return status;
    table t = {0};
    status = read_table(memory, log_path, &file, columns, count, &t, error);
    fkp_file_close(&file);
    if (status != FACEKP_OK) return status;
    fkp_series series[FKP_MAX_SERIES];
    for (size_t i = 0; i < count; i++)
        series[i] = (fkp_series){columns[i], t.cells, t.cells + (i + 1) * t.capacity, t.rows};
    fkp_chart chart = {.title = title,
                       .x_label = "epoch",
                       .series = series,
                       .series_count = count,
                       .log_y = log_scale,
                       .whole_x = true};
    status = fkp_chart_draw(memory, &chart, picture, error);
    fkp_release(memory, t.cells, t.capacity, t.columns * sizeof(double));
    return status;
}

/* ---- the cumulative error ---- */

/* Percent of the faces whose error is at most x percent, at the points of the x axis. */
static void accumulate(const fkp_error_series *series, double *y) {
    for (size_t i = 0; i < CUMULATIVE_POINTS; i++) {
        double limit = FKP_FAILURE_NME * (double)i / (CUMULATIVE_POINTS - 1);
        size_t below = 0;
        for (size_t face = 0; face < series->count; face++) below += (double)series->nme[face] <= limit;
        y[i] = 100.0 * (double)below / (double)series->count;
    }
}

facekp_status fkp_figure_cumulative(const fkp_memory *memory, const char *title,
                                    const fkp_error_series *errors, size_t count, facekp_picture **picture,
                                    fkp_error *error) {
    *picture = NULL;
    if (count > FKP_MAX_SERIES)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%zu curves; at most %d", count, FKP_MAX_SERIES);
    double *cells = fkp_allocate_raw(memory, count + 1, CUMULATIVE_POINTS * sizeof(double));
    if (cells == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a chart");
    fkp_series series[FKP_MAX_SERIES];
    for (size_t i = 0; i < CUMULATIVE_POINTS; i++)
        cells[i] = 100.0 * FKP_FAILURE_NME * (double)i / (CUMULATIVE_POINTS - 1);
    for (size_t s = 0; s < count; s++) {
        double *y = cells + (s + 1) * CUMULATIVE_POINTS;
        accumulate(&errors[s], y);
        series[s] = (fkp_series){errors[s].label, cells, y, CUMULATIVE_POINTS};
    }
    fkp_chart chart = {.title = title,
                       .x_label = "NME, % of the distance of the outer eye corners",
                       .y_label = "faces with that error or less, %",
                       .series = series,
                       .series_count = count,
                       .legend_below = true,
                       .x_high = 100.0 * FKP_FAILURE_NME,
                       .y_high = 100.0};
    facekp_status status = fkp_chart_draw(memory, &chart, picture, error);
    fkp_release(memory, cells, count + 1, CUMULATIVE_POINTS * sizeof(double));
    return status;
}
