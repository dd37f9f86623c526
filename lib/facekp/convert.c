#include "base/floating.h"
#include "base/structs.h"
#include "facekp/model.h"
#include "weights/weights.h"

static facekp_status convert(const char *input, const char *output, fkp_dtype dtype,
                             const facekp_load_options *options, const facekp_allocator *allocator,
                             fkp_error *error) {
    const fkp_memory memory = fkp_memory_from(options->allocator == NULL ? NULL : allocator);
    fkp_weights *weights = NULL;
    fkp_network_options network = {0};
    facekp_status status = fkp_weights_open(&memory, input, &weights, error);
    if (status == FACEKP_OK) status = fkp_weights_recognize(weights, options->architecture, &network, error);
    if (status != FACEKP_OK) {
        fkp_weights_close(weights);
        return fkp_fail_in(error, input);
    }
    fkp_metadata_list extra;
    fkp_metadata_begin(&extra, &network);
    status = fkp_weights_write(&memory, weights, output, dtype, extra.entries, extra.count, error);
    fkp_weights_close(weights);
    return status == FACEKP_OK ? FACEKP_OK : fkp_fail_in(error, output);
}

facekp_status facekp_convert(const char *input, const char *output, int32_t dtype,
                             const facekp_load_options *given) {
    static const fkp_dtype dtypes[] = {[FACEKP_DTYPE_DEFAULT] = FKP_DTYPES,
                                       [FACEKP_F32] = FKP_F32,
                                       [FACEKP_F16] = FKP_F16,
                                       [FACEKP_BF16] = FKP_BF16};
    facekp_load_options options;
    facekp_allocator allocator;
    facekp_status status = fkp_load_options_read(given, &options);
    if (status != FACEKP_OK) return status;
    fkp_error error = {0};
    status = fkp_struct_read(options.allocator, &allocator, sizeof allocator, "facekp_allocator", &error);
    if (status == FACEKP_OK && options.allocator != NULL &&
        (allocator.allocate == NULL || allocator.release == NULL))
        status = fkp_fail(&error, FACEKP_ERROR_ARGUMENT, "an allocator needs both allocate and release");
    if (status == FACEKP_OK &&
        (input == NULL || output == NULL || dtype < FACEKP_DTYPE_DEFAULT || dtype > FACEKP_BF16 ||
         options.architecture < FACEKP_ARCHITECTURE_AUTO || options.architecture > FACEKP_UNET))
        status = fkp_fail(&error, FACEKP_ERROR_ARGUMENT,
                          "input and output must not be NULL, dtype and architecture must be known");
    fkp_floating floating = fkp_floating_begin(false);
    if (status == FACEKP_OK) status = convert(input, output, dtypes[dtype], &options, &allocator, &error);
    fkp_floating_end(floating);
    if (status != FACEKP_OK) fkp_error_copy(&error, options.message, options.message_size);
    return status;
}
