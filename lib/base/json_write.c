#include <string.h>

#include "base/checked.h"
#include "base/json.h"

void fkp_json_writer_begin(fkp_json_writer *writer, const fkp_memory *memory) {
    *writer = (fkp_json_writer){*memory, NULL, 0, 0, false};
}

static void append(fkp_json_writer *writer, const char *bytes, size_t size) {
    if (writer->failed) return;
    size_t needed;
    if (!fkp_checked_add(writer->used, size, &needed) || needed > SIZE_MAX / 2) {
        writer->failed = true;
        return;
    }
    if (needed > writer->capacity) {
        size_t capacity = fkp_max_size(2 * needed, 256);
        char *text = fkp_allocate_raw(&writer->memory, capacity, 1);
        if (text == NULL) {
            writer->failed = true;
            return;
        }
        if (writer->used != 0) memcpy(text, writer->text, writer->used);
        fkp_release(&writer->memory, writer->text, writer->capacity, 1);
        writer->text = text;
        writer->capacity = capacity;
    }
    memcpy(writer->text + writer->used, bytes, size);
    writer->used = needed;
}

void fkp_json_write_raw(fkp_json_writer *writer, const char *text) { append(writer, text, strlen(text)); }

void fkp_json_write_unsigned(fkp_json_writer *writer, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    append(writer, digits + at, sizeof digits - at);
}

static void append_control(fkp_json_writer *writer, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    switch (c) {
    case '\b':
        append(writer, "\\b", 2);
        break;
    case '\f':
        append(writer, "\\f", 2);
        break;
    case '\n':
        append(writer, "\\n", 2);
        break;
    case '\r':
        append(writer, "\\r", 2);
        break;
    case '\t':
        append(writer, "\\t", 2);
        break;
    default:
        append(writer, escape, sizeof escape);
    }
}

void fkp_json_write_string(fkp_json_writer *writer, const char *text) {
    append(writer, "\"", 1);
    for (size_t rest = strlen(text); rest > 0;) {
        size_t length = fkp_utf8_sequence(text, rest);
        unsigned char c = (unsigned char)*text;
        if (length == 0)
            append(writer, "\xef\xbf\xbd", 3);
        else if (c < 0x20)
            append_control(writer, c);
        else {
            if (c == '"' || c == '\\') append(writer, "\\", 1);
            append(writer, text, length);
        }
        size_t step = length == 0 ? 1 : length;
        text += step;
        rest -= step;
    }
    append(writer, "\"", 1);
}

void fkp_json_writer_free(fkp_json_writer *writer) {
    fkp_release(&writer->memory, writer->text, writer->capacity, 1);
    writer->text = NULL;
    writer->used = writer->capacity = 0;
}
