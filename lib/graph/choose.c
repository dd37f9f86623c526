/* The algorithm of each convolution, by the cost model of the operators. A linear layer of many rows is a 1 x
 * 1 convolution of an image one pixel wide where split products are fast. */
#include "graph/program.h"

fkp_convolution fkp_step_convolution(const fkp_step *step, size_t batch) {
    return (fkp_convolution){.batch = batch,
                             .in_height = step->in.height,
                             .in_width = step->in.width,
                             .in_channels = step->in.channels,
                             .out_height = step->out.height,
                             .out_width = step->out.width,
                             .out_channels = step->out.channels,
                             .kernel = step->kernel,
                             .stride = step->stride,
                             .padding = step->padding};
}

static void choose_for_linear(const fkp_kernels *kernels, fkp_step *step) {
    if (step->unflattened.height != 0 || step->skip) return;
    fkp_step convolution = *step;
    convolution.kind = FKP_STEP_CONVOLUTION;
    convolution.in.height = convolution.out.height = fkp_shape_rows(step->in);
    convolution.in.width = convolution.out.width = 1;
    convolution.kernel = convolution.stride = 1;
    convolution.padding = 0;
    const fkp_convolution shape = fkp_step_convolution(&convolution, 1);
    convolution.algorithm = fkp_convolution_choose(kernels, &shape);
    if (convolution.algorithm == FKP_CONVOLUTION_SPLIT) *step = convolution;
}

void fkp_compile_choose(fkp_compiler *compiler) {
    fkp_program *program = compiler->program;
    for (int32_t i = 0; i < program->step_count; i++) {
        fkp_step *step = &program->steps[i];
        if (step->kind == FKP_STEP_LINEAR) choose_for_linear(&program->kernels, step);
        if (step->kind != FKP_STEP_CONVOLUTION) continue;
        fkp_convolution shape = fkp_step_convolution(step, 1);
        step->algorithm = fkp_convolution_choose(&program->kernels, &shape);
    }
}
