/* For posix_memalign. */
#define _POSIX_C_SOURCE 200809L
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static void *library_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void library_release(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    free(pointer);
}

fkp_memory fkp_memory_from(const facekp_allocator *allocator) {
    if (allocator == NULL || allocator->allocate == NULL || allocator->release == NULL)
        return (fkp_memory){NULL, library_allocate, library_release};
    return (fkp_memory){allocator->user, allocator->allocate, allocator->release};
}

/* The size that really is asked for: at least one byte, whole cache lines, so that vectors may end at the
 * end. */
static bool padded_size(size_t count, size_t size, size_t *bytes) {
    return fkp_checked_multiply(count, size, bytes) &&
           fkp_checked_round_up(*bytes == 0 ? 1 : *bytes, FKP_ALIGNMENT, bytes);
}

void *fkp_allocate_raw(const fkp_memory *memory, size_t count, size_t size) {
    size_t bytes;
    if (!padded_size(count, size, &bytes)) return NULL;
    return memory->allocate(memory->user, bytes, FKP_ALIGNMENT);
}

void *fkp_allocate(const fkp_memory *memory, size_t count, size_t size) {
    size_t bytes;
    if (!padded_size(count, size, &bytes)) return NULL;
    void *pointer = memory->allocate(memory->user, bytes, FKP_ALIGNMENT);
    if (pointer != NULL) memset(pointer, 0, bytes);
    return pointer;
}

void fkp_release(const fkp_memory *memory, void *pointer, size_t count, size_t size) {
    size_t bytes;
    if (pointer != NULL && padded_size(count, size, &bytes)) memory->release(memory->user, pointer, bytes);
}

char *fkp_copy_string(const fkp_memory *memory, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = fkp_allocate_raw(memory, bytes, 1);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}
