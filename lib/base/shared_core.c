/* For sched_getcpu and sched_setaffinity. */
#define _GNU_SOURCE
#include "base/shared_core.h"

#ifdef __linux__

#include <sched.h>
#include <time.h>

#include "base/clock.h"

/* Seconds. Linux stops a thread that shares its core 3 to 4 milliseconds after it woke, and lets a waking one
 * pass soon. A worker with its core to itself keeps others waiting so long once a second, beside a busy
 * thread twenty times, so the second wait within RATIONED tells. That is also how long the ration lasts: a
 * prediction that waits twice more against cores that are free again. */
static const double BETWEEN_MOVES = 20e-3, LONG_WAIT = 1e-3, AWAKE = 3e-3, RATIONED = 0.1;
enum { REST_NANOSECONDS = 1200000 };

int fkp_core_at_hand(void) { return sched_getcpu(); }

/* Where no core is idle, a thread wakes on its last core or on the waker's, and to level out the loads takes
 * the scheduler a tenth of a second or more: only a set without this core makes it move the thread at once.
 * Somebody may give the thread another set meanwhile, and is then right. */
void fkp_core_leave(fkp_core_share *share) {
    double now = fkp_seconds_now();
    if (now - share->moved < BETWEEN_MOVES) return;
    share->moved = now;
    int core = sched_getcpu();
    cpu_set_t allowed, others, found;
    if (core < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    others = allowed;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    if (sched_getaffinity(0, sizeof found, &found) == 0 && !CPU_EQUAL(&found, &others)) return;
    (void)sched_setaffinity(0, sizeof allowed, &allowed);
}

void fkp_core_ration(fkp_core_share *share, double waited_since) {
    double now = fkp_seconds_now();
    if (now - waited_since < LONG_WAIT) return;
    if (now - share->held_up < RATIONED) {
        share->awake_since = now;
        share->rationed_till = now + RATIONED;
    }
    share->held_up = now;
}

bool fkp_core_time_spent(const fkp_core_share *share) {
    return share->rationed_till > 0.0 && fkp_seconds_now() - share->awake_since > AWAKE;
}

void fkp_core_rest(fkp_core_share *share) {
    if (!fkp_core_time_spent(share)) return;
    const struct timespec rest = {.tv_nsec = REST_NANOSECONDS};
    (void)nanosleep(&rest, NULL);
    share->awake_since = fkp_seconds_now();
    if (share->awake_since > share->rationed_till) share->rationed_till = 0.0;
}

#else

int fkp_core_at_hand(void) { return -1; }
void fkp_core_leave(fkp_core_share *share) { (void)share; }
void fkp_core_ration(fkp_core_share *share, double waited_since) { (void)share, (void)waited_since; }
bool fkp_core_time_spent(const fkp_core_share *share) { return share->rationed_till > 0.0; }
void fkp_core_rest(fkp_core_share *share) { (void)share; }

#endif
