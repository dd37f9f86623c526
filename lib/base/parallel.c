/* For sched_getaffinity and its CPU_COUNT. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/shared_core.h"

/* How long a thread looks for work, or for the end of it, before it sleeps: about 100 microseconds. Long
 * enough to cover the gap between two layers and what they differ in length on two cores: to wake a sleeper
 * costs as much. Short enough that a shared core is given back at once. */
enum { SPIN_ROUNDS = 5000 };

/* Beside a busy thread of another program the scheduler mostly leaves the caller and a worker together on one
 * core, and the other program alone on the other. So a worker that finds itself on the caller's core leaves
 * it. Where it cannot, a thread that looks for the other's work keeps him from it: the worker says so, and
 * both sleep at once. */
enum { NO_CORE = -1 };

/* Every worker has a range of the job's tiles, the same part of the whole in every job: what a core wrote in
 * one layer it finds in its own caches in the next, and cores are far apart (here 0.4 microseconds, and a
 * seventh of the bandwidth). Whoever is through with his own range takes tiles from the ends of the others'.
 *
 * A range is one word, so that one compare-and-exchange tells a worker, however late it comes, whether there
 * is work for it: a tile is claimed only from a range that holds it at that moment, and the caller does not
 * leave, or touch the job, before every claimed tile has finished. A worker that oversleeps a whole job holds
 * up nobody. */
enum { RANGE_BITS = 32 };
static inline uint64_t range_word(size_t begin, size_t end) { return (uint64_t)begin << RANGE_BITS | end; }
static inline size_t range_begin(uint64_t word) { return (size_t)(word >> RANGE_BITS); }
static inline size_t range_end(uint64_t word) { return (size_t)(word & UINT32_MAX); }

struct fkp_pool {
    fkp_memory memory;
    size_t threads;     /* the caller's included */
    bool core_for_each; /* there may be one for each of them */
    facekp_parallel_for parallel_for;
    void *parallel_user;

    /* The job, in one line of the caches: written by the caller, the generation last. */
    _Alignas(FKP_ALIGNMENT) atomic_size_t generation; /* raised once a job; what idle workers watch */
    fkp_tile tile;
    void *argument;
    size_t count;
    atomic_int core; /* the caller's when it began the job */

    _Alignas(FKP_ALIGNMENT) atomic_size_t finished; /* tiles of the job that are done */

    _Alignas(FKP_ALIGNMENT) atomic_size_t sleepers; /* this line is seldom written */
    atomic_bool caller_sleeps;
    _Atomic double asleep_since; /* seconds of fkp_seconds_now() */
    atomic_bool crowded;         /* a worker is, or was a moment ago, on the caller's core */
    atomic_bool stop;

    pthread_mutex_t mutex;
    pthread_cond_t wake; /* workers wait here for a generation */
    pthread_cond_t done; /* the caller waits here for the last tile */
    size_t started;
    struct fkp_worker {
        _Alignas(FKP_ALIGNMENT) _Atomic uint64_t range; /* tiles that nobody has claimed yet */
        atomic_size_t kept_after; /* once its range begins behind this tile, its last one is its own */
        fkp_pool *pool;
        size_t index;
        pthread_t thread;
        fkp_core_share share;
    } * workers; /* workers[0] is the caller */
};

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool on_callers_core(fkp_pool *pool) {
    int core = fkp_core_at_hand();
    return core >= 0 && core == atomic_load_explicit(&pool->core, memory_order_relaxed);
}

/* Takes the first tile of a worker's range. */
static bool claim_own(struct fkp_worker *worker, size_t *tile) {
    uint64_t word = atomic_load(&worker->range);
    do {
        if (range_begin(word) >= range_end(word)) return false;
        *tile = range_begin(word);
    } while (!atomic_compare_exchange_weak(&worker->range, &word, range_word(*tile + 1, range_end(word))));
    return true;
}

