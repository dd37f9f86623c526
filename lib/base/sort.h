/* Sorting of indices: no hidden allocation, as qsort may make, and no input that makes it slow (heapsort:
 * n log n always), since the order of things in a hostile file is the file's choice. */
#ifndef FKP_SORT_H
#define FKP_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Less than, equal to or greater than zero, as strcmp, for the elements that two indices stand for. */
typedef int (*fkp_compare)(const void *context, uint32_t a, uint32_t b);

void fkp_sort(uint32_t *indices, size_t count, fkp_compare compare, const void *context);

#endif
