/* Direct regression: four blocks of convolution 4 x 4, BatchNorm, activation, pooling and dropout, then three
 * linear layers to x and y of every keypoint. */
#include <stdio.h>

#include "networks/networks.h"

void fkp_describe_direct(fkp_builder *builder, const fkp_network_options *options) {
    static const size_t channels[4] = {32, 64, 128, 256}, hidden[2] = {1024, 512};
    static const float rates[6] = {0.1f, 0.1f, 0.2f, 0.2f, 0.3f, 0.3f};
    char name[FKP_NAME_BYTES];
    int32_t x = 0;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "conv.%d", i);
        x = fkp_add_convolution(builder, x, name, channels[i], 4, 1, 0, true);
        snprintf(name, sizeof name, "bn.%d", i);
        x = fkp_add_batch_norm(builder, x, name);
        x = fkp_add_activation(builder, x, options->activation);
        x = fkp_add_max_pooling(builder, x, 2, 2, 0);
        x = fkp_add_dropout(builder, x, rates[i], i == 3);
    }
    x = fkp_add_flatten(builder, x);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "fc.%d", i);
        x = fkp_add_linear(builder, x, name, hidden[i]);
        snprintf(name, sizeof name, "fcbn.%d", i);
        x = fkp_add_batch_norm(builder, x, name);
        x = fkp_add_activation(builder, x, options->activation);
        x = fkp_add_dropout(builder, x, rates[4 + i], false);
    }
    fkp_add_linear(builder, x, "fc.2", 2 * options->keypoints);
    snprintf(builder->network->variant, sizeof builder->network->variant, "%s",
             options->activation == FKP_ACTIVATION_RELU ? "relu" : "elu");
}
