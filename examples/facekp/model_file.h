/* Finding and loading the model a command works with. */
#ifndef MODEL_FILE_H
#define MODEL_FILE_H

#include "facekp/facekp.h"

/* Names of the architectures, in the order of FACEKP_DIRECT …, for an OPTION_CHOICE: add 1 to the index. */
extern const char *const architecture_names[];

/* The model to use: `path`, with NULL the one that comes with the tool: that named by the environment
 * variable FACEKP_MODEL, else the first found in models/ beside the program, ../share/facekp/models from
 * there, and where the tool was installed. `found` (PATH_BYTES) may receive it. Complains and returns NULL
 * without one. */
const char *find_model(const char *path, char *found);

/* Loads the model that find_model() names; with random_weights in the options, none is looked for. Complains
 * and returns NULL on failure. */
facekp_model *load_model(const char *path, const facekp_load_options *options);

#endif
