#include "train/data/csv.h"

#include <string.h>

void fkp_csv_begin(fkp_csv *csv, const void *data, size_t size) {
    *csv = (fkp_csv){data, (const char *)data + size, 0};
    if (size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) csv->cursor += 3;
}

/* One field from *cursor to the comma or the end of the line, which *cursor is left at. */
static fkp_field read_field(const char **cursor, const char *end) {
    fkp_field field = {*cursor, *cursor};
    if (*cursor < end && **cursor == '"') {
        field.begin = ++*cursor;
        while (*cursor < end && !(**cursor == '"' && (*cursor + 1 == end || (*cursor)[1] != '"')))
            *cursor += **cursor == '"' ? 2 : 1;
        field.end = *cursor;
        while (*cursor < end && **cursor != ',') (*cursor)++;
        return field;
    }
    while (*cursor < end && **cursor != ',') (*cursor)++;
    field.end = *cursor;
    return field;
}

bool fkp_csv_next(fkp_csv *csv, fkp_field *fields, size_t capacity, size_t *count) {
    while (csv->cursor < csv->end) {
        const char *cursor = csv->cursor;
        const char *line_end = memchr(cursor, '\n', (size_t)(csv->end - cursor));
        csv->cursor = line_end == NULL ? csv->end : line_end + 1;
        csv->line++;
        if (line_end == NULL) line_end = csv->end;
        if (line_end > cursor && line_end[-1] == '\r') line_end--;
        if (cursor == line_end) continue;
        *count = 0;
        for (;;) {
            fkp_field field = read_field(&cursor, line_end);
            if (*count < capacity) fields[*count] = field;
            (*count)++;
            if (cursor == line_end) return true;
            cursor++;
        }
    }
    return false;
}

bool fkp_field_equals(fkp_field field, const char *text) {
    size_t length = strlen(text);
    return (size_t)(field.end - field.begin) == length && memcmp(field.begin, text, length) == 0;
}
