/* ResNet18 (He et al., Deep Residual Learning for Image Recognition, CVPR 2016) as torchvision has it, with
 * one input channel and a last layer of x and y of every keypoint. */
#include <stdio.h>

#include "networks/networks.h"

static int32_t norm_and_relu(fkp_builder *builder, int32_t x, const char *name, bool relu) {
    x = fkp_add_batch_norm(builder, x, name);
    return relu ? fkp_add_activation(builder, x, FKP_ACTIVATION_RELU) : x;
}

static int32_t add_block(fkp_builder *builder, int32_t in, int layer, int block, size_t channels,
                         size_t stride) {
    char name[FKP_NAME_BYTES];
    snprintf(name, sizeof name, "layer%d.%d.conv1", layer, block);
    int32_t x = fkp_add_convolution(builder, in, name, channels, 3, stride, 1, false);
    snprintf(name, sizeof name, "layer%d.%d.bn1", layer, block);
    x = norm_and_relu(builder, x, name, true);
    snprintf(name, sizeof name, "layer%d.%d.conv2", layer, block);
    x = fkp_add_convolution(builder, x, name, channels, 3, 1, 1, false);
    snprintf(name, sizeof name, "layer%d.%d.bn2", layer, block);
    x = norm_and_relu(builder, x, name, false);
    if (stride != 1) {
        snprintf(name, sizeof name, "layer%d.%d.downsample.0", layer, block);
        in = fkp_add_convolution(builder, in, name, channels, 1, stride, 0, false);
        snprintf(name, sizeof name, "layer%d.%d.downsample.1", layer, block);
        in = norm_and_relu(builder, in, name, false);
    }
    x = fkp_add_sum(builder, x, in);
    return fkp_add_activation(builder, x, FKP_ACTIVATION_RELU);
}

void fkp_describe_resnet18(fkp_builder *builder, const fkp_network_options *options) {
    int32_t x = fkp_add_convolution(builder, 0, "conv1", 64, 7, 2, 3, false);
    x = norm_and_relu(builder, x, "bn1", true);
    x = fkp_add_max_pooling(builder, x, 3, 2, 1);
    for (int layer = 1; layer <= 4; layer++)
        for (int block = 0; block < 2; block++)
            x = add_block(builder, x, layer, block, (size_t)32 << layer, layer > 1 && block == 0 ? 2 : 1);
    x = fkp_add_average_pooling(builder, x);
    fkp_add_linear(builder, x, "fc", 2 * options->keypoints);
}
