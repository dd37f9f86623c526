/* How far a long job is, on standard error: one line with a bar that rewrites itself on a terminal, a plain
 * line every few seconds elsewhere. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress_line {
    const char *unit; /* "images" */
    size_t total;
    double started, shown; /* seconds */
    bool terminal;
    int width; /* of the line that stands on the terminal */
} progress_line;

/* Shows nothing for a total of 0 or 1. */
void progress_begin(progress_line *progress, size_t total, const char *unit);
/* `note` is added at the end of the line ("loss 0.0123"); NULL: nothing. */
void progress_show(progress_line *progress, size_t done, const char *note);
/* Clears the terminal's line, so that a message can be printed; the next show draws it again. */
void progress_pause(progress_line *progress);
/* Shows the end, with the rate of the whole. */
void progress_end(progress_line *progress, size_t done, const char *note);

/* "1:02:03", or "2:03" below an hour. */
void format_duration(double seconds, char *text, size_t size);

#endif
