/* U-Net (Ronneberger et al., MICCAI 2015) with BatchNorm, ELU and padded convolutions: a heatmap of logits
 * for every keypoint. */
#include <stdio.h>

#include "networks/networks.h"

/* Convolution, BatchNorm, ELU, dropout, convolution, BatchNorm, ELU: an nn.Sequential of indices 0 to 6. */
static int32_t double_convolution(fkp_builder *builder, int32_t x, const char *prefix, size_t channels) {
    char name[FKP_NAME_BYTES];
    for (int half = 0; half < 2; half++) {
        snprintf(name, sizeof name, "%s.%d", prefix, half * 4);
        x = fkp_add_convolution(builder, x, name, channels, 3, 1, 1, true);
        snprintf(name, sizeof name, "%s.%d", prefix, half * 4 + 1);
        x = fkp_add_batch_norm(builder, x, name);
        x = fkp_add_activation(builder, x, FKP_ACTIVATION_ELU);
        if (half == 0) x = fkp_add_dropout(builder, x, 0.1f, false);
    }
    return x;
}

void fkp_describe_unet(fkp_builder *builder, const fkp_network_options *options) {
    char name[FKP_NAME_BYTES / 2];
    int32_t skips[4], x = double_convolution(builder, 0, "inc", options->width);
    for (int i = 0; i < 4; i++) {
        skips[i] = x;
        x = fkp_add_max_pooling(builder, x, 2, 2, 0);
        snprintf(name, sizeof name, "down.%d", i);
        x = double_convolution(builder, x, name, options->width << (i + 1));
    }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "up.%d", i);
        x = fkp_add_upsampling(builder, x, name, options->width << (3 - i));
        x = fkp_add_concatenation(builder, skips[3 - i], x);
        snprintf(name, sizeof name, "upconv.%d", i);
        x = double_convolution(builder, x, name, options->width << (3 - i));
    }
    fkp_add_convolution(builder, x, "outc", options->keypoints, 1, 1, 0, true);
    snprintf(builder->network->variant, sizeof builder->network->variant, "width %zu", options->width);
}
