/* Splitting a data set into faces to train on and faces held out, so that no person (or no video) is on both
 * sides. File names tell who is who: Person_vf.png is frame f of video v of Person, all of them of one digit;
 * a name without an underscore is a group of its own. */
#ifndef FKP_SPLIT_H
#define FKP_SPLIT_H

#include "train/data/dataset.h"

typedef enum fkp_split_by { FKP_SPLIT_PERSON, FKP_SPLIT_VIDEO } fkp_split_by;

/* Face numbers in two lists, each in the order of the file. */
typedef struct fkp_split {
    size_t *faces; /* train_count to train on, then held_count held out */
    size_t count, train_count, held_count;
} fkp_split;

/* Holds out the nearest whole number to `fraction` of the groups, at least one, chosen by `seed` and name
 * alone. FACEKP_ERROR_FORMAT when one side would be empty. */
facekp_status fkp_split_create(const fkp_memory *memory, const fkp_dataset *dataset, fkp_split_by by,
                               double fraction, uint64_t seed, fkp_split *split, fkp_error *error);
void fkp_split_free(const fkp_memory *memory, fkp_split *split);

/* Bytes of the name that are the person, or the person and the video. */
size_t fkp_split_group(const char *name, fkp_split_by by);

#endif
