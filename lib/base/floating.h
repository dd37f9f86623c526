/* The floating-point state of a thread while it computes for the library: round to nearest, no traps, and,
 * where asked, denormal numbers taken as zero, which would otherwise cost hundreds of cycles each. The
 * caller's state, exception flags included, is put back afterwards: the host's other code never sees ours.
 *
 * Threads started inside such a scope inherit it (POSIX, pthread_create). */
#ifndef FKP_FLOATING_H
#define FKP_FLOATING_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef struct fkp_floating {
    uint64_t saved;
} fkp_floating;

static inline fkp_floating fkp_floating_begin(bool flush_denormals) {
#if defined(__SSE__)
    /* MXCSR: all exceptions masked; flush-to-zero is bit 15, denormals-are-zero bit 6. */
    const unsigned masked = 0x1f80, flush = 0x8040;
    fkp_floating state = {_mm_getcsr()};
    _mm_setcsr(flush_denormals ? masked | flush : masked);
    return state;
#elif defined(__aarch64__)
    /* FPCR: zero rounds to nearest without traps; flush-to-zero is bit 24. */
    fkp_floating state;
    const uint64_t flush = flush_denormals ? UINT64_C(1) << 24 : 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state.saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(flush));
    return state;
#else
    (void)flush_denormals;
    return (fkp_floating){0};
#endif
}

static inline void fkp_floating_end(fkp_floating state) {
#if defined(__SSE__)
    _mm_setcsr((unsigned)state.saved);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(state.saved));
#else
    (void)state;
#endif
}

#endif
