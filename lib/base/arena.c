#include "base/arena.h"

#include <string.h>

#include "base/checked.h"

#define BLOCK_BYTES ((size_t)16384)
#define PIECE_ALIGNMENT ((size_t)16)

struct fkp_arena_block {
    fkp_arena_block *next;
    size_t size; /* of the whole block, header included */
    size_t used;
};

static size_t header_bytes(void) {
    return (sizeof(fkp_arena_block) + PIECE_ALIGNMENT - 1) & ~(PIECE_ALIGNMENT - 1);
}

void fkp_arena_begin(fkp_arena *arena, const fkp_memory *memory, size_t limit) {
    *arena = (fkp_arena){*memory, NULL, 0, limit, false};
}

static fkp_arena_block *add_block(fkp_arena *arena, size_t payload) {
    size_t size;
    if (!fkp_checked_add(fkp_max_size(payload, BLOCK_BYTES), header_bytes(), &size)) return NULL;
    if (arena->limit != 0 && !fkp_range_inside(arena->taken, size, arena->limit)) {
        arena->full = true;
        return NULL;
    }
    fkp_arena_block *block = fkp_allocate(&arena->memory, size, 1);
    if (block == NULL) return NULL;
    block->size = size;
    block->used = header_bytes();
    block->next = arena->blocks;
    arena->blocks = block;
    arena->taken += size;
    return block;
}

void *fkp_arena_allocate(fkp_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!fkp_checked_multiply(count, size, &bytes) || !fkp_checked_round_up(bytes, PIECE_ALIGNMENT, &bytes))
        return NULL;
    fkp_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < bytes) block = add_block(arena, bytes);
    if (block == NULL) return NULL;
    void *piece = (uint8_t *)block + block->used;
    block->used += bytes;
    return piece;
}

char *fkp_arena_copy(fkp_arena *arena, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *copy = fkp_arena_allocate(arena, length + 1, 1);
    if (copy != NULL) memcpy(copy, text, length);
    return copy;
}

facekp_status fkp_arena_failure(const fkp_arena *arena, const char *what, fkp_error *error) {
    if (arena->full)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "%s would need more than %zu MB of memory", what,
                        arena->limit >> 20);
    return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %s", what);
}

void fkp_arena_free(fkp_arena *arena) {
    while (arena->blocks != NULL) {
        fkp_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        fkp_release(&arena->memory, block, block->size, 1);
    }
    arena->taken = 0;
}
