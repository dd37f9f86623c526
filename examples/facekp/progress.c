/* For clock_gettime, isatty and winsize. */
#define _DEFAULT_SOURCE
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 256, USUAL_COLUMNS = 80, MOST_CELLS = 24, LEAST_CELLS = 5 };
static const double terminal_interval = 0.1, plain_interval = 5.0; /* seconds between two lines */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void progress_begin(progress_line *progress, size_t total, const char *unit) {
    progress->unit = unit;
    progress->total = total;
    progress->started = progress->shown = now();
    progress->terminal = isatty(STDERR_FILENO) != 0;
    progress->width = 0;
}

void format_duration(double seconds, char *text, size_t size) {
    const long whole = seconds > 0.0 && seconds < 1e9 ? (long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%ld:%02ld", whole / 60, whole % 60);
}

static int terminal_columns(void) {
    struct winsize size;
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : USUAL_COLUMNS;
}

/* Rewrites the terminal's line: a bar in the room that the text leaves, no character beyond the edge. */
static void redraw(progress_line *progress, double part, const char *text) {
    char bar[MOST_CELLS + 4] = "", line[LINE_BYTES + MOST_CELLS + 4];
    const int columns = terminal_columns() - 1, room = columns - (int)strlen(text) - 3;
    const int cells = room > MOST_CELLS ? MOST_CELLS : room;
    if (cells >= LEAST_CELLS) {
        const int full = (int)(part * cells);
        bar[0] = '[';
        memset(bar + 1, '#', (size_t)full);
        memset(bar + 1 + full, '.', (size_t)(cells - full));
        memcpy(bar + 1 + cells, "] ", 3);
    }
    const int length = snprintf(line, sizeof line, "%s%.*s", bar, columns, text);
    fprintf(stderr, "\r%-*s", progress->width, line);
    progress->width = length;
}

static void print_line(progress_line *progress, size_t done, const char *note, double time) {
    const double elapsed = time - progress->started;
    const double rate = elapsed > 0.0 ? (double)done / elapsed : 0.0;
    const double rest = rate > 0.0 ? (double)(progress->total - done) / rate : 0.0;
    char duration[32], text[LINE_BYTES];
    format_duration(done < progress->total ? rest : elapsed, duration, sizeof duration);
    snprintf(text, sizeof text, "%zu/%zu %s  %.1f/s  %s %s%s%s", done, progress->total, progress->unit, rate,
             done < progress->total ? "ETA" : "in", duration, note == NULL ? "" : "  ",
             note == NULL ? "" : note);
    if (progress->terminal)
        redraw(progress, (double)done / (double)progress->total, text);
    else
        fprintf(stderr, "%s\n", text);
    fflush(stderr);
    progress->shown = time;
}

void progress_show(progress_line *progress, size_t done, const char *note) {
    const double time = now();
    const double interval = progress->terminal ? terminal_interval : plain_interval;
    if (progress->total > 1 && time - progress->shown >= interval) print_line(progress, done, note, time);
}

void progress_pause(progress_line *progress) {
    if (progress->terminal && progress->width > 0) fprintf(stderr, "\r%*s\r", progress->width, "");
    progress->width = 0;
}

void progress_end(progress_line *progress, size_t done, const char *note) {
    if (progress->total <= 1) return;
    print_line(progress, done, note, now());
    if (progress->terminal) fputc('\n', stderr);
}
