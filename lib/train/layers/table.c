#include "train/layers/layer.h"

static const fkp_layer_record *const records[] = {
    [FKP_LAYER_INPUT] = &fkp_input_record,
    [FKP_LAYER_CONVOLUTION] = &fkp_convolution_record,
    [FKP_LAYER_UPSAMPLING] = &fkp_upsampling_record,
    [FKP_LAYER_LINEAR] = &fkp_linear_record,
    [FKP_LAYER_BATCH_NORM] = &fkp_batch_norm_record,
    [FKP_LAYER_ACTIVATION] = &fkp_activation_record,
    [FKP_LAYER_MAX_POOLING] = &fkp_max_pooling_record,
    [FKP_LAYER_AVERAGE_POOLING] = &fkp_average_pooling_record,
    [FKP_LAYER_DROPOUT] = &fkp_dropout_record,
    [FKP_LAYER_ADD] = &fkp_add_record,
    [FKP_LAYER_CONCATENATE] = &fkp_concatenate_record,
    [FKP_LAYER_FLATTEN] = &fkp_flatten_record,
    [FKP_LAYER_TOKENS] = &fkp_tokens_record,
    [FKP_LAYER_LAYER_NORM] = &fkp_layer_norm_record,
    [FKP_LAYER_ATTENTION] = &fkp_attention_record,
    [FKP_LAYER_SKIP_TOKENS] = &fkp_skip_tokens_record,
    [FKP_LAYER_QUERY_ATTENTION] = &fkp_query_attention_record,
};
/* A layer kind without a backward does not compile. */
_Static_assert(sizeof records / sizeof *records == FKP_LAYER_KINDS, "every layer kind needs its record here");
_Static_assert(FKP_LAYER_KINDS == 17, "a new layer kind needs a record, and this number");

const fkp_layer_record *fkp_layer_record_of(fkp_layer_kind kind) { return records[kind]; }

float *fkp_pass_parameter(const fkp_pass *pass, fkp_role role) {
    int32_t parameter = fkp_network_parameter(pass->network, pass->index, role);
    return parameter < 0 ? NULL : pass->parameters + pass->network->parameters[parameter].offset;
}

float *fkp_pass_gradient(const fkp_pass *pass, fkp_role role) {
    int32_t parameter = fkp_network_parameter(pass->network, pass->index, role);
    if (parameter < 0 || !pass->trained[parameter]) return NULL;
    return pass->gradients + pass->network->parameters[parameter].offset;
}

fkp_context fkp_pass_context_after(const fkp_pass *pass, size_t used) {
    fkp_context context = pass->context;
    context.scratch += used;
    return context;
}
