/* status, checked sizes, memory, random numbers, threads. */
/* For strnlen, and sched_getcpu and its relatives. */
#define _GNU_SOURCE
#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/shared_core.h"

START_TEST(messages_are_kept_and_cut) {
    fkp_error error = {0};
    ck_assert_int_eq(fkp_fail(&error, FACEKP_ERROR_FORMAT, "offset %d", 7), FACEKP_ERROR_FORMAT);
    ck_assert_str_eq(error.message, "offset 7");
    ck_assert_int_eq(fkp_fail_in(&error, "a.bin"), FACEKP_ERROR_FORMAT);
    ck_assert_str_eq(error.message, "a.bin: offset 7");
    fkp_fail_in(&error, "a.bin");
    ck_assert_str_eq(error.message, "a.bin: offset 7");
    char small[6];
    fkp_error_copy(&error, small, sizeof small);
    ck_assert_str_eq(small, "a.bin");
    ck_assert_int_eq(fkp_fail(NULL, FACEKP_ERROR_MEMORY, "x"), FACEKP_ERROR_MEMORY);
}
END_TEST

START_TEST(long_prefix_keeps_a_terminated_message) {
    fkp_error error = {0};
    char prefix[2 * FKP_MESSAGE_BYTES];
    memset(prefix, 'p', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    fkp_fail(&error, FACEKP_ERROR_READ, "%s", prefix);
    fkp_fail_in(&error, prefix);
    ck_assert_uint_lt(strnlen(error.message, sizeof error.message), sizeof error.message);
}
END_TEST

START_TEST(every_status_has_its_own_name) {
    static const facekp_status all[] = {FACEKP_OK,           FACEKP_ERROR_ARGUMENT, FACEKP_ERROR_STRUCT_SIZE,
                                        FACEKP_ERROR_BUFFER, FACEKP_ERROR_MEMORY,   FACEKP_ERROR_LIMIT,
                                        FACEKP_ERROR_THREAD, FACEKP_ERROR_OPEN,     FACEKP_ERROR_READ,
                                        FACEKP_ERROR_WRITE,  FACEKP_ERROR_FORMAT,   FACEKP_ERROR_TRUNCATED,
                                        FACEKP_ERROR_TENSOR, FACEKP_ERROR_VALUE,    FACEKP_ERROR_UNSUPPORTED,
                                        FACEKP_ERROR_STATE,  FACEKP_ERROR_CANCELLED};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t j = 0; j < i; j++) ck_assert_str_ne(fkp_status_string(all[i]), fkp_status_string(all[j]));
    ck_assert_str_eq(fkp_status_string(-999), "unknown status");
}
END_TEST

START_TEST(sizes_do_not_wrap) {
    size_t result = 5;
    ck_assert(!fkp_checked_add(SIZE_MAX, 1, &result));
    ck_assert(!fkp_checked_multiply(SIZE_MAX / 2 + 1, 2, &result));
    ck_assert(!fkp_checked_round_up(SIZE_MAX - 3, 64, &result));
    ck_assert_uint_eq(result, 5);
    ck_assert(fkp_checked_multiply(0, SIZE_MAX, &result) && result == 0);
    ck_assert(fkp_checked_round_up(65, 64, &result) && result == 128);
    ck_assert(fkp_range_inside(3, 4, 7) && !fkp_range_inside(4, 4, 7));
    ck_assert(!fkp_range_inside(UINT64_MAX, 2, 7) && !fkp_range_inside(2, UINT64_MAX, 7));
}
END_TEST

START_TEST(memory_is_zeroed_aligned_and_refuses_overflow) {
    fkp_memory memory = fkp_memory_from(NULL);
    unsigned char *bytes = fkp_allocate(&memory, 13, 3);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq((uintptr_t)bytes % FKP_ALIGNMENT, 0);
    for (int i = 0; i < 39; i++) ck_assert_uint_eq(bytes[i], 0);
    fkp_release(&memory, bytes, 13, 3);
    ck_assert_ptr_null(fkp_allocate(&memory, SIZE_MAX / 2, 3));
    void *nothing = fkp_allocate(&memory, 0, 8);
    ck_assert_ptr_nonnull(nothing);
    fkp_release(&memory, nothing, 0, 8);
}
END_TEST