/* Takes the last tile of another's range. Whether that one keeps it may be told by a job that is over: the
 * tile then runs elsewhere than it should. */
static bool claim_others(struct fkp_worker *owner, size_t *tile) {
    uint64_t word = atomic_load(&owner->range);
    do {
        const size_t begin = range_begin(word), end = range_end(word);
        const bool last = begin + 1 == end;
        if (begin >= end) return false;
        if (last && begin > atomic_load_explicit(&owner->kept_after, memory_order_relaxed)) return false;
        *tile = end - 1;
    } while (!atomic_compare_exchange_weak(&owner->range, &word, range_word(range_begin(word), *tile)));
    return true;
}

/* After this, whoever saw nothing to run for waits on his condition. He is woken without the mutex, else he
 * would meet it locked, and sleep again, when he starts at once on the waker's core. */
static void pass_mutex(fkp_pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void report_finished(fkp_pool *pool, size_t tiles, size_t count, size_t worker) {
    if (atomic_fetch_add(&pool->finished, tiles) + tiles == count && atomic_load(&pool->caller_sleeps)) {
        pass_mutex(pool);
        pthread_cond_signal(&pool->done);
        fkp_core_ration(&pool->workers[worker].share, atomic_load(&pool->asleep_since));
    }
}

/* Whether a worker at work must come to its last tile itself, since nobody else will. */
static bool keeps_last(struct fkp_worker *worker) {
    return atomic_load_explicit(&worker->kept_after, memory_order_relaxed) != SIZE_MAX;
}

/* Runs what is left of a worker's own range, then of the others', as far as its ration goes; the caller is
 * never rationed, since what others leave is his. Tiles are reported together, when a range is empty; until
 * then the job cannot end, so the next one cannot begin. */
static void claim_tiles(fkp_pool *pool, size_t worker) {
    for (size_t i = 0; i < pool->threads; i++) {
        struct fkp_worker *owner = &pool->workers[(worker + i) % pool->threads];
        size_t tile, tiles = 0, count = 0;
        while ((i == 0 && tiles > 0 && keeps_last(owner)) ||
               !fkp_core_time_spent(&pool->workers[worker].share)) {
            if (!(i == 0 ? claim_own(owner, &tile) : claim_others(owner, &tile))) break;
            count = pool->count;
            pool->tile(pool->argument, tile, worker);
            tiles++;
        }
        if (tiles > 0) report_finished(pool, tiles, count, worker);
    }
}

/* Waits until the generation differs from `seen`, and returns it. */
static size_t await_generation(fkp_pool *pool, size_t seen) {
    size_t now;
    int rounds = on_callers_core(pool) ? 0 : SPIN_ROUNDS;
    for (int i = 0; i < rounds; i++) {
        if ((now = atomic_load_explicit(&pool->generation, memory_order_acquire)) != seen) return now;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while ((now = atomic_load(&pool->generation)) == seen) pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
    return now;
}

static void *worker_main(void *argument) {
    struct fkp_worker *self = argument;
    fkp_pool *pool = self->pool;
    size_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        if (pool->core_for_each && on_callers_core(pool)) fkp_core_leave(&self->share);
        if (on_callers_core(pool)) atomic_store(&pool->crowded, true);
        claim_tiles(pool, self->index);
        fkp_core_rest(&self->share);
        seen = await_generation(pool, seen);
    }
    return NULL;
}

static size_t cores_allowed(void) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return (size_t)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

static facekp_status start_workers(fkp_pool *pool, fkp_error *error) {
    for (size_t i = 1; i < pool->threads; i++) {
        struct fkp_worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            return fkp_fail(error, FACEKP_ERROR_THREAD,
                            "thread %zu of %zu could not be started; ask for fewer threads", i + 1,
                            pool->threads);
        pool->started++;
    }
    return FACEKP_OK;
}

facekp_status fkp_pool_create(const fkp_memory *memory, int32_t threads, facekp_parallel_for parallel_for,
                              void *parallel_user, fkp_pool **result, fkp_error *error) {
    *result = NULL;
    if (threads < FACEKP_THREADS_ALL || threads > FKP_MAX_THREADS)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "threads is %d; it must be 0 to %d, or FACEKP_THREADS_ALL", (int)threads,
                        FKP_MAX_THREADS);
    fkp_pool *pool = fkp_allocate(memory, 1, sizeof *pool);
    if (pool == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a thread pool");
    pool->memory = *memory;
    pool->parallel_for = parallel_for;
    atomic_store(&pool->core, NO_CORE);
    pool->parallel_user = parallel_user;
    pool->threads = threads == FACEKP_THREADS_ALL ? cores_allowed() : threads == 0 ? 1 : (size_t)threads;
    if (pool->threads > FKP_MAX_THREADS) pool->threads = FKP_MAX_THREADS;
    pool->core_for_each = pool->threads <= cores_allowed();
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    facekp_status status = FACEKP_OK;
    pool->workers = fkp_allocate(memory, pool->threads, sizeof *pool->workers);
    if (pool->workers == NULL)
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %zu threads", pool->threads);
    else if (parallel_for == NULL && pool->threads > 1)
        status = start_workers(pool, error);
    if (status != FACEKP_OK) {
        fkp_pool_free(pool);
        return status;
    }
    *result = pool;
    return FACEKP_OK;
}

static void raise_generation(fkp_pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pass_mutex(pool);
        pthread_cond_broadcast(&pool->wake);
    }
}

