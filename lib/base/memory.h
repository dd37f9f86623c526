/* Memory of the host: every allocation of the library goes through an fkp_memory. Nothing here is thread-safe
 * beyond what the host's functions are. */
#ifndef FKP_MEMORY_H
#define FKP_MEMORY_H

#include "base/status.h"

/* Whether AddressSanitizer watches. */
#if defined(__SANITIZE_ADDRESS__)
#define FKP_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FKP_ADDRESS_SANITIZER 1
#endif
#endif

#define FKP_ALIGNMENT 64 /* a cache line, and the widest vector */

typedef struct fkp_memory {
    void *user;
    void *(*allocate)(void *user, size_t size, size_t alignment);
    void (*release)(void *user, void *pointer, size_t size);
} fkp_memory;

/* The host's functions, or the C library's when allocator is NULL or its functions are. */
fkp_memory fkp_memory_from(const facekp_allocator *allocator);

/* count * size zeroed bytes, aligned to FKP_ALIGNMENT; NULL when they overflow or are not to be had. count *
 * size == 0 gives a pointer that may be freed. */
void *fkp_allocate(const fkp_memory *memory, size_t count, size_t size);
/* The same with unspecified contents, for large buffers that are written whole. */
void *fkp_allocate_raw(const fkp_memory *memory, size_t count, size_t size);
/* Frees what one of the two above gave; count and size as then. NULL is fine. */
void fkp_release(const fkp_memory *memory, void *pointer, size_t count, size_t size);

/* A string copied; release with fkp_release(memory, s, strlen(s) + 1, 1). */
char *fkp_copy_string(const fkp_memory *memory, const char *text);

#endif
