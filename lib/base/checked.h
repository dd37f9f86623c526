/* Arithmetic on sizes that come from files and callers. Each returns false on overflow and leaves *result
 * alone. */
#ifndef FKP_CHECKED_H
#define FKP_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool fkp_checked_add(size_t a, size_t b, size_t *result) {
    if (a > SIZE_MAX - b) return false;
    *result = a + b;
    return true;
}

static inline bool fkp_checked_multiply(size_t a, size_t b, size_t *result) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *result = a * b;
    return true;
}

/* Rounds up to a multiple of a power of two. */
static inline bool fkp_checked_round_up(size_t value, size_t multiple, size_t *result) {
    if (!fkp_checked_add(value, multiple - 1, &value)) return false;
    *result = value & ~(multiple - 1);
    return true;
}

/* True when [offset, offset + size) lies inside [0, total). */
static inline bool fkp_range_inside(uint64_t offset, uint64_t size, uint64_t total) {
    return offset <= total && size <= total - offset;
}

static inline size_t fkp_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t fkp_max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t fkp_divide_up(size_t a, size_t b) { return a / b + (a % b != 0); }

#endif
