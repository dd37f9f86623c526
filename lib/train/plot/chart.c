#include "train/plot/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/text.h"

#define TEXT_SCALE 2
#define TITLE_SCALE 3
#define MOST_DOTS 64 /* points of a line that are marked; beyond, they would only thicken it */
#define TICK_LENGTH 6
#define LINE_WIDTH 2.5
#define INK 0x202020
#define GRID 0xdddddd
#define PAPER 0xffffff

/* Colours told apart by the colour-blind too (Okabe and Ito, 2008), then darker ones. */
static const uint32_t colours[FKP_MAX_SERIES] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9,
                                                 0x000000, 0x8b4513, 0x4b0082, 0x808000, 0x800000, 0x2f4f4f,
                                                 0x708090, 0xdc143c, 0x228b22, 0x191970};

typedef struct range {
    double low, high;
} range;

/* A chart being drawn: the frame in pixels and the axes' ranges (of log10 y on a log scale). */
typedef struct canvas {
    facekp_picture *picture;
    const fkp_chart *chart;
    int32_t left, top, right, bottom;
    range x, y;
} canvas;

double fkp_tick_step(double low, double high, int most) {
    double rough = (high - low) / most, power = pow(10.0, floor(log10(rough)));
    static const double steps[] = {1.0, 2.0, 5.0};
    for (int i = 0; i < 3; i++)
        if (steps[i] * power >= rough * (1.0 - 1e-9)) return steps[i] * power;
    return 10.0 * power;
}

/* ---- ranges ---- */

static double y_of(const fkp_chart *chart, double y) {
    if (!chart->log_y) return y;
    return y > 0.0 ? log10(y) : NAN;
}

static void widen(range *r, double value) {
    if (!isfinite(value)) return;
    r->low = fmin(r->low, value);
    r->high = fmax(r->high, value);
}

/* A range with something in it, whatever the data were. */
static range settle(range r) {
    if (!(r.low <= r.high)) return (range){0.0, 1.0};
    if (r.high - r.low < 1e-12 * fmax(1.0, fabs(r.low))) return (range){r.low - 0.5, r.high + 0.5};
    return r;
}

static void find_ranges(canvas *c) {
    const fkp_chart *chart = c->chart;
    c->x = c->y = (range){INFINITY, -INFINITY};
    for (size_t s = 0; s < chart->series_count; s++) {
        for (size_t i = 0; i < chart->series[s].count; i++) {
            double y = y_of(chart, chart->series[s].y[i]);
            if (!isfinite(y)) continue;
            widen(&c->x, chart->series[s].x[i]);
            widen(&c->y, y);
        }
    }
    c->x = chart->x_low < chart->x_high ? (range){chart->x_low, chart->x_high} : settle(c->x);
    if (chart->y_low < chart->y_high) {
        c->y = settle((range){y_of(chart, chart->y_low), y_of(chart, chart->y_high)});
        return;
    }
    c->y = settle(c->y);
    double margin = 0.05 * (c->y.high - c->y.low);
    c->y.high += margin;
    c->y.low = !chart->log_y && c->y.low >= 0.0 && c->y.low < 0.5 * c->y.high ? 0.0 : c->y.low - margin;
}

static double pixel_x(const canvas *c, double x) {
    return c->left + (x - c->x.low) / (c->x.high - c->x.low) * (c->right - c->left);
}
static double pixel_y(const canvas *c, double y) {
    return c->bottom - (y - c->y.low) / (c->y.high - c->y.low) * (c->bottom - c->top);
}

/* ---- axes ---- */

/* A tick's number, with as many digits as the step between ticks asks for. */
static const char *format_tick(double value, double step, char number[FKP_NUMBER_BYTES]) {
    const int decimals = step >= 1.0 ? 0 : (int)ceil(-log10(step) - 1e-9);
    return fkp_format_number(number, fabs(value) < 1e-9 * step ? 0.0 : value, decimals);
}

static void tick_x(const canvas *c, double value, double step) {
    char number[FKP_NUMBER_BYTES];
    const char *label = format_tick(value, step, number);
    double x = pixel_x(c, value);
    fkp_draw_line(c->picture, x, c->top, x, c->bottom, 1.0, GRID);
    fkp_draw_line(c->picture, x, c->bottom, x, c->bottom + TICK_LENGTH, 1.5, INK);
    fkp_draw_text(c->picture, (int32_t)x - fkp_text_width(label, TEXT_SCALE) / 2, c->bottom + TICK_LENGTH + 4,
                  TEXT_SCALE, label, INK);
}

static void tick_y(const canvas *c, double position, double value, double step) {
    char number[FKP_NUMBER_BYTES];
    const char *label = format_tick(value, step, number);
    double y = pixel_y(c, position);
    fkp_draw_line(c->picture, c->left, y, c->right, y, 1.0, GRID);
    fkp_draw_line(c->picture, c->left - TICK_LENGTH, y, c->left, y, 1.5, INK);
    fkp_draw_text(c->picture, c->left - TICK_LENGTH - 4 - fkp_text_width(label, TEXT_SCALE),
                  (int32_t)y - fkp_text_height(TEXT_SCALE) / 2, TEXT_SCALE, label, INK);
}

/* Ticks of a log scale: 1, 2 and 5 times the powers of ten; the powers alone over more than three decades. */
static void log_ticks(const canvas *c) {
    static const double parts[] = {1.0, 2.0, 5.0};
    int count = c->y.high - c->y.low > 3.0 ? 1 : 3;
    for (int power = (int)floor(c->y.low); power <= (int)ceil(c->y.high); power++) {
        for (int i = 0; i < count; i++) {
            double value = parts[i] * pow(10.0, power), position = log10(value);
            if (position >= c->y.low && position <= c->y.high) tick_y(c, position, value, pow(10.0, power));
        }
    }
}

