/* Cores shared with the caller or with a busy thread of another program: what a worker does about it.
 * Elsewhere than on Linux, and where the system refuses, it does nothing. */
#ifndef FKP_SHARED_CORE_H
#define FKP_SHARED_CORE_H

#include <stdbool.h>

/* The scheduler gives a core to one of two busy threads for some milliseconds, then to the other. A worker
 * that uses its time up is stopped in the middle of a tile, for which all wait; one that sleeps in time has
 * the core back when it wakes. So a worker that was stopped so is rationed for a while. */
typedef struct fkp_core_share {
    double moved;         /* when the worker last left a core, in seconds of fkp_seconds_now() */
    double held_up;       /* when others last waited long for it */
    double rationed_till; /* 0 when the core is taken to be the worker's own */
    double awake_since;
} fkp_core_share;

/* The core this thread runs on at the moment, told within nanoseconds, or a negative number. */
int fkp_core_at_hand(void);

/* Moves this thread to another core that it may run on, if there is one and it was not moved a moment ago.
 * The set of cores that it may run on is the same before and after. */
void fkp_core_leave(fkp_core_share *share);

/* For a worker whose last tile others waited for since a moment: it is rationed from now on if they waited
 * long, and not for the first time. */
void fkp_core_ration(fkp_core_share *share, double waited_since);

/* A rationed worker's time has come to sleep: it begins no tile. */
bool fkp_core_time_spent(const fkp_core_share *share);

/* Sleeps if the time has come. */
void fkp_core_rest(fkp_core_share *share);

#endif
