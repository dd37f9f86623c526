/* Fuzz target: any bytes as a weights file of any format. What opens must be readable to the last element. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "weights/weights.h"

#define MOST_READ ((size_t)1 << 22) /* elements: keeps one input from taking long */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    if (fkp_weights_open_memory(&memory, data, size, &weights, &error) != FACEKP_OK) {
        if (weights != NULL || error.message[0] == '\0') abort();
        return 0;
    }
    for (size_t i = 0; i < fkp_weights_count(weights); i++) {
        const fkp_tensor *tensor = fkp_weights_tensor(weights, i);
        if (fkp_weights_find(weights, tensor->name) != tensor) abort();
        if (tensor->count > MOST_READ) continue;
        float *values = malloc(tensor->count * sizeof *values + 1);
        if (values == NULL) continue;
        fkp_tensor_read(tensor, values);
        free(values);
    }
    fkp_network_options options;
    (void)fkp_weights_recognize(weights, FACEKP_ARCHITECTURE_AUTO, &options, &error);
    fkp_weights_close(weights);
    return 0;
}
