/* Comma-separated values: lines of a text in memory, cut into fields. */
#ifndef FKP_CSV_H
#define FKP_CSV_H

#include "base/memory.h"
#include <stdbool.h>

/* A field lies in the text: [begin, end), quotes around it taken off ("" inside quotes is not unescaped). */
typedef struct fkp_field {
    const char *begin, *end;
} fkp_field;

typedef struct fkp_csv {
    const char *cursor, *end;
    size_t line; /* of the fields last read, from 1 */
} fkp_csv;

/* Starts at the first line, stepping over a UTF-8 byte-order mark. */
void fkp_csv_begin(fkp_csv *csv, const void *data, size_t size);
/* The next line that is not blank, cut into fields: up to `capacity` of them are stored, *count is how many
 * there are. False at the end. Lines end with \n, \r\n or the end of the text. */
bool fkp_csv_next(fkp_csv *csv, fkp_field *fields, size_t capacity, size_t *count);
bool fkp_field_equals(fkp_field field, const char *text);

#endif
