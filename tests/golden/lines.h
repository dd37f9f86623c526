/* Golden numbers in lines: a key of one or two words, then numbers. */
#ifndef GOLDEN_LINES_H
#define GOLDEN_LINES_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_NUMBERS = 512 };

typedef struct golden_line {
    double numbers[GOLDEN_NUMBERS];
    size_t count;
} golden_line;

/* The line of data/`file` whose key is `key`. */
static inline void read_golden_line(const char *file, const char *key, golden_line *line) {
    char path[512], text[16384];
    snprintf(path, sizeof path, "%s/golden/data/%s", FKP_TEST_SOURCE, file);
    FILE *stream = fopen(path, "r");
    ck_assert_msg(stream != NULL, "%s", path);
    const size_t length = strlen(key);
    bool found = false;
    while (!found && fgets(text, sizeof text, stream) != NULL)
        found = strncmp(text, key, length) == 0 && text[length] == ' ';
    fclose(stream);
    ck_assert_msg(found, "%s has no line \"%s\"", path, key);
    line->count = 0;
    for (char *cursor = text + length, *end; *cursor != '\n'; cursor = end) {
        ck_assert_uint_lt(line->count, GOLDEN_NUMBERS);
        line->numbers[line->count++] = strtod(cursor, &end);
        ck_assert_msg(end != cursor, "%s: %s", key, cursor);
    }
}

#endif
