/* A compiled network, and what the steps of compiling tell each other: fuse.c turns layers into steps,
 * choose.c picks each convolution's algorithm, measure.c on request another that is faster, place.c gives
 * every tensor its place, pack.c reads and packs the weights; execute.c runs the steps.
 *
 * A tensor is known by the index of the layer whose output it is. */
#ifndef FKP_PROGRAM_H
#define FKP_PROGRAM_H

#include "graph/graph.h"

typedef enum fkp_step_kind {
    FKP_STEP_NONE,
    FKP_STEP_CONVOLUTION,
    FKP_STEP_UPSAMPLING,
    FKP_STEP_LINEAR,
    FKP_STEP_LINEAR_TO_PLANES, /* a 1 x 1 convolution whose result is the network's, N x C x H x W */
    FKP_STEP_SCALE_SHIFT,      /* a BatchNorm that found nothing to fold into */
    FKP_STEP_ACTIVATION,
    FKP_STEP_MAX_POOLING,
    FKP_STEP_AVERAGE_POOLING,
    FKP_STEP_ADD,
    FKP_STEP_TOKENS,
    FKP_STEP_LAYER_NORM,
    FKP_STEP_ATTENTION,
    FKP_STEP_QUERY_ATTENTION,
    FKP_STEP_COPY,      /* what can be neither a view nor a slice */
    FKP_STEP_TO_PLANES, /* the network's result, to N x C x H x W */
    FKP_STEP_KINDS
} fkp_step_kind;

typedef enum fkp_home { FKP_HOME_ARENA, FKP_HOME_INPUT, FKP_HOME_OUTPUT } fkp_home;

/* Where a step finds or leaves a tensor. Row r of image i begins `inside` + i image_stride + r row_stride
 * floats after the tensor's home; a home in the arena begins `before_end` floats times the batch before the
 * arena's end. */
typedef struct fkp_view {
    fkp_home home;
    size_t before_end, inside;
    size_t image_stride, row_stride;
} fkp_view;

#define FKP_NO_BIAS SIZE_MAX

/* One operator call with all that is fused into it. */
typedef struct fkp_step {
    fkp_step_kind kind;
    int32_t layer;        /* whose parameters it computes with */
    int32_t norm;         /* the BatchNorm folded into them; -1: none */
    int32_t inputs[2];    /* tensors it reads; the second is a summand; -1: none */
    int32_t result;       /* the tensor it writes; -1: the caller's output */
    size_t first_channel; /* of a copy into a part of the result */
    bool skip;            /* reads its first input without row 0, the class token */
    fkp_window pool;      /* maxima after the activation */
    fkp_activation activation;
    fkp_shape in;          /* of the first input as the step sees it */
    fkp_shape out;         /* of what it computes, before pooling */
    fkp_shape unflattened; /* linear: shape before a flatten that reorders; height 0: none */
    size_t kernel, stride, padding, heads;
    float epsilon;
    fkp_convolution_algorithm algorithm;
    size_t weights, bias;       /* floats from the start of the packed weights; bias: FKP_NO_BIAS for none */
    fkp_view from, other, into; /* inputs[0], inputs[1], result */
    /* Convolution: the tensor that channels of the input from beside_from on are read from; 0: there is none.
     */
    int32_t beside;
    size_t beside_from;
    fkp_view beside_view;
    /* Convolution: the step whose result the channels from beside_from on are, if it is never made; `beside`
     * is then what that step reads. -1: there is none. */
    int32_t upsampling;
    /* A product: the step of the layer norm that its rows go through on the way; it then reads what that
     * one does. -1: there is none. */
    int32_t layer_norm;
    bool inside; /* a step of one of these two, which is not run by itself */
    /* Convolution: the channels' second half has results of its own, which lie where the next step's will.
     * That one, a layer norm, adds them to its input before it begins. */
    bool halves;
    fkp_view second_into;
} fkp_step;

/* A home in the arena: floats for one image, which end `offset` floats before the arena does, and the steps
 * between which it is alive. One that gave its place to another has no floats. */
typedef struct fkp_buffer {
    size_t offset, floats;
    int32_t first_step, last_step;
} fkp_buffer;

static inline size_t fkp_before_end(const fkp_buffer *buffer) { return buffer->offset + buffer->floats; }
static inline bool fkp_is_alive(const fkp_buffer *buffer, int32_t step) {
    return buffer->floats > 0 && buffer->first_step <= step && step <= buffer->last_step;
}

struct fkp_program {
    fkp_memory memory;
    fkp_kernels kernels;
    fkp_step *steps;
    int32_t step_count, step_capacity;
    fkp_buffer *buffers;
    int32_t buffer_count, buffer_capacity;
    size_t arena; /* floats for one image */
    float *packed;
    size_t packed_floats;
};

/* What compiling knows of a layer's output. */
typedef struct fkp_tensor_plan {
    int32_t readers; /* layers that name it, and the caller */
    bool absorbed;   /* inside a step that computes further */
    bool copied;     /* a view that a step writes out after all */
    int32_t whole;   /* the concatenation it is a part of, from first_channel on; -1: it is stored alone */
    size_t first_channel;
    fkp_home home;
    int32_t buffer; /* in the arena; -1: not yet placed */
} fkp_tensor_plan;

typedef struct fkp_compiler {
    const fkp_network *network;
    fkp_program *program;
    fkp_tensor_plan *tensors; /* one a layer */
} fkp_compiler;

facekp_status fkp_compile_fuse(fkp_compiler *compiler, fkp_error *error);
void fkp_compile_choose(fkp_compiler *compiler);
/* On request, after the choice, which wins a tie. */
facekp_status fkp_compile_measure(fkp_compiler *compiler, fkp_error *error);
facekp_status fkp_compile_place(fkp_compiler *compiler, fkp_error *error);
facekp_status fkp_compile_pack(fkp_compiler *compiler, const fkp_weight_source *weights, fkp_error *error);

/* One step of fkp_workspace_run, for those who look at steps one by one; all before it must have run. */
void fkp_workspace_run_step(fkp_workspace *workspace, int32_t step, const float *in, size_t count,
                            float *out);

/* The sizes of a convolution step for a batch. */
fkp_convolution fkp_step_convolution(const fkp_step *step, size_t batch);
const char *fkp_step_kind_name(fkp_step_kind kind);

/* Buffers lie this many floats apart where AddressSanitizer watches the gaps. */
#ifdef FKP_ADDRESS_SANITIZER
#define FKP_RED_ZONE ((size_t)16)
#else
#define FKP_RED_ZONE ((size_t)0)
#endif

#endif
