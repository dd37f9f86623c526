/* The model's inside, for the session. */
#ifndef FKP_MODEL_H
#define FKP_MODEL_H

#include <stdatomic.h>

#include "graph/graph.h"

/* What a weights file says of itself beyond its tensors. Strings belong to the model's memory. */
typedef struct fkp_credentials {
    char *license, *training_data;
    double label_bias[2];    /* pixels of the crop; taken out of the points */
    double second_pass_fill; /* share of the crop's side that the landmark box takes in a second pass */
} fkp_credentials;

struct facekp_model {
    fkp_memory memory;
    atomic_size_t holders; /* the caller, and every session */
    fkp_network *network;
    fkp_program *program;
    fkp_isa isa;
    const char *precision;
    fkp_credentials credentials;
};

/* The caller's options as this version has them; those of a version before `measure` are good too. */
facekp_status fkp_load_options_read(const facekp_load_options *given, facekp_load_options *options);

void fkp_model_hold(facekp_model *model);
/* Gives up one hold; the last one frees the model. */
void fkp_model_release(facekp_model *model);

static inline const fkp_layer *fkp_model_output(const facekp_model *model) {
    return &model->network->layers[model->network->layer_count - 1];
}

#endif
