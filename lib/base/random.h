/* Random numbers by position: the i-th number of a stream is a pure function of (stream, i), so that work
 * split over threads, resumed after a stop, or repeated in another language gives the same bits. The mix is
 * splitmix64's (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014). */
#ifndef FKP_RANDOM_H
#define FKP_RANDOM_H

#include <stdint.h>

typedef struct fkp_random {
    uint64_t key;
    uint64_t counter;
} fkp_random;

static inline uint64_t fkp_mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A stream named by a seed and up to two numbers (epoch, index; layer, step; …). */
static inline fkp_random fkp_random_stream(uint64_t seed, uint64_t a, uint64_t b) {
    const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t key = fkp_mix64(seed + golden);
    key = fkp_mix64(key ^ fkp_mix64(a + golden));
    key = fkp_mix64(key ^ fkp_mix64(b + 2 * golden));
    return (fkp_random){key, 0};
}

/* The number at a position. */
static inline uint64_t fkp_random_at(uint64_t key, uint64_t position) {
    return fkp_mix64(key + (position + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t fkp_random_next(fkp_random *random) {
    return fkp_random_at(random->key, random->counter++);
}

/* Uniform in [0, 1): 24 bits, exact in float. */
static inline float fkp_to_uniform(uint64_t bits) { return (float)(bits >> 40) * 0x1p-24f; }
static inline float fkp_random_uniform(fkp_random *random) { return fkp_to_uniform(fkp_random_next(random)); }
static inline float fkp_random_between(fkp_random *random, float low, float high) {
    return low + (high - low) * fkp_random_uniform(random);
}
/* Uniform in [0, count). */
static inline uint64_t fkp_random_below(fkp_random *random, uint64_t count) {
    return (uint64_t)(((fkp_random_next(random) >> 32) * count) >> 32);
}
/* Approximately normal, mean 0 and deviation 1: the sum of four uniforms, rescaled; exact in every language.
 */
static inline float fkp_random_normal(fkp_random *random) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += fkp_random_uniform(random);
    return (sum - 2.0f) * 1.7320508f;
}

#endif
