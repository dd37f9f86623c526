#include <stddef.h>

#include "base/structs.h"
#include "facekp/model.h"

/* Every released size. A struct grows only at its end, and its padding is named, so that these tell. */
#ifdef __LP64__
_Static_assert(sizeof(facekp_allocator) == 32, "facekp_allocator 0.1");
_Static_assert(offsetof(facekp_load_options, measure) == 80, "facekp_load_options before `measure`");
_Static_assert(sizeof(facekp_load_options) == 88, "facekp_load_options 0.1");
_Static_assert(sizeof(facekp_model_info) == 128, "facekp_model_info 0.1");
_Static_assert(sizeof(facekp_layer_info) == 56, "facekp_layer_info 0.1");
_Static_assert(sizeof(facekp_session_options) == 40, "facekp_session_options 0.1");
_Static_assert(sizeof(facekp_image) == 40, "facekp_image 0.1");
_Static_assert(sizeof(facekp_predict_options) == 24, "facekp_predict_options 0.1");
_Static_assert(sizeof(facekp_faces) == 48, "facekp_faces 0.1");
#endif

facekp_status fkp_load_options_read(const facekp_load_options *given, facekp_load_options *options) {
    facekp_status status = fkp_struct_read_grown(
        given, options, sizeof *options, offsetof(facekp_load_options, measure), "facekp_load_options", NULL);
    return status == FACEKP_OK && options->reserved != 0 ? FACEKP_ERROR_UNSUPPORTED : status;
}

void facekp_load_options_init(facekp_load_options *options, size_t struct_size) {
    fkp_struct_init(options, struct_size);
}
void facekp_session_options_init(facekp_session_options *options, size_t struct_size) {
    fkp_struct_init(options, struct_size);
}
void facekp_predict_options_init(facekp_predict_options *options, size_t struct_size) {
    fkp_struct_init(options, struct_size);
}
