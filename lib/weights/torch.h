/* What the readers of PyTorch's three containers share. */
#ifndef FKP_TORCH_H
#define FKP_TORCH_H

#include "weights/container.h"
#include "weights/unpickle.h"

#define FKP_PICKLE_BYTES ((size_t)64 << 20) /* memory for the values of all pickles of a file */
#define FKP_MAX_STORAGES 8192

/* The storages of a file by key. Searched from the start to the end: real files have hundreds, and the
 * number of searches is limited with the number of persistent ids. */
typedef struct fkp_storage_table {
    fkp_storage *storages; /* FKP_MAX_STORAGES of them, in the arena */
    size_t count;
} fkp_storage_table;

facekp_status fkp_storage_table_begin(fkp_storage_table *table, fkp_arena *arena, fkp_error *error);
fkp_storage *fkp_storage_find(const fkp_storage_table *table, const char *key); /* NULL if there is none */
facekp_status fkp_storage_add(fkp_storage_table *table, const fkp_storage *storage, fkp_storage **added,
                              fkp_error *error);

/* Reads the five fields that persistent ids of the zip and legacy formats begin with: ('storage', type, key,
 * location, count). *known is false for element types that have no counterpart here. */
facekp_status fkp_parse_storage_id(const fkp_value *id, fkp_storage *storage, bool *known, fkp_error *error);
/* The value that stands for a storage, or for one of unknown type, in a pickle. */
facekp_status fkp_storage_value(fkp_arena *arena, const fkp_storage *storage, fkp_value **value,
                                fkp_error *error);

/* Bytes of a storage; FACEKP_ERROR_FORMAT when they overflow. */
facekp_status fkp_storage_bytes(const fkp_storage *storage, size_t *bytes, fkp_error *error);

/* Finds the state dict in what a checkpoint's pickle made and adds its tensors. */
facekp_status fkp_checkpoint_add(fkp_weights *weights, const fkp_value *root, fkp_error *error);

#endif
