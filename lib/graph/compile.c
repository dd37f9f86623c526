/* From a description and weights to a program: the steps of compiling in their order. */
#include "graph/program.h"

static facekp_status compile(fkp_compiler *compiler, const fkp_weight_source *weights, bool measure,
                             fkp_error *error) {
    facekp_status status = fkp_compile_fuse(compiler, error);
    if (status != FACEKP_OK) return status;
    fkp_compile_choose(compiler);
    if (measure) status = fkp_compile_measure(compiler, error);
    if (status == FACEKP_OK) status = fkp_compile_place(compiler, error);
    return status == FACEKP_OK ? fkp_compile_pack(compiler, weights, error) : status;
}

facekp_status fkp_program_compile(const fkp_memory *memory, const fkp_network *network,
                                  const fkp_kernels *kernels, const fkp_weight_source *weights, bool measure,
                                  fkp_program **result, fkp_error *error) {
    *result = NULL;
    size_t layers = (size_t)network->layer_count;
    fkp_program *program = fkp_allocate(memory, 1, sizeof *program);
    fkp_compiler compiler = {network, program, fkp_allocate(memory, layers, sizeof *compiler.tensors)};
    facekp_status status;
    if (program == NULL || compiler.tensors == NULL) {
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to compile a network");
    } else {
        program->memory = *memory;
        program->kernels = *kernels;
        status = compile(&compiler, weights, measure, error);
    }
    fkp_release(memory, compiler.tensors, layers, sizeof *compiler.tensors);
    if (status == FACEKP_OK)
        *result = program;
    else if (program != NULL && program->memory.allocate != NULL)
        fkp_program_free(program);
    else
        fkp_release(memory, program, 1, sizeof *program);
    return status;
}

void fkp_program_free(fkp_program *program) {
    if (program == NULL) return;
    fkp_memory memory = program->memory;
    fkp_release(&memory, program->steps, (size_t)program->step_capacity, sizeof *program->steps);
    fkp_release(&memory, program->buffers, (size_t)program->buffer_capacity, sizeof *program->buffers);
    fkp_release(&memory, program->packed, program->packed_floats, sizeof *program->packed);
    fkp_release(&memory, program, 1, sizeof *program);
}

size_t fkp_program_weight_bytes(const fkp_program *program) {
    return program->packed_floats * sizeof *program->packed;
}

const char *fkp_step_kind_name(fkp_step_kind kind) {
    static const char *const names[] = {"none",       "convolution",      "upsampling",
                                        "linear",     "linear to planes", "scale and shift",
                                        "activation", "max pooling",      "average pooling",
                                        "sum",        "tokens",           "layer norm",
                                        "attention",  "query attention",  "copy",
                                        "to planes"};
    _Static_assert(sizeof names / sizeof *names == FKP_STEP_KINDS, "every kind has its name");
    return names[kind];
}
