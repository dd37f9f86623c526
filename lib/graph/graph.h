/* Networks as data: a list of layers in the order of computing, each naming its inputs, its shape and its
 * parameters. One description serves inference (compiled into a program: folded, packed, placed) and training
 * (layer by layer). */
#ifndef FKP_GRAPH_H
#define FKP_GRAPH_H

#include "base/memory.h"
#include "operators/operators.h"

#define FKP_NAME_BYTES 64
#define FKP_MAX_LAYERS 256
#define FKP_MAX_PARAMETERS 512

typedef enum fkp_layer_kind {
    FKP_LAYER_INPUT,
    FKP_LAYER_CONVOLUTION,
    FKP_LAYER_UPSAMPLING, /* transposed convolution 2 x 2, stride 2 */
    FKP_LAYER_LINEAR,     /* per row; see flatten */
    FKP_LAYER_BATCH_NORM, /* epsilon 1e-5, momentum 0.1 */
    FKP_LAYER_ACTIVATION,
    FKP_LAYER_MAX_POOLING,
    FKP_LAYER_AVERAGE_POOLING, /* global */
    FKP_LAYER_DROPOUT,
    FKP_LAYER_ADD,
    FKP_LAYER_CONCATENATE, /* channels of input 0, then of input 1 */
    FKP_LAYER_FLATTEN, /* to 1 row, in PyTorch's order: C x H x W, but tokens (width 1) stay as they are */
    FKP_LAYER_TOKENS,  /* class token before the H W patches, position embedding added */
    FKP_LAYER_LAYER_NORM,
    FKP_LAYER_ATTENTION,       /* of a qkv row to a head-concatenated row */
    FKP_LAYER_SKIP_TOKENS,     /* drops the class token */
    FKP_LAYER_QUERY_ATTENTION, /* keypoint queries over the tokens */
    FKP_LAYER_KINDS
} fkp_layer_kind;

/* One image's tensor: height x width rows of channels floats. Tokens and vectors have width 1. */
typedef struct fkp_shape {
    size_t height, width, channels;
} fkp_shape;

typedef struct fkp_layer {
    fkp_layer_kind kind;
    int32_t inputs[2];         /* indices of earlier layers; -1: none */
    char name[FKP_NAME_BYTES]; /* prefix of its parameters in the state dict; "" without parameters */
    fkp_shape shape;           /* of its output */
    size_t kernel, stride, padding;
    bool bias;                 /* convolution, linear */
    bool whole_channels;       /* dropout: Dropout2d */
    fkp_activation activation; /* activation layers */
    float rate;                /* dropout */
    float epsilon;             /* norms */
    size_t heads;              /* attention */
    size_t count;              /* queries */
} fkp_layer;

typedef enum fkp_role {
    FKP_ROLE_WEIGHT,
    FKP_ROLE_BIAS,
    FKP_ROLE_RUNNING_MEAN, /* roles from here to RUNNING_VARIANCE are buffers, not trained */
    FKP_ROLE_RUNNING_VARIANCE,
    FKP_ROLE_CLASS_TOKEN,
    FKP_ROLE_POSITION,
    FKP_ROLE_QUERIES
} fkp_role;

/* A tensor of the state dict, in PyTorch's name, shape and order. */
typedef struct fkp_parameter {
    char name[FKP_NAME_BYTES];
    int32_t layer;
    fkp_role role;
    int32_t rank;
    size_t shape[4];
    size_t count;  /* product of shape */
    size_t offset; /* floats from the start of the flat parameter storage, a multiple of 16 */
} fkp_parameter;

typedef struct fkp_network {
    int32_t architecture; /* FACEKP_DIRECT … */
    char variant[32];
    int32_t output_kind; /* FACEKP_OUTPUT_… */
    size_t keypoints;
    fkp_layer *layers; /* layers[0] is the input, the last one the output */
    int32_t layer_count;
    fkp_parameter *parameters;
    int32_t parameter_count;
    size_t storage; /* floats of the flat parameter storage that holds all parameters */
} fkp_network;

static inline bool fkp_role_trained(fkp_role role) {
    return role != FKP_ROLE_RUNNING_MEAN && role != FKP_ROLE_RUNNING_VARIANCE;
}
static inline size_t fkp_shape_rows(fkp_shape shape) { return shape.height * shape.width; }
static inline size_t fkp_shape_floats(fkp_shape shape) { return shape.height * shape.width * shape.channels; }

/* ---- describing: lib/networks calls these in order; each returns the new layer's index. Errors stick in the
 * builder and are reported by fkp_network_finish. ---- */
typedef struct fkp_builder {
    const fkp_memory *memory;
    fkp_network *network;
    fkp_error error;
} fkp_builder;

facekp_status fkp_network_begin(const fkp_memory *memory, fkp_builder *builder, size_t height, size_t width,
                                size_t channels);
