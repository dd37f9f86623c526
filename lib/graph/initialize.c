/* Initial values, as PyTorch's modules choose them: uniform in +-1/sqrt(fan-in) for convolutions and linear
 * layers (Kaiming with a = sqrt 5), normal of deviation 0.02 for tokens, positions and queries, ones and
 * zeros for norms. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "graph/graph.h"

/* FNV-1a: a tensor's stream is named by its name, so that a new layer leaves the others' values alone. */
static uint64_t hash_of(const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

static size_t fan_in(const fkp_network *network, const fkp_parameter *parameter) {
    int32_t weight = fkp_network_parameter(network, parameter->layer, FKP_ROLE_WEIGHT);
    const fkp_parameter *w = &network->parameters[weight];
    return w->count / w->shape[0];
}

static bool is_norm(fkp_layer_kind kind) {
    return kind == FKP_LAYER_BATCH_NORM || kind == FKP_LAYER_LAYER_NORM;
}

void fkp_network_initialize(const fkp_network *network, uint64_t seed, float *storage) {
    memset(storage, 0, network->storage * sizeof *storage);
    for (int32_t p = 0; p < network->parameter_count; p++) {
        const fkp_parameter *parameter = &network->parameters[p];
        float *values = storage + parameter->offset;
        fkp_random random = fkp_random_stream(seed, hash_of(parameter->name), 0);
        fkp_layer_kind kind = network->layers[parameter->layer].kind;
        bool weight_or_bias = parameter->role == FKP_ROLE_WEIGHT || parameter->role == FKP_ROLE_BIAS;
        if (weight_or_bias && !is_norm(kind)) {
            float bound = 1.0f / sqrtf((float)fan_in(network, parameter));
            for (size_t i = 0; i < parameter->count; i++)
                values[i] = fkp_random_between(&random, -bound, bound);
        } else if (parameter->role == FKP_ROLE_RUNNING_VARIANCE || (parameter->role == FKP_ROLE_WEIGHT)) {
            for (size_t i = 0; i < parameter->count; i++) values[i] = 1.0f;
        } else if (!weight_or_bias && parameter->role != FKP_ROLE_RUNNING_MEAN) {
            for (size_t i = 0; i < parameter->count; i++) values[i] = 0.02f * fkp_random_normal(&random);
        }
    }
}
