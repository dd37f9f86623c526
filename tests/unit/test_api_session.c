/* Sessions: memory flat and without allocation, the same bits on any threads, lifetimes, the caller's state.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/floating.h"
#include "base/memory.h"
#include "support/small_model.h"

enum { SIDE = 32, POINTS = 2 * FACEKP_KEYPOINTS, WARM_UP = 100, RUNS = 10000 };

/* ---- memory of the host, counted ---- */

typedef struct counter {
    atomic_size_t calls;
    atomic_size_t bytes;
} counter;

static void *counted_allocate(void *user, size_t size, size_t alignment) {
    counter *state = user;
    void *pointer = NULL;
    if (posix_memalign(&pointer, alignment, size) != 0) return NULL;
    atomic_fetch_add(&state->calls, 1);
    atomic_fetch_add(&state->bytes, size);
    return pointer;
}

static void counted_release(void *user, void *pointer, size_t size) {
    counter *state = user;
    atomic_fetch_add(&state->calls, 1);
    atomic_fetch_sub(&state->bytes, size);
    free(pointer);
}

static facekp_allocator counting(counter *state) {
    return (facekp_allocator){sizeof(facekp_allocator), state, counted_allocate, counted_release};
}

/* Anonymous memory, from the page tables: the counters of statm lag behind by some hundred kilobytes, and the
 * system takes and gives pages of mapped files as it likes. */
static long resident_kilobytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    if (file == NULL) return 0;
    char line[256];
    long resident = 0;
    while (resident == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Anonymous: %ld", &resident) != 1) resident = 0;
    fclose(file);
    return resident;
}

/* ---- a picture to look at ---- */

static unsigned char pixels[200 * 160];

static void draw_picture(void) {
    for (int y = 0; y < 160; y++)
        for (int x = 0; x < 200; x++) pixels[y * 200 + x] = (unsigned char)((x * x / 37 + y * 3) & 255);
}

static const float boxes[3][4] = {{20, 10, 80, 90}, {-15, 40.5f, 60, 70}, {120, 90, 100, 90}};

/* Three faces, points and confidences one after the other. */
enum { RESULTS = 3 * (POINTS + FACEKP_KEYPOINTS) };
static facekp_status find(facekp_session *session, float results[RESULTS]) {
    const facekp_image image = {sizeof(facekp_image), pixels, 0, 200, 160, FACEKP_GRAY8, 0};
    const facekp_image *images[] = {&image};
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = results;
    faces.confidences = results + 3 * POINTS;
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    options.second_pass = 1;
    return facekp_session_predict(session, images, 1, boxes[0], NULL, 3, &options, &faces);
}

static facekp_session *open_session(facekp_model *model, int32_t threads, int32_t batch) {
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.batch = batch;
    facekp_session *session;
    ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_OK);
    return session;
}

/* ---- tests ---- */

/* Kilobytes by which a process may grow meanwhile; AddressSanitizer touches more and more of its own. */
#ifdef FKP_ADDRESS_SANITIZER
#define GROWTH 8192
#else
#define GROWTH 64
#endif

START_TEST(ten_thousand_runs_allocate_nothing) {
    counter state = {0};
    const facekp_allocator allocator = counting(&state);
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.allocator = &allocator;
    facekp_model *model = small_model_load(&small_dino, NULL, 0, &load);
    facekp_session *session = open_session(model, 2, 2);
    float results[RESULTS], raw[2 * POINTS];
    static float input[2 * SIDE * SIDE];
    const size_t calls = atomic_load(&state.calls);
    long before = 0;
    for (int i = 0; i < WARM_UP + RUNS; i++) {
        if (i == WARM_UP) before = resident_kilobytes();
        ck_assert_int_eq(facekp_session_run(session, input, 2, raw, 2 * POINTS), FACEKP_OK);
        if (i % 10 == 0) ck_assert_int_eq(find(session, results), FACEKP_OK);
    }
    ck_assert_uint_eq(atomic_load(&state.calls), calls);
    ck_assert_int_le(resident_kilobytes() - before, GROWTH);
    facekp_session_free(session);
    facekp_model_free(model);
    ck_assert_uint_eq(atomic_load(&state.bytes), 0);
}
END_TEST

