/* ViT-S/16 (Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021) as timm and DINO (Caron et al.,
 * ICCV 2021) have it, and a keypoint head on the patch tokens. */
#include <stdio.h>

#include "networks/networks.h"

static int32_t add_encoder_block(fkp_builder *builder, int32_t x, size_t index,
                                 const fkp_network_options *options) {
    char name[FKP_NAME_BYTES];
#define NAMED(suffix) (snprintf(name, sizeof name, "blocks.%zu." suffix, index), name)
    int32_t y = fkp_add_layer_norm(builder, x, NAMED("norm1"), 1e-6f);
    y = fkp_add_linear(builder, y, NAMED("attn.qkv"), 3 * options->dimension);
    y = fkp_add_attention(builder, y, options->heads);
    y = fkp_add_linear(builder, y, NAMED("attn.proj"), options->dimension);
    x = fkp_add_sum(builder, x, y);
    y = fkp_add_layer_norm(builder, x, NAMED("norm2"), 1e-6f);
    y = fkp_add_linear(builder, y, NAMED("mlp.fc1"), 4 * options->dimension);
    y = fkp_add_activation(builder, y, FKP_ACTIVATION_GELU);
    y = fkp_add_linear(builder, y, NAMED("mlp.fc2"), options->dimension);
#undef NAMED
    return fkp_add_sum(builder, x, y);
}

void fkp_describe_dino(fkp_builder *builder, const fkp_network_options *options) {
    int32_t x = fkp_add_convolution(builder, 0, "patch_embed.proj", options->dimension, 16, 16, 0, true);
    x = fkp_add_tokens(builder, x, "cls_token", "pos_embed");
    for (size_t i = 0; i < options->depth; i++) x = add_encoder_block(builder, x, i, options);
    x = fkp_add_layer_norm(builder, x, "norm", 1e-6f);
    x = fkp_add_skip_tokens(builder, x);
    bool flatten = options->head == FKP_DINO_FLATTEN;
    snprintf(builder->network->variant, sizeof builder->network->variant, "%s",
             flatten ? "flatten" : "query");
    if (!flatten) {
        x = fkp_add_query_attention(builder, x, "query", options->keypoints);
        fkp_add_linear(builder, x, "fc", 2);
        return;
    }
    x = fkp_add_flatten(builder, x);
    x = fkp_add_linear(builder, x, "fc.0", 1024);
    x = fkp_add_activation(builder, x, FKP_ACTIVATION_ELU);
    x = fkp_add_linear(builder, x, "fc.2", 512);
    x = fkp_add_activation(builder, x, FKP_ACTIVATION_ELU);
    fkp_add_linear(builder, x, "fc.4", 2 * options->keypoints);
}
