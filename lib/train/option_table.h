/* The public training options as a table: name, type, place. */
#ifndef FKP_OPTION_TABLE_H
#define FKP_OPTION_TABLE_H

#include <stdbool.h>

#include "facekp/train.h"

typedef enum fkp_option_kind {
    FKP_OPTION_STRING,
    FKP_OPTION_INTEGER,
    FKP_OPTION_WHOLE,
    FKP_OPTION_REAL
} fkp_option_kind;

typedef struct fkp_option {
    const char *name;
    fkp_option_kind kind;
    size_t offset;
    bool decides; /* the weights depend on it: a training may be resumed only with the same value */
} fkp_option;

extern const fkp_option fkp_options[];
extern const size_t fkp_option_count;

#endif
