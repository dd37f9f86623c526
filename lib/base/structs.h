/* The rules of the public structs: struct_size first, zero is the default, older and newer callers are
 * served. */
#ifndef FKP_STRUCTS_H
#define FKP_STRUCTS_H

#include "base/status.h"

/* All zeros but struct_size. */
void fkp_struct_init(void *options, size_t size);

/* Copies a caller's struct into `known`, whose type this library knows with known_size bytes. NULL gives
 * zeros. What the caller's version of the struct lacks becomes zero; what this version does not know must be
 * zero. `name` is the type's, for the message. */
facekp_status fkp_struct_read(const void *given, void *known, size_t known_size, const char *name,
                              fkp_error *error);
/* The same for a struct that has grown: `older_size` is what it was before. */
facekp_status fkp_struct_read_grown(const void *given, void *known, size_t known_size, size_t older_size,
                                    const char *name, fkp_error *error);

/* Checks the struct_size of a struct that the library is to fill. */
facekp_status fkp_struct_check(const void *given, size_t known_size, const char *name, fkp_error *error);

/* Fills a caller's struct, once checked, from `known`: as much as the caller has room for, zeros beyond what
 * this version knows, struct_size as the caller set it. */
void fkp_struct_write(void *given, const void *known, size_t known_size);

#endif