/* The first numbers of splitmix64 with seed 0, as its authors' program prints them. */
START_TEST(random_numbers_are_splitmix64) {
    ck_assert_uint_eq(fkp_random_at(0, 0), UINT64_C(0xe220a8397b1dcdaf));
    ck_assert_uint_eq(fkp_random_at(0, 1), UINT64_C(0x6e789e6aa1b965f4));
    fkp_random a = fkp_random_stream(1, 2, 3), b = fkp_random_stream(1, 3, 2);
    ck_assert_uint_ne(a.key, b.key);
    double sum = 0, squares = 0;
    for (int i = 0; i < 10000; i++) {
        float u = fkp_random_uniform(&a), n = fkp_random_normal(&b);
        ck_assert(u >= 0.0f && u < 1.0f);
        ck_assert_uint_lt(fkp_random_below(&a, 7), 7);
        sum += (double)n;
        squares += (double)n * (double)n;
    }
    ck_assert_double_lt(sum / 1e4, 0.05);
    ck_assert_double_gt(sum / 1e4, -0.05);
    ck_assert_double_lt(squares / 1e4, 1.05);
    ck_assert_double_gt(squares / 1e4, 0.95);
}
END_TEST

typedef struct tally {
    unsigned char *seen;
    size_t workers;
    bool busy[FKP_MAX_THREADS];
    bool collision;
} tally;

static void count_tile(void *argument, size_t index, size_t worker) {
    tally *t = argument;
    if (worker >= t->workers || t->busy[worker]) t->collision = true;
    t->busy[worker] = true;
    t->seen[index]++;
    t->busy[worker] = false;
}

static void check_pool(fkp_pool *pool) {
    unsigned char seen[1000];
    for (size_t round = 0; round < 300; round++) {
        size_t count = round * 7 % 1000;
        memset(seen, 0, sizeof seen);
        tally t = {.seen = seen, .workers = fkp_pool_threads(pool)};
        if (round % 2 == 0)
            fkp_parallel(pool, count, count_tile, &t);
        else
            fkp_parallel_prepared(pool, count, count_tile, &t);
        ck_assert(!t.collision);
        size_t wrong = 0; /* counted, not asserted one by one: Check writes to a file at every assertion */
        for (size_t i = 0; i < sizeof seen; i++) wrong += seen[i] != (i < count);
        ck_assert_uint_eq(wrong, 0);
    }
}

START_TEST(every_tile_runs_once) {
    fkp_memory memory = fkp_memory_from(NULL);
    static const int32_t threads[] = {0, 1, 2, 5, FACEKP_THREADS_ALL};
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&memory, threads[_i], NULL, NULL, &pool, NULL), FACEKP_OK);
    check_pool(pool);
    fkp_pool_free(pool);
}
END_TEST

/* Two workers with two tiles each: the second one's first tile ends long after the caller is through. */
typedef struct kept {
    atomic_bool begun, caller_done;
    size_t ran_on[4];
} kept;

static void note_worker(void *argument, size_t index, size_t worker) {
    kept *k = argument;
    k->ran_on[index] = worker;
    if (index == 0) {
        for (int i = 0; i < 20000 && !atomic_load(&k->begun); i++) usleep(100);
    } else if (index == 1) {
        atomic_store(&k->caller_done, true);
    } else if (index == 2) {
        atomic_store(&k->begun, true);
        for (int i = 0; i < 20000 && !atomic_load(&k->caller_done); i++) usleep(100);
        usleep(2000);
    }
}

