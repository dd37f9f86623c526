/* Learning rates of every step against PyTorch's schedulers (make_parts_golden.py). */
#include "train/schedule.h"

#include <math.h>

#include "golden/lines.h"
#include "support/run_suite.h"

enum { EPOCHS = 6, STEPS_PER_EPOCH = 7, STEPS = EPOCHS * STEPS_PER_EPOCH };

#define EVERY .rate = 0.01, .epochs = EPOCHS, .steps_per_epoch = STEPS_PER_EPOCH

static const struct {
    const char *name;
    fkp_schedule schedule;
} cases[] = {
    {"multistep", {.kind = FKP_SCHEDULE_MULTISTEP, .milestones = {2, 4}, .milestone_count = 2, EVERY}},
    {"multistep-factor",
     {.kind = FKP_SCHEDULE_MULTISTEP, .milestones = {1, 3, 4}, .milestone_count = 3, .factor = 0.5, EVERY}},
    {"cosine", {.kind = FKP_SCHEDULE_COSINE, EVERY}},
    {"cosine-minimum", {.kind = FKP_SCHEDULE_COSINE, .minimum = 1e-3, EVERY}},
    {"one-cycle", {.kind = FKP_SCHEDULE_ONE_CYCLE, EVERY}},
    {"one-cycle-constants",
     {.kind = FKP_SCHEDULE_ONE_CYCLE, .warm_up = 0.1, .start_divisor = 10, .final_divisor = 100, EVERY}}};

START_TEST(rates_are_pytorchs) {
    golden_line expected;
    ck_assert_int_eq(fkp_schedule_check(&cases[_i].schedule, NULL), FACEKP_OK);
    read_golden_line("schedules.txt", cases[_i].name, &expected);
    ck_assert_uint_eq(expected.count, STEPS);
    for (uint64_t step = 0; step < STEPS; step++) {
        double rate = fkp_schedule_at(&cases[_i].schedule, step), wanted = expected.numbers[step];
        ck_assert_msg(fabs(rate - wanted) <= 1e-10 * wanted, "%s, step %d: rate %.12g, not %.12g",
                      cases[_i].name, (int)step, rate, wanted);
    }
}
END_TEST

START_TEST(a_constant_rate) {
    const fkp_schedule schedule = {.kind = FKP_SCHEDULE_CONSTANT, EVERY};
    for (uint64_t step = 0; step < STEPS; step++) ck_assert_double_eq(fkp_schedule_at(&schedule, step), 0.01);
}
END_TEST

/* A cycle of few steps, or one that begins at its top, still has rates between 0 and the highest. */
START_TEST(short_cycles_stay_in_range) {
    static const double warm_ups[] = {0.0, 1e-9, 0.01, 0.5, 1.0};
    for (uint64_t steps = 1; steps <= 12; steps++)
        for (size_t i = 0; i < sizeof warm_ups / sizeof *warm_ups; i++) {
            const fkp_schedule schedule = {.kind = FKP_SCHEDULE_ONE_CYCLE,
                                           .rate = 0.01,
                                           .epochs = 1,
                                           .steps_per_epoch = steps,
                                           .warm_up = warm_ups[i]};
            for (uint64_t step = 0; step < steps; step++) {
                double rate = fkp_schedule_at(&schedule, step);
                ck_assert_msg(rate > 0.0 && rate <= 0.01, "step %d of %d, warm-up %g: %g", (int)step,
                              (int)steps, warm_ups[i], rate);
            }
        }
}
END_TEST

static const struct {
    fkp_schedule schedule;
    const char *word;
} wrong[] = {{{.kind = FKP_SCHEDULE_KINDS, EVERY}, "unknown"},
             {{.rate = 0.0, .epochs = 1, .steps_per_epoch = 1}, "learning rate"},
             {{.rate = NAN, .epochs = 1, .steps_per_epoch = 1}, "learning rate"},
             {{.rate = INFINITY, .epochs = 1, .steps_per_epoch = 1}, "learning rate"},
             {{.rate = 0.01, .steps_per_epoch = 1}, "epochs"},
             {{.rate = 0.01, .epochs = 1}, "epochs"},
             {{.milestones = {3, 3}, .milestone_count = 2, EVERY}, "milestones"},
             {{.milestones = {0, 3}, .milestone_count = 2, EVERY}, "milestones"},
             {{.milestone_count = FKP_MAX_MILESTONES + 1, EVERY}, "milestones"},
             {{.factor = -1.0, EVERY}, "factor"},
             {{.minimum = 0.02, EVERY}, "minimum"},
             {{.warm_up = 1.5, EVERY}, "warm-up"},
             {{.start_divisor = -1.0, EVERY}, "divisors"}};

START_TEST(wrong_schedules_are_refused) {
    fkp_error error = {0};
    ck_assert_int_eq(fkp_schedule_check(&wrong[_i].schedule, &error), FACEKP_ERROR_ARGUMENT);
    ck_assert_msg(strstr(error.message, wrong[_i].word) != NULL, "%s", error.message);
}
END_TEST

START_TEST(schedules_by_name) {
    for (int kind = 0; kind < FKP_SCHEDULE_KINDS; kind++)
        ck_assert_int_eq(fkp_schedule_named(fkp_schedule_name((fkp_schedule_kind)kind)), kind);
    ck_assert_int_eq(fkp_schedule_named("linear"), FKP_SCHEDULE_KINDS);
    ck_assert_ptr_null(fkp_schedule_name(FKP_SCHEDULE_KINDS));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("schedules");
    TCase *tests = tcase_create("schedules");
    tcase_add_loop_test(tests, rates_are_pytorchs, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, a_constant_rate);
    tcase_add_test(tests, short_cycles_stay_in_range);
    tcase_add_loop_test(tests, wrong_schedules_are_refused, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, schedules_by_name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