static float farthest(const float *a, const float *b) {
    float most = 0.0f;
    for (int i = 0; i < RESULTS; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

START_TEST(threads_do_not_change_a_bit_and_batches_hardly_one) {
    const fkp_network_options *const networks[] = {&small_dino, &small_unet};
    for (int n = 0; n < 2; n++) {
        facekp_model *model = small_model_load(networks[n], NULL, 0, NULL);
        float alone[RESULTS], expected[RESULTS], results[RESULTS];
        for (int32_t batch = 1; batch <= 4; batch++)
            for (int32_t threads = 1; threads <= 3; threads++) {
                facekp_session *session = open_session(model, threads, batch);
                float *into = threads > 1 ? results : expected;
                ck_assert_int_eq(find(session, into), FACEKP_OK);
                facekp_session_free(session);
                if (threads > 1) ck_assert_mem_eq(results, expected, sizeof results);
                if (threads == 1 && batch == 1) memcpy(alone, expected, sizeof alone);
                ck_assert(farthest(into, alone) < 0.01f);
            }
        facekp_model_free(model);
    }
}
END_TEST

typedef struct worker {
    facekp_model *model;
    float results[RESULTS];
    facekp_status status;
} worker;

static void *work(void *argument) {
    worker *self = argument;
    facekp_session *session = NULL;
    self->status = facekp_session_open(self->model, NULL, &session);
    for (int i = 0; i < 50 && self->status == FACEKP_OK; i++) self->status = find(session, self->results);
    facekp_session_free(session);
    return NULL;
}

START_TEST(two_sessions_on_two_threads_give_the_bits_of_one) {
    facekp_model *model = small_model_load(&small_dino, NULL, 0, NULL);
    worker alone = {.model = model}, pair[2] = {{.model = model}, {.model = model}};
    work(&alone);
    ck_assert_int_eq(alone.status, FACEKP_OK);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &pair[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(pair[i].status, FACEKP_OK);
        ck_assert_mem_eq(pair[i].results, alone.results, sizeof alone.results);
    }
    facekp_model_free(model);
}
END_TEST

START_TEST(a_model_may_go_before_its_sessions) {
    counter state = {0};
    const facekp_allocator allocator = counting(&state);
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.allocator = &allocator;
    facekp_model *model = small_model_load(&small_dino, NULL, 0, &load);
    facekp_session *first = open_session(model, 1, 1), *second = open_session(model, 1, 1);
    facekp_model_free(model);
    float results[2][RESULTS];
    ck_assert_int_eq(find(first, results[0]), FACEKP_OK);
    facekp_session_free(first);
    ck_assert_int_eq(find(second, results[1]), FACEKP_OK);
    ck_assert_mem_eq(results[0], results[1], sizeof results[0]);
    facekp_session_free(second);
    ck_assert_uint_eq(atomic_load(&state.bytes), 0);
}
END_TEST

START_TEST(a_session_may_have_memory_of_its_own) {
    counter of_model = {0}, of_session = {0};
    const facekp_allocator model_memory = counting(&of_model), session_memory = counting(&of_session);
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.allocator = &model_memory;
    facekp_model *model = small_model_load(&small_dino, NULL, 0, &load);
    const size_t calls = atomic_load(&of_model.calls);
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.allocator = &session_memory;
    facekp_session *session;
    ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_OK);
    ck_assert_uint_eq(atomic_load(&of_model.calls), calls);
    ck_assert_uint_ge(atomic_load(&of_session.bytes), facekp_session_memory(session) / 2);
    facekp_session_free(session);
    ck_assert_uint_eq(atomic_load(&of_session.bytes), 0);
    facekp_model_free(model);
}
END_TEST

/* ---- threads of the host ---- */

typedef struct host {
    int calls;
    size_t most; /* pieces at a time */
} host;

typedef struct piece {
    facekp_task task;
    void *argument;
    size_t index;
} piece;

static void *run_piece(void *argument) {
    const piece *self = argument;
    fesetround(FE_UPWARD); /* a thread of the host may compute as it likes */
    self->task(self->argument, self->index);
    return fegetround() == FE_UPWARD ? argument : NULL;
}

static void host_parallel_for(void *user, size_t count, facekp_task task, void *argument) {
    host *self = user;
    piece pieces[8];
    pthread_t threads[8];
    self->calls++;
    if (count > self->most) self->most = count;
    for (size_t i = 0; i < count; i++) {
        pieces[i] = (piece){task, argument, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_piece, &pieces[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        void *kept;
        pthread_join(threads[i], &kept);
        ck_assert_ptr_nonnull(kept);
    }
}

START_TEST(threads_of_the_host_give_the_same_bits) {
    facekp_model *model = small_model_load(&small_unet, NULL, 0, NULL);
    float expected[RESULTS], results[RESULTS];
    facekp_session *session = open_session(model, 1, 1);
    ck_assert_int_eq(find(session, expected), FACEKP_OK);
    facekp_session_free(session);
    host self = {0};
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.parallel_for = host_parallel_for;
    options.parallel_user = &self;
    options.threads = 3;
    ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_OK);
    ck_assert_int_eq(find(session, results), FACEKP_OK);
    ck_assert_mem_eq(results, expected, sizeof results);
    ck_assert_int_gt(self.calls, 0);
    ck_assert_uint_eq(self.most, 3);
    facekp_session_free(session);
    facekp_model_free(model);
}
END_TEST

/* ---- the caller's floating-point state ---- */

START_TEST(floating_point_state_neither_matters_nor_changes) {
    facekp_model *model = small_model_load(&small_dino, NULL, 0, NULL);
    float expected[RESULTS], results[RESULTS];
    facekp_session *session = open_session(model, 1, 1);
    ck_assert_int_eq(find(session, expected), FACEKP_OK);

    fenv_t before;
    fegetenv(&before);
    fesetround(FE_DOWNWARD);
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_OVERFLOW);
    feenableexcept(FE_INEXACT | FE_UNDERFLOW);
    facekp_status status = find(session, results);
    const int rounding = fegetround(), raised = fetestexcept(FE_ALL_EXCEPT), trapped = fegetexcept();
    fesetenv(&before);
    ck_assert_int_eq(status, FACEKP_OK);
    ck_assert_int_eq(rounding, FE_DOWNWARD);
    ck_assert_int_eq(raised, FE_OVERFLOW);
    ck_assert_int_eq(trapped, FE_INEXACT | FE_UNDERFLOW);
    ck_assert_mem_eq(results, expected, sizeof results);

    /* Denormals live on in the caller's code. */
    volatile float smallest = 0x1p-149f;
    ck_assert(smallest * 1.0f > 0.0f);
    facekp_session_free(session);
    facekp_model_free(model);
}
END_TEST

START_TEST(options_and_arguments_are_checked) {
    facekp_model *model = small_model_load(&small_dino, NULL, 0, NULL);
    const facekp_session_options bad[] = {{.threads = 257}, {.threads = -2}, {.batch = 65}, {.batch = -1}};
    facekp_session *session;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        facekp_session_options options = bad[i];
        options.struct_size = sizeof options;
        ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_ERROR_ARGUMENT);
        ck_assert_ptr_null(session);
    }
    session = open_session(model, 0, 0);
    ck_assert_str_eq(facekp_session_message(session), "");
    float input[SIDE * SIDE] = {0}, output[POINTS];
    output[0] = 77.0f;
    ck_assert_int_eq(facekp_session_run(session, input, 1, output, POINTS - 1), FACEKP_ERROR_BUFFER);
    ck_assert_int_eq(facekp_session_run(session, input, SIZE_MAX, output, POINTS), FACEKP_ERROR_BUFFER);
    ck_assert_int_eq(facekp_session_run(session, NULL, 1, output, POINTS), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_run(session, input, 0, output, POINTS), FACEKP_ERROR_ARGUMENT);
    ck_assert(output[0] == 77.0f);
    ck_assert_str_ne(facekp_session_message(session), "");
    facekp_session_free(session);
    facekp_model_free(model);
}
END_TEST

int main(void) {
    draw_picture();
    Suite *suite = suite_create("api session");
    TCase *test = tcase_create("session");
    tcase_set_timeout(test, 600);
    tcase_add_test(test, ten_thousand_runs_allocate_nothing);
    tcase_add_test(test, threads_do_not_change_a_bit_and_batches_hardly_one);
    tcase_add_test(test, two_sessions_on_two_threads_give_the_bits_of_one);
    tcase_add_test(test, a_model_may_go_before_its_sessions);
    tcase_add_test(test, a_session_may_have_memory_of_its_own);
    tcase_add_test(test, threads_of_the_host_give_the_same_bits);
    tcase_add_test(test, floating_point_state_neither_matters_nor_changes);
    tcase_add_test(test, options_and_arguments_are_checked);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
