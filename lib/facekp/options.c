#include "facekp/options.h"

#include <string.h>

/* No version will ever have a struct larger than this: a larger struct_size was never initialised. */
enum { LARGEST_STRUCT = 4096 };

/* Every released size. A struct grows only at its end, and its padding is named, so that these tell. */
#ifdef __LP64__
_Static_assert(sizeof(facekp_allocator) == 32, "facekp_allocator 0.1");
_Static_assert(sizeof(facekp_load_options) == 80, "facekp_load_options 0.1");
_Static_assert(sizeof(facekp_model_info) == 128, "facekp_model_info 0.1");
_Static_assert(sizeof(facekp_layer_info) == 56, "facekp_layer_info 0.1");
_Static_assert(sizeof(facekp_session_options) == 40, "facekp_session_options 0.1");
_Static_assert(sizeof(facekp_image) == 40, "facekp_image 0.1");
_Static_assert(sizeof(facekp_predict_options) == 24, "facekp_predict_options 0.1");
_Static_assert(sizeof(facekp_faces) == 48, "facekp_faces 0.1");
#endif

static size_t struct_size_of(const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

facekp_status fkp_struct_check(const void *given, size_t known_size, const char *name, fkp_error *error) {
    if (given == NULL) return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "%s is NULL", name);
    size_t size = struct_size_of(given);
    if (size < known_size || size > LARGEST_STRUCT)
        return fkp_fail(error, FACEKP_ERROR_STRUCT_SIZE,
                        "%s: struct_size is %zu and no version has had that; set it to sizeof(%s)", name,
                        size, name);
    return FACEKP_OK;
}

facekp_status fkp_struct_read(const void *given, void *known, size_t known_size, const char *name,
                              fkp_error *error) {
    memset(known, 0, known_size);
    memcpy(known, &known_size, sizeof known_size);
    if (given == NULL) return FACEKP_OK;
    facekp_status status = fkp_struct_check(given, known_size, name, error);
    if (status != FACEKP_OK) return status;
    size_t size = struct_size_of(given);
    const unsigned char *bytes = given;
    for (size_t i = known_size; i < size; i++)
        if (bytes[i] != 0)
            return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                            "%s: a field at byte %zu is set that version %s does not know", name, i,
                            facekp_version_string());
    memcpy(known, given, known_size);
    memcpy(known, &known_size, sizeof known_size);
    return FACEKP_OK;
}

void fkp_struct_write(void *given, const void *known, size_t known_size) {
    const size_t header = sizeof(size_t);
    size_t size = struct_size_of(given);
    unsigned char *bytes = given;
    memcpy(bytes + header, (const unsigned char *)known + header, known_size - header);
    memset(bytes + known_size, 0, size - known_size);
}

static void initialize(void *options, size_t size) {
    if (options == NULL || size < sizeof size) return;
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

void facekp_load_options_init(facekp_load_options *options, size_t struct_size) {
    initialize(options, struct_size);
}
void facekp_session_options_init(facekp_session_options *options, size_t struct_size) {
    initialize(options, struct_size);
}
void facekp_predict_options_init(facekp_predict_options *options, size_t struct_size) {
    initialize(options, struct_size);
}
