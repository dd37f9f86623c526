#include "train/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const char *const names[FKP_SCHEDULE_KINDS] = {"constant", "multistep", "cosine", "one-cycle"};
static const double pi = 3.14159265358979323846;

const char *fkp_schedule_name(fkp_schedule_kind kind) {
    return (size_t)kind < FKP_SCHEDULE_KINDS ? names[kind] : NULL;
}

fkp_schedule_kind fkp_schedule_named(const char *name) {
    int kind = 0;
    while (kind < FKP_SCHEDULE_KINDS && strcmp(names[kind], name) != 0) kind++;
    return (fkp_schedule_kind)kind;
}

static bool in_range(double value, double low, double high) { return value >= low && value <= high; }

static bool milestones_rise(const fkp_schedule *schedule) {
    if (schedule->milestone_count > FKP_MAX_MILESTONES) return false;
    for (size_t i = 0; i < schedule->milestone_count; i++)
        if (schedule->milestones[i] <= (i == 0 ? 0 : schedule->milestones[i - 1])) return false;
    return true;
}

facekp_status fkp_schedule_check(const fkp_schedule *schedule, fkp_error *error) {
    if ((size_t)schedule->kind >= FKP_SCHEDULE_KINDS)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "unknown schedule %d", (int)schedule->kind);
    if (!(schedule->rate > 0.0) || !isfinite(schedule->rate))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "learning rate is %g; it must be above 0",
                        schedule->rate);
    if (schedule->epochs < 1 || schedule->steps_per_epoch < 1)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "a schedule over %d epochs of %llu steps; both must be at least 1",
                        (int)schedule->epochs, (unsigned long long)schedule->steps_per_epoch);
    if (!milestones_rise(schedule))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "milestones must be at most %d epochs above 0, each after the one before",
                        FKP_MAX_MILESTONES);
    if (!in_range(schedule->factor, 0.0, 1e6) || !in_range(schedule->minimum, 0.0, schedule->rate))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "schedule factor %g or minimum rate %g is out of range (0 to 1e6; 0 to the rate)",
                        schedule->factor, schedule->minimum);
    if (!in_range(schedule->warm_up, 0.0, 1.0) || !in_range(schedule->start_divisor, 0.0, 1e12) ||
        !in_range(schedule->final_divisor, 0.0, 1e12))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "one-cycle warm-up %g must be 0 to 1, its divisors %g and %g 0 to 1e12",
                        schedule->warm_up, schedule->start_divisor, schedule->final_divisor);
    return FACEKP_OK;
}

static double or_default(double value, double otherwise) { return value > 0.0 ? value : otherwise; }

/* From `start` (share 0) to `end` (share 1) along half a cosine. */
static double anneal(double start, double end, double share) {
    return end + (start - end) / 2.0 * (1.0 + cos(pi * share));
}

static double one_cycle(const fkp_schedule *schedule, double step, double steps) {
    double first = schedule->rate / or_default(schedule->start_divisor, 25.0);
    double last = first / or_default(schedule->final_divisor, 1e4);
    double top = or_default(schedule->warm_up, 0.3) * steps - 1.0, fall = steps - 1.0 - top;
    if (step <= top) return anneal(first, schedule->rate, top > 0.0 ? step / top : 1.0);
    return anneal(schedule->rate, last, fall > 0.0 ? fmin(1.0, (step - top) / fall) : 1.0);
}

double fkp_schedule_at(const fkp_schedule *schedule, uint64_t step) {
    double epoch = (double)(step / schedule->steps_per_epoch), rate = schedule->rate;
    switch (schedule->kind) {
    case FKP_SCHEDULE_MULTISTEP:
        for (size_t i = 0; i < schedule->milestone_count; i++)
            if (epoch >= schedule->milestones[i]) rate *= or_default(schedule->factor, 0.1);
        return rate;
    case FKP_SCHEDULE_COSINE:
        return anneal(rate, schedule->minimum, fmin(1.0, epoch / schedule->epochs));
    case FKP_SCHEDULE_ONE_CYCLE:
        return one_cycle(schedule, (double)step,
                         (double)schedule->steps_per_epoch * (double)schedule->epochs);
    default:
        return rate;
    }
}
