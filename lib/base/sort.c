#include "base/sort.h"

/* Lets the element at `root` sink until neither child is greater. */
static void sift_down(uint32_t *heap, size_t count, size_t root, fkp_compare compare, const void *context) {
    uint32_t sinking = heap[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(context, heap[child], heap[child + 1]) < 0) child++;
        if (compare(context, sinking, heap[child]) >= 0) break;
        heap[root] = heap[child];
    }
    heap[root] = sinking;
}

void fkp_sort(uint32_t *indices, size_t count, fkp_compare compare, const void *context) {
    for (size_t root = count / 2; root-- > 0;) sift_down(indices, count, root, compare, context);
    for (size_t last = count; last-- > 1;) {
        uint32_t greatest = indices[0];
        indices[0] = indices[last];
        indices[last] = greatest;
        sift_down(indices, last, 0, compare, context);
    }
}
