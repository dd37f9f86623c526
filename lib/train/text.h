/* Text that grows: what the metrics, the logs and the configuration of a checkpoint are written into. Numbers
 * have a point for a decimal sign whatever the host's locale is. */
#ifndef FKP_TEXT_H
#define FKP_TEXT_H

#include <stdbool.h>

#include "base/file.h"

typedef struct fkp_text {
    fkp_memory memory;
    char *data; /* NUL-terminated; NULL while empty */
    size_t size, capacity;
    bool failed; /* out of memory: what follows is dropped, fkp_text_check reports it */
} fkp_text;

void fkp_text_begin(fkp_text *text, const fkp_memory *memory);
void fkp_text_free(fkp_text *text);
/* Begins anew, a failure forgotten. */
void fkp_text_clear(fkp_text *text);
/* The text so far; "" while empty. Lent until the next call. */
const char *fkp_text_get(const fkp_text *text);

void fkp_text_append(fkp_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define FKP_NUMBER_BYTES 384 /* 309 digits before the point at most */
/* A number with `decimals` digits after the point; -1: as many significant digits (9) as give a float back
 * exactly. NaN and infinity are written as "nan", "inf", "-inf". `number` is where it is written, if it is.
 */
const char *fkp_format_number(char number[FKP_NUMBER_BYTES], double value, int decimals);
/* The same appended. */
void fkp_text_number(fkp_text *text, double value, int decimals);
/* The same for JSON, which has no NaN: null. */
void fkp_text_json_number(fkp_text *text, double value, int decimals);
/* A quoted JSON string, escaped. */
void fkp_text_json_string(fkp_text *text, const char *value);

facekp_status fkp_text_check(const fkp_text *text, fkp_error *error);
/* Writes the text to a file, whole or not at all. */
facekp_status fkp_text_write(const fkp_text *text, const char *path, fkp_error *error);

/* Reads a decimal number (sign, digits, point, exponent; nan, inf) that fills [begin, end) but for blanks
 * around it. False if it is anything else. */
bool fkp_parse_number(const char *begin, const char *end, double *value);

#endif
