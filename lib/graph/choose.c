/* The algorithm of each convolution, by the cost model of the operators. */
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

void fkp_compile_choose(fkp_compiler *compiler) {
    fkp_program *program = compiler->program;
    for (int32_t i = 0; i < program->step_count; i++) {
        fkp_step *step = &program->steps[i];
        if (step->kind != FKP_STEP_CONVOLUTION) continue;
        fkp_convolution shape = fkp_step_convolution(step, 1);
        step->algorithm = fkp_convolution_choose(&program->kernels, &shape);
    }
}
