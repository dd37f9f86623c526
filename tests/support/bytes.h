/* Bytes being put together in a test: small files made by hand. */
#ifndef BYTES_H
#define BYTES_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct byte_string {
    unsigned char *data;
    size_t size;
} byte_string;

static inline void put(byte_string *b, const void *data, size_t size) {
    b->data = realloc(b->data, b->size + size + 1);
    ck_assert_ptr_nonnull(b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void put_text(byte_string *b, const char *text) { put(b, text, strlen(text)); }

/* A little-endian number of `width` bytes. */
static inline void put_number(byte_string *b, uint64_t number, size_t width) {
    for (size_t i = 0; i < width; i++, number >>= 8) {
        unsigned char byte = (unsigned char)number;
        put(b, &byte, 1);
    }
}

static inline void put_repeated(byte_string *b, int byte, size_t count) {
    unsigned char value = (unsigned char)byte;
    for (size_t i = 0; i < count; i++) put(b, &value, 1);
}

static inline void set_number(byte_string *b, size_t at, uint64_t number, size_t width) {
    for (size_t i = 0; i < width; i++, number >>= 8) b->data[at + i] = (unsigned char)number;
}

/* Where the bytes of `text` first stand; fails the test if nowhere. */
static inline size_t find_bytes(const byte_string *b, const void *text, size_t size) {
    for (size_t at = 0; at + size <= b->size; at++)
        if (memcmp(b->data + at, text, size) == 0) return at;
    ck_abort_msg("the bytes are not there");
    return 0;
}

#endif