START_TEST(the_last_tile_is_left_to_a_worker_at_work) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&memory, 2, NULL, NULL, &pool, NULL), FACEKP_OK);
    kept k = {.begun = false};
    fkp_parallel_prepared(pool, 4, note_worker, &k);
    ck_assert_uint_eq(k.ran_on[2], 1);
    ck_assert_uint_eq(k.ran_on[3], 1);
    fkp_pool_free(pool);
}
END_TEST

typedef struct delayed {
    atomic_bool begun;
    atomic_size_t done;
} delayed;

/* Long enough for the caller to ration a worker, and for the ration to end within its first tile. The caller
 * lets it begin, if it does not rest. */
static void delay_worker(void *argument, size_t index, size_t worker) {
    (void)index;
    delayed *d = argument;
    if (worker > 0) {
        atomic_store(&d->begun, true);
        usleep(4000);
    } else {
        for (int i = 0; i < 20 && !atomic_load(&d->begun); i++) usleep(100);
    }
    atomic_fetch_add(&d->done, 1);
}

START_TEST(a_rationed_worker_takes_the_tile_that_is_left_to_it) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&memory, 2, NULL, NULL, &pool, NULL), FACEKP_OK);
    for (int round = 0; round < 20; round++) {
        delayed d = {.begun = false};
        fkp_parallel_prepared(pool, 6, delay_worker, &d);
        ck_assert_uint_eq(atomic_load(&d.done), 6);
    }
    fkp_pool_free(pool);
}
END_TEST

/* Caller and workers on one core, as beside a busy program: none looks for work there. */
#ifdef __linux__
START_TEST(threads_share_a_core) {
    cpu_set_t allowed, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&memory, FACEKP_THREADS_ALL, NULL, NULL, &pool, NULL), FACEKP_OK);
    ck_assert_uint_eq(fkp_pool_threads(pool), 1);
    fkp_pool_free(pool);
    ck_assert_int_eq(fkp_pool_create(&memory, 3, NULL, NULL, &pool, NULL), FACEKP_OK);
    check_pool(pool);
    ck_assert_int_eq(sched_setaffinity(0, sizeof allowed, &allowed), 0);
    check_pool(pool);
    fkp_pool_free(pool);
}
END_TEST
#endif

#ifdef __linux__
/* Puts this thread on a core, with leave to go to all others of a set. */
static void go_to_core(size_t core, const cpu_set_t *allowed) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(sched_setaffinity(0, sizeof *allowed, allowed), 0);
}

static bool allowed_still(const cpu_set_t *allowed) {
    cpu_set_t now;
    return sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, allowed);
}

/* Since other programs want cores too, a thread that has left may be back at once: it should not be, mostly.
 */
enum { LEAVES = 50 };
START_TEST(a_thread_leaves_its_core_and_may_return) {
    cpu_set_t allowed, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    size_t core = (size_t)sched_getcpu(), left = 0;
    fkp_core_share share;
    for (size_t i = 0; i < LEAVES; i++) {
        share = (fkp_core_share){0};
        go_to_core(core, &allowed);
        fkp_core_leave(&share);
        left += sched_getcpu() != (int)core;
        ck_assert(allowed_still(&allowed));
    }
    if (CPU_COUNT(&allowed) > 1) ck_assert_uint_gt(left, LEAVES / 2);
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    share = (fkp_core_share){0};
    fkp_core_leave(&share);
    ck_assert(allowed_still(&one));
}
END_TEST

START_TEST(a_thread_is_rationed_after_two_long_waits) {
    fkp_core_share share = {0};
    fkp_core_ration(&share, fkp_seconds_now());
    fkp_core_ration(&share, fkp_seconds_now() - 1.0);
    double begin = fkp_seconds_now();
    while (fkp_seconds_now() - begin < 5e-3) ck_assert(!fkp_core_time_spent(&share));
    fkp_core_ration(&share, fkp_seconds_now() - 1.0);
    while (!fkp_core_time_spent(&share) && fkp_seconds_now() - begin < 10.0) continue;
    ck_assert(fkp_core_time_spent(&share));
    while (share.rationed_till > 0.0 && fkp_seconds_now() - begin < 10.0) fkp_core_rest(&share);
    ck_assert(!fkp_core_time_spent(&share));
}
END_TEST

