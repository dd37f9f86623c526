/* Host memory that fails at the n-th call, counts what is out, and checks that each piece comes back with the
 * size it was taken with. check_every_allocation() fails each allocation of an operation in turn. */
#ifndef FAILING_ALLOCATOR_H
#define FAILING_ALLOCATOR_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "facekp/facekp.h"

typedef struct failing_allocator {
    size_t calls;   /* so far */
    size_t fail_at; /* number of the call that fails, counted from 1; 0: none */
    size_t pieces;  /* out at the moment */
    size_t bytes;
    size_t most_bytes; /* the most that were out at a time */
} failing_allocator;

/* The size is kept in front of the piece, in as many bytes as the alignment asks for. */
static inline size_t piece_prefix(size_t alignment) { return alignment < 64 ? 64 : alignment; }

static inline void *failing_allocate(void *user, size_t size, size_t alignment) {
    failing_allocator *state = user;
    if (++state->calls == state->fail_at) return NULL;
    size_t prefix = piece_prefix(alignment);
    if (size > SIZE_MAX / 2) return NULL;
    size_t rounded = (size + prefix - 1) / prefix * prefix;
    void *start = aligned_alloc(prefix, prefix + rounded);
    if (start == NULL) return NULL;
    size_t note[2] = {size, prefix};
    unsigned char *piece = (unsigned char *)start + prefix;
    memcpy(piece - sizeof note, note, sizeof note);
    memset(piece, 0xa5, size);
    state->pieces++;
    state->bytes += size;
    if (state->bytes > state->most_bytes) state->most_bytes = state->bytes;
    return piece;
}

static inline void failing_release(void *user, void *pointer, size_t size) {
    failing_allocator *state = user;
    size_t note[2];
    memcpy(note, (unsigned char *)pointer - sizeof note, sizeof note);
    ck_assert_uint_eq(note[0], size);
    state->pieces--;
    state->bytes -= size;
    free((unsigned char *)pointer - note[1]);
}

static inline facekp_allocator failing_hooks(failing_allocator *state) {
    return (facekp_allocator){sizeof(facekp_allocator), state, failing_allocate, failing_release};
}

/* Does the whole job once with the memory given, frees all it made, and returns the status of the job. */
typedef facekp_status (*failing_operation)(const facekp_allocator *allocator, void *argument);

/* Runs the operation with its first allocation failing, then its second, and so on until it succeeds. Each
 * failure must be FACEKP_ERROR_MEMORY and leave nothing behind. */
static inline void check_every_allocation(failing_operation operation, void *argument) {
    const size_t most_allocations = 100000;
    for (size_t n = 1; n < most_allocations; n++) {
        failing_allocator state = {.fail_at = n};
        facekp_allocator allocator = failing_hooks(&state);
        facekp_status status = operation(&allocator, argument);
        ck_assert_msg(state.pieces == 0, "allocation %zu failed: %zu pieces were left", n, state.pieces);
        if (state.calls < n) {
            ck_assert_int_eq(status, FACEKP_OK);
            ck_assert_uint_gt(n, 1);
            return;
        }
        ck_assert_msg(status == FACEKP_ERROR_MEMORY, "allocation %zu failed: status %d", n, (int)status);
    }
    ck_abort_msg("the operation never succeeded");
}

#endif
