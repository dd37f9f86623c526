/* What this CPU and its operating system can do. */
#if defined(__linux__)
#define _GNU_SOURCE /* syscall */
#endif
#include "kernels/kernels.h"

#include <string.h>

static const char *const names[FKP_ISA_COUNT] = {"portable", "avx2", "avx512", "amx"};

const char *fkp_isa_name(fkp_isa isa) { return names[isa]; }

fkp_isa fkp_isa_named(const char *name) {
    int isa = 0;
    while (isa < FKP_ISA_COUNT && strcmp(name, names[isa]) != 0) isa++;
    return (fkp_isa)isa;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Bits of XCR0: the registers that the operating system saves. */
enum { STATE_YMM = 0x06, STATE_ZMM = 0xe6, STATE_TILES = 0x60000 };

static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#if defined(FKP_HAS_AMX) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Linux gives the tile registers to processes that ask, for all their threads: arch_prctl(2), of 5.16 and
 * later, whose names the headers may not have. */
static bool tiles_permitted(void) {
    const long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
static bool tiles_permitted(void) { return false; }
#endif

/* What AMX needs beyond AVX-512; `leaf` is d of leaf 7. */
static bool has_amx(uint32_t leaf, uint64_t state) {
    uint32_t a, b, c, d;
    const uint32_t amx = 1u << 22 | 1u << 24; /* BF16, TILE */
    const uint32_t avx512_bf16 = 1u << 5;
    return (leaf & amx) == amx && (state & STATE_TILES) == STATE_TILES &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx512_bf16) != 0 && tiles_permitted();
}

/* Tiles are asked for where they are wanted alone. */
static fkp_isa best_isa(fkp_isa limit) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return FKP_ISA_PORTABLE;
    const uint32_t os_saves = 1u << 27, avx = 1u << 28, fma = 1u << 12;
    if ((c & os_saves) == 0 || (c & avx) == 0 || (c & fma) == 0) return FKP_ISA_PORTABLE;
    uint64_t state = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return FKP_ISA_PORTABLE;
    const uint32_t avx2 = 1u << 5;
    if ((b & avx2) == 0 || (state & STATE_YMM) != STATE_YMM) return FKP_ISA_PORTABLE;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if ((b & avx512) != avx512 || (state & STATE_ZMM) != STATE_ZMM) return FKP_ISA_AVX2;
    return limit >= FKP_ISA_AMX && has_amx(d, state) ? FKP_ISA_AMX : FKP_ISA_AVX512;
}
#else
static fkp_isa best_isa(fkp_isa limit) {
    (void)limit;
    return FKP_ISA_PORTABLE;
}
#endif

fkp_isa fkp_isa_detect(fkp_isa limit) {
    fkp_isa best = best_isa(limit);
    return best < limit ? best : limit;
}
