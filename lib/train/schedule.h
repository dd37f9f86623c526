/* Learning-rate schedules, by PyTorch's closed formulas: the rate of a step is a function of its number
 * alone, so that a resumed training needs no state. */
#ifndef FKP_SCHEDULE_H
#define FKP_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FKP_MAX_MILESTONES 16

typedef enum fkp_schedule_kind {
    FKP_SCHEDULE_CONSTANT,
    FKP_SCHEDULE_MULTISTEP, /* MultiStepLR, by epoch */
    FKP_SCHEDULE_COSINE,    /* CosineAnnealingLR over all epochs, by epoch */
    FKP_SCHEDULE_ONE_CYCLE, /* OneCycleLR (Smith & Topin 2018), cosine, by step, without its cycle of momentum
                             */
    FKP_SCHEDULE_KINDS
} fkp_schedule_kind;

/* Zero is the default of every field but rate, epochs and steps_per_epoch. */
typedef struct fkp_schedule {
    fkp_schedule_kind kind;
    double rate; /* the base rate; one-cycle: the highest */
    int32_t epochs;
    uint64_t steps_per_epoch;
    int32_t milestones[FKP_MAX_MILESTONES]; /* multistep: epochs, rising */
    size_t milestone_count;
    double factor;        /* multistep: at each milestone; 0 is 0.1 */
    double minimum;       /* cosine: the last rate */
    double warm_up;       /* one-cycle: share of the steps that rise; 0 is 0.3 */
    double start_divisor; /* one-cycle: first rate = rate / this; 0 is 25 */
    double final_divisor; /* one-cycle: last rate = first rate / this; 0 is 1e4 */
} fkp_schedule;

facekp_status fkp_schedule_check(const fkp_schedule *schedule, fkp_error *error);
/* The rate of step `step`, counted from 0 over the whole training. */
double fkp_schedule_at(const fkp_schedule *schedule, uint64_t step);
/* "constant", "multistep", "cosine", "one-cycle"; NULL and FKP_SCHEDULE_KINDS for what does not exist. */
const char *fkp_schedule_name(fkp_schedule_kind kind);
fkp_schedule_kind fkp_schedule_named(const char *name);

#endif
