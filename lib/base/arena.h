/* Many small pieces of memory that are freed together. */
#ifndef FKP_ARENA_H
#define FKP_ARENA_H

#include <stdbool.h>

#include "base/memory.h"

typedef struct fkp_arena_block fkp_arena_block;

typedef struct fkp_arena {
    fkp_memory memory;
    fkp_arena_block *blocks;
    size_t taken; /* bytes held, all blocks */
    size_t limit; /* most bytes it may hold; 0: no limit of its own */
    bool full;    /* the limit has refused a piece */
} fkp_arena;

void fkp_arena_begin(fkp_arena *arena, const fkp_memory *memory, size_t limit);
/* count * size zeroed bytes, aligned for any scalar; NULL when they overflow, pass the limit or are not to be
 * had. */
void *fkp_arena_allocate(fkp_arena *arena, size_t count, size_t size);
/* `length` bytes copied and a NUL after them. */
char *fkp_arena_copy(fkp_arena *arena, const char *text, size_t length);
/* After a NULL: FACEKP_ERROR_LIMIT if the limit refused, else FACEKP_ERROR_MEMORY. `what` is what the piece
 * was for. */
facekp_status fkp_arena_failure(const fkp_arena *arena, const char *what, fkp_error *error);
void fkp_arena_free(fkp_arena *arena);

#endif
