/* Reading a whole file in a test. */
#ifndef WHOLE_FILE_H
#define WHOLE_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a file in a buffer of exactly its size, so that a sanitizer sees any read past the end; the caller
 * frees it. NULL if it cannot be read. */
static inline unsigned char *read_whole_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    unsigned char *bytes = NULL;
    long length = -1;
    if (fseek(file, 0, SEEK_END) == 0) length = ftell(file);
    if (length >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)length;
        bytes = malloc(*size + (*size == 0));
        if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

#endif