typedef struct placed {
    cpu_set_t allowed;
    atomic_int core; /* the caller's */
    atomic_size_t worked, wrong;
} placed;

/* The worker is put on the caller's core; the caller lets it have its tile. */
static void work_beside_caller(void *argument, size_t index, size_t worker) {
    (void)index;
    placed *p = argument;
    size_t before = atomic_load(&p->worked);
    if (worker == 0) {
        atomic_store(&p->core, sched_getcpu());
        for (int i = 0; i < 1000 && atomic_load(&p->worked) == before; i++) usleep(100);
        return;
    }
    atomic_fetch_add(&p->wrong, !allowed_still(&p->allowed));
    int core = atomic_load(&p->core);
    if (core >= 0) go_to_core((size_t)core, &p->allowed);
    atomic_fetch_add(&p->worked, 1);
}

START_TEST(workers_keep_their_set_of_cores) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool;
    placed p = {.core = -1};
    ck_assert_int_eq(sched_getaffinity(0, sizeof p.allowed, &p.allowed), 0);
    ck_assert_int_eq(fkp_pool_create(&memory, 2, NULL, NULL, &pool, NULL), FACEKP_OK);
    for (int round = 0; round < 20; round++) {
        fkp_parallel(pool, 2, work_beside_caller, &p);
        usleep(25000);
    }
    fkp_pool_free(pool);
    ck_assert_uint_gt(atomic_load(&p.worked), 0);
    ck_assert_uint_eq(atomic_load(&p.wrong), 0);
}
END_TEST
#endif

static void host_loop(void *user, size_t count, facekp_task task, void *argument) {
    (*(int *)user)++;
    for (size_t i = count; i-- > 0;) task(argument, i);
}

START_TEST(host_threads_are_used) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool;
    int calls = 0;
    ck_assert_int_eq(fkp_pool_create(&memory, 3, host_loop, &calls, &pool, NULL), FACEKP_OK);
    ck_assert_uint_eq(fkp_pool_threads(pool), 3);
    check_pool(pool);
    ck_assert_int_gt(calls, 0);
    fkp_pool_free(pool);
}
END_TEST

START_TEST(thread_counts_out_of_range_are_refused) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_pool *pool = (fkp_pool *)1;
    ck_assert_int_eq(fkp_pool_create(&memory, FKP_MAX_THREADS + 1, NULL, NULL, &pool, NULL),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_ptr_null(pool);
    ck_assert_int_eq(fkp_pool_create(&memory, -2, NULL, NULL, &pool, NULL), FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, messages_are_kept_and_cut);
    tcase_add_test(tests, long_prefix_keeps_a_terminated_message);
    tcase_add_test(tests, every_status_has_its_own_name);
    tcase_add_test(tests, sizes_do_not_wrap);
    tcase_add_test(tests, memory_is_zeroed_aligned_and_refuses_overflow);
    tcase_add_test(tests, random_numbers_are_splitmix64);
    tcase_add_loop_test(tests, every_tile_runs_once, 0, 5);
#ifdef __linux__
    tcase_add_test(tests, threads_share_a_core);
    tcase_add_test(tests, a_thread_leaves_its_core_and_may_return);
    tcase_add_test(tests, a_thread_is_rationed_after_two_long_waits);
    tcase_add_test(tests, workers_keep_their_set_of_cores);
#endif
    tcase_add_test(tests, the_last_tile_is_left_to_a_worker_at_work);
    tcase_add_test(tests, a_rationed_worker_takes_the_tile_that_is_left_to_it);
    tcase_add_test(tests, host_threads_are_used);
    tcase_add_test(tests, thread_counts_out_of_range_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