int32_t fkp_add_convolution(fkp_builder *builder, int32_t input, const char *name, size_t channels,
                            size_t kernel, size_t stride, size_t padding, bool bias);
int32_t fkp_add_upsampling(fkp_builder *builder, int32_t input, const char *name, size_t channels);
int32_t fkp_add_linear(fkp_builder *builder, int32_t input, const char *name, size_t channels);
int32_t fkp_add_batch_norm(fkp_builder *builder, int32_t input, const char *name);
int32_t fkp_add_activation(fkp_builder *builder, int32_t input, fkp_activation activation);
int32_t fkp_add_max_pooling(fkp_builder *builder, int32_t input, size_t kernel, size_t stride,
                            size_t padding);
int32_t fkp_add_average_pooling(fkp_builder *builder, int32_t input);
int32_t fkp_add_dropout(fkp_builder *builder, int32_t input, float rate, bool whole_channels);
int32_t fkp_add_sum(fkp_builder *builder, int32_t a, int32_t b);
int32_t fkp_add_concatenation(fkp_builder *builder, int32_t a, int32_t b);
int32_t fkp_add_flatten(fkp_builder *builder, int32_t input);
/* class_name and position_name are whole state-dict names: "cls_token", "pos_embed". */
int32_t fkp_add_tokens(fkp_builder *builder, int32_t input, const char *class_name,
                       const char *position_name);
int32_t fkp_add_layer_norm(fkp_builder *builder, int32_t input, const char *name, float epsilon);
int32_t fkp_add_attention(fkp_builder *builder, int32_t input, size_t heads);
int32_t fkp_add_skip_tokens(fkp_builder *builder, int32_t input);
int32_t fkp_add_query_attention(fkp_builder *builder, int32_t input, const char *name, size_t count);
/* Checks, infers offsets, hands the network over. On failure the builder's memory is freed and *network is
 * NULL. */
facekp_status fkp_network_finish(fkp_builder *builder, fkp_network **network, fkp_error *error);
void fkp_network_free(const fkp_memory *memory, fkp_network *network);

/* Index of the parameter of a layer with that role, or -1. */
int32_t fkp_network_parameter(const fkp_network *network, int32_t layer, fkp_role role);
const char *fkp_layer_kind_name(fkp_layer_kind kind);
/* Whether a flatten of this shape changes the order of the numbers. */
static inline bool fkp_flatten_reorders(fkp_shape in) { return in.width > 1 && in.channels > 1; }
/* Multiply-adds of one layer for one image, in direct form (biases, norms and activations not counted). */
uint64_t fkp_layer_multiply_adds(const fkp_network *network, int32_t layer);
/* Trainable numbers of one layer. */
uint64_t fkp_layer_parameters(const fkp_network *network, int32_t layer);
/* Initial values as PyTorch's modules choose them (uniform Kaiming with a = sqrt 5; torchvision's and timm's
 * own for their networks), deterministic by seed and tensor name. */
void fkp_network_initialize(const fkp_network *network, uint64_t seed, float *storage);

/* ---- compiling: description + weights -> program; program + batch + threads -> workspace ---- */

/* Where parameters' numbers come from while a program is compiled: numbers [first, first + count) of one, in
 * PyTorch's order, where they lie or in `room`, which holds as many; NULL with *error set on failure. Large
 * parameters are asked for piece by piece. */
typedef struct fkp_weight_source {
    void *user;
    const float *(*read)(void *user, const fkp_parameter *parameter, size_t first, size_t count, float *room,
                         fkp_error *error);
} fkp_weight_source;

typedef struct fkp_program fkp_program; /* immutable; shared by sessions */
/* measure: the algorithms of convolutions are timed here and now, on the caller's thread, instead of chosen
 * by the cost model; the program, and so the last bits of its results, may differ from one compilation to
 * another. */
facekp_status fkp_program_compile(const fkp_memory *memory, const fkp_network *network,
                                  const fkp_kernels *kernels, const fkp_weight_source *weights, bool measure,
                                  fkp_program **program, fkp_error *error);
void fkp_program_free(fkp_program *program);
size_t fkp_program_weight_bytes(const fkp_program *program);

typedef struct fkp_workspace fkp_workspace; /* the arena of one session */
facekp_status fkp_workspace_create(const fkp_memory *memory, const fkp_program *program, size_t batch,
                                   fkp_pool *pool, fkp_workspace **workspace, fkp_error *error);
void fkp_workspace_free(fkp_workspace *workspace);
size_t fkp_workspace_bytes(const fkp_workspace *workspace);
/* in: count x height x width (one channel); out: count x the network's output in N x C x H x W, tokens as
 * rows. count <= batch. */
void fkp_workspace_run(fkp_workspace *workspace, const float *in, size_t count, float *out);

#endif
