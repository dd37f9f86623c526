#include "base/structs.h"

#include <string.h>

/* No version will ever have a struct larger than this: a larger struct_size was never initialised. */
enum { LARGEST_STRUCT = 4096 };

void fkp_struct_init(void *options, size_t size) {
    if (options == NULL || size < sizeof size) return;
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

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
    return fkp_struct_read_grown(given, known, known_size, known_size, name, error);
}

facekp_status fkp_struct_read_grown(const void *given, void *known, size_t known_size, size_t older_size,
                                    const char *name, fkp_error *error) {
    memset(known, 0, known_size);
    memcpy(known, &known_size, sizeof known_size);
    if (given == NULL) return FACEKP_OK;
    if (struct_size_of(given) == older_size) known_size = older_size;
    facekp_status status = fkp_struct_check(given, known_size, name, error);
    if (status != FACEKP_OK) return status;
    size_t size = struct_size_of(given);
    const unsigned char *bytes = given;
    for (size_t i = known_size; i < size; i++)
        if (bytes[i] != 0)
            return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                            "%s: a field at byte %zu is set that version %d.%d.%d does not know", name, i,
                            FACEKP_VERSION_MAJOR, FACEKP_VERSION_MINOR, FACEKP_VERSION_PATCH);
    memcpy((unsigned char *)known + sizeof size, (const unsigned char *)given + sizeof size,
           known_size - sizeof size);
    return FACEKP_OK;
}

void fkp_struct_write(void *given, const void *known, size_t known_size) {
    const size_t header = sizeof(size_t);
    size_t size = struct_size_of(given);
    unsigned char *bytes = given;
    memcpy(bytes + header, (const unsigned char *)known + header, known_size - header);
    memset(bytes + known_size, 0, size - known_size);
}