void fkp_pool_free(fkp_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stop, true);
    raise_generation(pool);
    for (size_t i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    fkp_memory memory = pool->memory;
    fkp_release(&memory, pool->workers, pool->threads, sizeof *pool->workers);
    fkp_release(&memory, pool, 1, sizeof *pool);
}

size_t fkp_pool_threads(const fkp_pool *pool) { return pool->threads; }

static void await_tiles(fkp_pool *pool, size_t count) {
    for (int i = 0; i < SPIN_ROUNDS && !atomic_load_explicit(&pool->crowded, memory_order_relaxed); i++) {
        if (atomic_load_explicit(&pool->finished, memory_order_acquire) == count) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->asleep_since, fkp_seconds_now());
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->finished) != count) pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

static void host_task(void *argument, size_t index) { claim_tiles(argument, index); }

static void run(fkp_pool *pool, size_t count, bool prepared, fkp_tile tile, void *argument) {
    if (count == 0) return;
    if (pool->threads == 1 || count == 1) {
        for (size_t i = 0; i < count; i++) tile(argument, i, 0);
        return;
    }
    pool->tile = tile;
    pool->argument = argument;
    pool->count = count;
    /* Nothing before the generation waits for its line of the caches to come over. */
    atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
    for (size_t i = 0; i < pool->threads; i++) {
        const size_t begin = count * i / pool->threads, end = count * (i + 1) / pool->threads;
        atomic_store_explicit(&pool->workers[i].kept_after, prepared ? begin : SIZE_MAX,
                              memory_order_relaxed);
        atomic_store_explicit(&pool->workers[i].range, range_word(begin, end), memory_order_release);
    }
    if (pool->parallel_for != NULL) {
        pool->parallel_for(pool->parallel_user, pool->threads, host_task, pool);
        return;
    }
    atomic_store_explicit(&pool->core, fkp_core_at_hand(), memory_order_relaxed);
    if (atomic_load_explicit(&pool->crowded, memory_order_relaxed)) atomic_store(&pool->crowded, false);
    raise_generation(pool);
    claim_tiles(pool, 0);
    await_tiles(pool, count);
}

void fkp_parallel(fkp_pool *pool, size_t count, fkp_tile tile, void *argument) {
    run(pool, count, false, tile, argument);
}
void fkp_parallel_prepared(fkp_pool *pool, size_t count, fkp_tile tile, void *argument) {
    run(pool, count, true, tile, argument);
}
