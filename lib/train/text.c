#include "train/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

#define FIRST_CAPACITY 1024

void fkp_text_begin(fkp_text *text, const fkp_memory *memory) { *text = (fkp_text){.memory = *memory}; }

void fkp_text_free(fkp_text *text) {
    fkp_release(&text->memory, text->data, text->capacity, 1);
    *text = (fkp_text){.memory = text->memory};
}

void fkp_text_clear(fkp_text *text) {
    text->size = 0;
    text->failed = false;
    if (text->data != NULL) text->data[0] = '\0';
}

const char *fkp_text_get(const fkp_text *text) { return text->data == NULL ? "" : text->data; }

/* Room for `extra` more bytes and the terminator. */
static bool reserve(fkp_text *text, size_t extra) {
    size_t needed;
    if (text->failed) return false;
    if (fkp_checked_add(text->size, extra, &needed) && fkp_checked_add(needed, 1, &needed)) {
        if (needed <= text->capacity) return true;
        size_t capacity = text->capacity == 0 ? FIRST_CAPACITY : text->capacity;
        while (capacity < needed && capacity <= SIZE_MAX / 2) capacity *= 2;
        char *data = capacity < needed ? NULL : fkp_allocate_raw(&text->memory, capacity, 1);
        if (data != NULL) {
            if (text->size > 0) memcpy(data, text->data, text->size);
            data[text->size] = '\0';
            fkp_release(&text->memory, text->data, text->capacity, 1);
            text->data = data;
            text->capacity = capacity;
            return true;
        }
    }
    text->failed = true;
    return false;
}

static void append_bytes(fkp_text *text, const char *bytes, size_t size) {
    if (!reserve(text, size)) return;
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void fkp_text_append(fkp_text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length > 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->size, (size_t)length + 1, format, again);
        text->size += (size_t)length;
    }
    va_end(again);
}

/* Puts a point where the locale has its decimal sign (which may be several bytes). Returns the length. */
static size_t put_point(char *number, size_t length) {
    size_t begin = 0;
    while (begin < length && strchr("+-0123456789e", number[begin]) != NULL) begin++;
    if (begin == length) return length;
    size_t end = begin;
    while (end < length && strchr("+-0123456789e", number[end]) == NULL) end++;
    number[begin] = '.';
    memmove(number + begin + 1, number + end, length - end);
    return length - (end - begin) + 1;
}

const char *fkp_format_number(char number[FKP_NUMBER_BYTES], double value, int decimals) {
    if (isnan(value)) return "nan";
    if (isinf(value)) return value < 0 ? "-inf" : "inf";
    if (decimals > 32) decimals = 32;
    int length = decimals < 0 ? snprintf(number, FKP_NUMBER_BYTES, "%.9g", value)
                              : snprintf(number, FKP_NUMBER_BYTES, "%.*f", decimals, value);
    number[put_point(number, (size_t)length)] = '\0';
    return number;
}

void fkp_text_number(fkp_text *text, double value, int decimals) {
    char number[FKP_NUMBER_BYTES];
    const char *written = fkp_format_number(number, value, decimals);
    append_bytes(text, written, strlen(written));
}

void fkp_text_json_number(fkp_text *text, double value, int decimals) {
    if (isfinite(value))
        fkp_text_number(text, value, decimals);
    else
        append_bytes(text, "null", 4);
}

void fkp_text_json_string(fkp_text *text, const char *value) {
    append_bytes(text, "\"", 1);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fkp_text_append(text, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            fkp_text_append(text, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            append_bytes(text, c, 1);
    }
    append_bytes(text, "\"", 1);
}

facekp_status fkp_text_check(const fkp_text *text, fkp_error *error) {
    if (text->failed) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a text");
    return FACEKP_OK;
}

facekp_status fkp_text_write(const fkp_text *text, const char *path, fkp_error *error) {
    facekp_status status = fkp_text_check(text, error);
    if (status != FACEKP_OK) return status;
    fkp_writer *writer;
    status = fkp_writer_open(&text->memory, path, &writer, error);
    if (status != FACEKP_OK) return status;
    fkp_writer_write(writer, fkp_text_get(text), text->size);
    return fkp_writer_finish(writer, error);
}

/* ---- reading ---- */

static bool is_word(const char *begin, const char *end, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(end - begin) != length) return false;
    for (size_t i = 0; i < length; i++)
        if ((begin[i] | 0x20) != word[i]) return false;
    return true;
}

/* Digits from *cursor on, added to *value; returns how many. */
static int read_digits(const char **cursor, const char *end, double *value) {
    int count = 0;
    for (; *cursor < end && **cursor >= '0' && **cursor <= '9'; (*cursor)++, count++)
        *value = 10.0 * *value + (**cursor - '0');
    return count;
}

/* An exponent after the mantissa; false if there is an 'e' without one. */
static bool read_exponent(const char **cursor, const char *end, int *exponent) {
    *exponent = 0;
    if (*cursor == end || (**cursor | 0x20) != 'e') return true;
    (*cursor)++;
    bool negative = *cursor < end && **cursor == '-';
    if (*cursor < end && (**cursor == '-' || **cursor == '+')) (*cursor)++;
    double value = 0.0;
    if (read_digits(cursor, end, &value) == 0) return false;
    int size = value > 9999.0 ? 9999 : (int)value;
    *exponent = negative ? -size : size;
    return true;
}

bool fkp_parse_number(const char *begin, const char *end, double *result) {
    while (begin < end && (*begin == ' ' || *begin == '\t')) begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t')) end--;
    bool negative = begin < end && *begin == '-';
    if (begin < end && (*begin == '-' || *begin == '+')) begin++;
    double value = 0.0;
    if (is_word(begin, end, "nan"))
        value = NAN;
    else if (is_word(begin, end, "inf") || is_word(begin, end, "infinity"))
        value = INFINITY;
    else {
        int digits = read_digits(&begin, end, &value), decimals = 0, exponent;
        if (begin < end && *begin == '.') {
            begin++;
            decimals = read_digits(&begin, end, &value);
        }
        if (digits + decimals == 0 || !read_exponent(&begin, end, &exponent) || begin != end) return false;
        exponent -= decimals;
        /* One correctly rounded operation where the power of ten is exact. */
        value = exponent < 0 ? value / pow(10.0, -exponent) : value * pow(10.0, exponent);
    }
    *result = negative ? -value : value;
    return true;
}
