/* Threads: one pool per session or trainer. Work is cut into fixed tiles above the kernels, so the order of
 * every sum is the same whatever the number of threads; which thread takes which tile does not matter. */
#ifndef FKP_PARALLEL_H
#define FKP_PARALLEL_H

#include "base/memory.h"

#define FKP_MAX_THREADS 256

typedef struct fkp_pool fkp_pool;

/* Work on tile `index`, on worker `worker` in [0, fkp_pool_threads()): no two tiles run on a worker at a
 * time, so that a worker's scratch memory is its own. */
typedef void (*fkp_tile)(void *argument, size_t index, size_t worker);

/* threads: 0 or 1 for the caller's thread alone, FACEKP_THREADS_ALL for every core this thread may run on.
 * With `parallel_for` the host's threads are used and none is started. */
facekp_status fkp_pool_create(const fkp_memory *memory, int32_t threads, facekp_parallel_for parallel_for,
                              void *parallel_user, fkp_pool **pool, fkp_error *error);
void fkp_pool_free(fkp_pool *pool);
size_t fkp_pool_threads(const fkp_pool *pool);

/* Runs `tile` for every index in [0, count) and returns when all are done. One caller at a time. Each worker
 * begins with its share of the indices, the same part of the range in every call, so neighbouring tiles of
 * one layer and of the next meet in one core's caches where an index means the same place. A late thread
 * holds up only the tile it has: the rest are claimed one by one by whoever is free. count < 2^32. */
void fkp_parallel(fkp_pool *pool, size_t count, fkp_tile tile, void *argument);
/* The same where a worker has made something for his own tiles that another would have to make again: the
 * last tile of one who is at work is left to him. */
void fkp_parallel_prepared(fkp_pool *pool, size_t count, fkp_tile tile, void *argument);

#endif
