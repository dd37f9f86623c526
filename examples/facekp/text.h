/* Writing text that other programs read. */
#ifndef TEXT_H
#define TEXT_H

#include <stdio.h>

/* A JSON string, quoted and escaped. */
void write_json_string(FILE *stream, const char *text);
/* A CSV cell, quoted only where it must be. */
void write_csv_cell(FILE *stream, const char *text);

#endif