static void draw_axes(const canvas *c) {
    double step = fkp_tick_step(c->x.low, c->x.high, 10);
    if (c->chart->whole_x) step = fmax(step, 1.0);
    for (double k = ceil(c->x.low / step - 1e-9); k * step <= c->x.high + 1e-9 * step; k++)
        tick_x(c, k * step, step);
    step = fkp_tick_step(c->y.low, c->y.high, 8);
    if (c->chart->log_y)
        log_ticks(c);
    else
        for (double k = ceil(c->y.low / step - 1e-9); k * step <= c->y.high + 1e-9 * step; k++)
            tick_y(c, k * step, k * step, step);
    const double xs[] = {c->left, c->left, c->right, c->right, c->left};
    const double ys[] = {c->top, c->bottom, c->bottom, c->top, c->top};
    for (int i = 0; i < 4; i++) fkp_draw_line(c->picture, xs[i], ys[i], xs[i + 1], ys[i + 1], 1.5, INK);
}

static void draw_labels(const canvas *c) {
    const fkp_chart *chart = c->chart;
    int32_t line = fkp_text_height(TEXT_SCALE), middle = (c->left + c->right) / 2;
    if (chart->title != NULL)
        fkp_draw_text(c->picture, middle - fkp_text_width(chart->title, TITLE_SCALE) / 2, 14, TITLE_SCALE,
                      chart->title, INK);
    if (chart->y_label != NULL)
        fkp_draw_text(c->picture, 10, c->top - line - 16, TEXT_SCALE, chart->y_label, INK);
    if (chart->x_label != NULL)
        fkp_draw_text(c->picture, middle - fkp_text_width(chart->x_label, TEXT_SCALE) / 2,
                      c->picture->height - line - 10, TEXT_SCALE, chart->x_label, INK);
}

/* ---- lines ---- */

static bool visible(const canvas *c, double x, double y) {
    return x >= c->x.low && x <= c->x.high && y >= c->y.low && y <= c->y.high;
}

/* Lines between neighbours that are both shown, and a dot at each that shows where it was measured, and shows
 * a single one at all. */
static void draw_series(const canvas *c, const fkp_series *series, uint32_t rgb) {
    bool joined = false;
    double before_x = 0.0, before_y = 0.0;
    for (size_t i = 0; i < series->count; i++) {
        double y = y_of(c->chart, series->y[i]);
        bool shown = isfinite(y) && visible(c, series->x[i], y);
        if (shown) {
            double at_x = pixel_x(c, series->x[i]), at_y = pixel_y(c, y);
            if (joined) fkp_draw_line(c->picture, before_x, before_y, at_x, at_y, LINE_WIDTH, rgb);
            if (series->count <= MOST_DOTS) fkp_draw_disc(c->picture, at_x, at_y, 1.5 * LINE_WIDTH, rgb);
            before_x = at_x;
            before_y = at_y;
        }
        joined = shown;
    }
}

static void draw_legend(const canvas *c) {
    const fkp_chart *chart = c->chart;
    int32_t width = 0, line = fkp_text_height(TEXT_SCALE) + 6, swatch = 30;
    for (size_t s = 0; s < chart->series_count; s++) {
        int32_t text = fkp_text_width(chart->series[s].label, TEXT_SCALE);
        if (text > width) width = text;
    }
    const int32_t height = (int32_t)chart->series_count * line;
    int32_t x = c->right - width - swatch - 24,
            y = chart->legend_below ? c->bottom - height - 10 : c->top + 10;
    if (chart->series_count == 0) return;
    fkp_draw_rectangle(c->picture, x - 8, y - 4, width + swatch + 24, height + 8, PAPER);
    for (size_t s = 0; s < chart->series_count; s++, y += line) {
        double middle = y + fkp_text_height(TEXT_SCALE) / 2.0;
        fkp_draw_line(c->picture, x, middle, x + swatch, middle, 2.0 * LINE_WIDTH, colours[s]);
        fkp_draw_text(c->picture, x + swatch + 8, y, TEXT_SCALE, chart->series[s].label, INK);
    }
}

facekp_status fkp_chart_draw(const fkp_memory *memory, const fkp_chart *chart, facekp_picture **result,
                             fkp_error *error) {
    *result = NULL;
    int32_t width = chart->width == 0 ? 960 : chart->width, height = chart->height == 0 ? 600 : chart->height;
    if (chart->series_count > FKP_MAX_SERIES || width < 320 || height < 200)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "a chart has at most %d lines (%zu) and at least 320 x 200 pixels (%d x %d)",
                        FKP_MAX_SERIES, chart->series_count, (int)width, (int)height);
    canvas c = {.chart = chart, .left = 110, .top = 80, .right = width - 30, .bottom = height - 70};
    facekp_status status = fkp_picture_create(memory, width, height, 3, &c.picture, error);
    if (status != FACEKP_OK) return status;
    fkp_draw_rectangle(c.picture, 0, 0, width, height, PAPER);
    find_ranges(&c);
    draw_axes(&c);
    draw_labels(&c);
    for (size_t s = 0; s < chart->series_count; s++) draw_series(&c, &chart->series[s], colours[s]);
    draw_legend(&c);
    *result = c.picture;
    return FACEKP_OK;
}
