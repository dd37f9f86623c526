/* The public options by name and text, and what they mean to the rooms below. */
#ifndef FKP_SETTINGS_H
#define FKP_SETTINGS_H

#include "facekp/train.h"
#include "networks/networks.h"
#include "train/data/augment.h"
#include "train/losses.h"
#include "train/optimiser.h"
#include "train/schedule.h"
#include "train/text.h"
#include "weights/weights.h"

#define FKP_MAX_GROUPS 32

typedef enum fkp_hold_out { FKP_HOLD_OUT_PERSON, FKP_HOLD_OUT_VIDEO, FKP_HOLD_OUT_NONE } fkp_hold_out;
typedef enum fkp_best_metric { FKP_BEST_MSE, FKP_BEST_NME, FKP_BEST_LOSS } fkp_best_metric;

/* Options with their defaults filled in and their names understood. schedule.steps_per_epoch is 1: it is not
 * known before the data are. */
typedef struct fkp_settings {
    fkp_network_options network;
    int32_t normalization;
    fkp_loss loss;
    fkp_optimiser_options optimiser;
    fkp_parameter_group groups[FKP_MAX_GROUPS];
    size_t group_count;
    fkp_schedule schedule;
    fkp_augment augment;
    fkp_hold_out hold_out;
    double held_out;
    size_t keypoints, batch, accumulate;
    fkp_best_metric metric;
    fkp_dtype output_dtype;
} fkp_settings;

/* FACEKP_ERROR_ARGUMENT, the option named, for what is out of range or unknown. */
facekp_status fkp_settings_read(const facekp_train_options *options, fkp_settings *settings,
                                fkp_error *error);

/* One of the names in a list that ends with NULL; `otherwise` when the text is NULL. */
facekp_status fkp_settings_choose(const char *option, const char *text, const char *const *names,
                                  int32_t otherwise, int32_t *choice, fkp_error *error);

/* Writes the options that the result depends on, "name = value" lines: what a checkpoint remembers. */
void fkp_options_describe(const facekp_train_options *options, fkp_text *text);

#endif
