/* The four architectures, each a table that a reader can hold against its paper. Names are those of
 * torchvision (resnet18), timm (dino) and of plain state dicts (direct, unet); see docs/weights.md. */
#ifndef FKP_NETWORKS_H
#define FKP_NETWORKS_H

#include "graph/graph.h"

typedef enum fkp_dino_head { FKP_DINO_QUERY, FKP_DINO_FLATTEN } fkp_dino_head;

/* What distinguishes the variants; zero is the default of every field. */
typedef struct fkp_network_options {
    int32_t architecture;      /* FACEKP_DIRECT … */
    fkp_activation activation; /* direct: NONE means ELU */
    fkp_dino_head head;
    size_t width;      /* unet: channels of the first level; 0 is 32 */
    size_t keypoints;  /* 0 is 68 */
    size_t input_size; /* 0 is 224; dino: a multiple of 16 */
    size_t dimension;  /* dino: 0 is 384 */
    size_t depth;      /* dino: 0 is 12 */
    size_t heads;      /* dino: 0 is 6 */
} fkp_network_options;

facekp_status fkp_network_create(const fkp_memory *memory, const fkp_network_options *options,
                                 fkp_network **network, fkp_error *error);
/* "direct" … ; NULL for an unknown number. And back: 0 for an unknown name. */
const char *fkp_architecture_name(int32_t architecture);
int32_t fkp_architecture_named(const char *name);

void fkp_describe_direct(fkp_builder *builder, const fkp_network_options *options);
void fkp_describe_resnet18(fkp_builder *builder, const fkp_network_options *options);
void fkp_describe_dino(fkp_builder *builder, const fkp_network_options *options);
void fkp_describe_unet(fkp_builder *builder, const fkp_network_options *options);

#endif
