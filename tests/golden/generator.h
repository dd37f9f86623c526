/* Weights and pictures by position in random streams; make_golden.py makes the same bits. */
#ifndef GENERATOR_H
#define GENERATOR_H

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "graph/graph.h"

enum { GOLDEN_SEED = 2024, GOLDEN_SIZE = 224, GOLDEN_CELL = 16 };

/* FNV-1a. */
static inline uint64_t hash_name(const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

/* Weights scaled by their fan-in, norms near the identity. */
static inline void generate_parameter(const fkp_network *network, const fkp_parameter *parameter, double gain,
                                      float *values) {
    fkp_layer_kind kind = network->layers[parameter->layer].kind;
    bool norm = kind == FKP_LAYER_BATCH_NORM || kind == FKP_LAYER_LAYER_NORM;
    float low = -0.1f, high = 0.1f;
    if ((parameter->role == FKP_ROLE_WEIGHT && norm) || parameter->role == FKP_ROLE_RUNNING_VARIANCE) {
        low = 0.8f;
        high = 1.2f;
    } else if (parameter->role == FKP_ROLE_WEIGHT) {
        size_t fan =
            kind == FKP_LAYER_UPSAMPLING ? parameter->shape[0] : parameter->count / parameter->shape[0];
        high = (float)(gain * sqrt(3.0 / (double)fan));
        low = -high;
    } else if (parameter->role == FKP_ROLE_CLASS_TOKEN || parameter->role == FKP_ROLE_POSITION) {
        low = -0.5f;
        high = 0.5f;
    } else if (parameter->role == FKP_ROLE_QUERIES) {
        low = -6.0f;
        high = 6.0f;
    }
    fkp_random random = fkp_random_stream(GOLDEN_SEED, hash_name(parameter->name), 0);
    for (size_t i = 0; i < parameter->count; i++) values[i] = fkp_random_between(&random, low, high);
}

/* All parameters of a network in its flat storage; free() it. */
static inline float *generate_parameters(const fkp_network *network, double gain) {
    float *storage = calloc(network->storage, sizeof *storage);
    for (int32_t i = 0; i < network->parameter_count && storage != NULL; i++)
        generate_parameter(network, &network->parameters[i], gain, storage + network->parameters[i].offset);
    return storage;
}

/* Program weights out of a flat storage: a fkp_weight_source's read. */
static inline const float *read_storage(void *user, const fkp_parameter *parameter, size_t first,
                                        size_t count, float *room, fkp_error *error) {
    (void)count, (void)room, (void)error;
    return (const float *)user + parameter->offset + first;
}

/* A smooth patch of size x size pixels (a multiple of GOLDEN_CELL): a grid of random numbers, bilinear
 * between them, and a little noise. */
static inline void generate_picture(size_t index, size_t size, float *pixels) {
    size_t nodes = size / GOLDEN_CELL + 1;
    const uint64_t grid = fkp_random_stream(GOLDEN_SEED, 1, index).key;
    const uint64_t noise = fkp_random_stream(GOLDEN_SEED, 2, index).key;
    for (size_t y = 0; y < size; y++)
        for (size_t x = 0; x < size; x++) {
            float part[2] = {(float)(y % GOLDEN_CELL) / GOLDEN_CELL, (float)(x % GOLDEN_CELL) / GOLDEN_CELL};
            float rest[2] = {(float)(GOLDEN_CELL - y % GOLDEN_CELL) / GOLDEN_CELL,
                             (float)(GOLDEN_CELL - x % GOLDEN_CELL) / GOLDEN_CELL};
            uint64_t node = (y / GOLDEN_CELL) * nodes + x / GOLDEN_CELL;
            float left = fkp_to_uniform(fkp_random_at(grid, node)) * rest[0] +
                         fkp_to_uniform(fkp_random_at(grid, node + nodes)) * part[0];
            float right = fkp_to_uniform(fkp_random_at(grid, node + 1)) * rest[0] +
                          fkp_to_uniform(fkp_random_at(grid, node + nodes + 1)) * part[0];
            pixels[y * size + x] = 0.9f * (left * rest[1] + right * part[1]) +
                                   0.1f * fkp_to_uniform(fkp_random_at(noise, y * size + x));
        }
}

#endif
