/* For posix_memalign and madvise. */
#define _GNU_SOURCE
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

/* Large memory lies on huge pages where the system has them: packed weights are touched once when they are
 * written and streamed ever after, and a fault for every 4 KB of them costs more than the writing. The last
 * huge page is taken whole, since its part in small pages would cost as much again. */
#define HUGE_PAGE ((size_t)2 << 20)

static void *library_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    void *pointer = NULL;
    const bool huge = size >= HUGE_PAGE / 2 && size <= SIZE_MAX - HUGE_PAGE;
    if (huge) size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (posix_memalign(&pointer, huge ? HUGE_PAGE : alignment, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) (void)madvise(pointer, size, MADV_HUGEPAGE);
#endif
    return pointer;
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
