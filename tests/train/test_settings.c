/* Public options to settings: every field arrives where it belongs, defaults are filled in, what is out of
 * range is refused by name. */
#include "train/settings.h"

#include <math.h>
#include <string.h>

#include "support/run_suite.h"

static facekp_train_options options_for(const char *architecture) {
    facekp_train_options options;
    facekp_train_options_init(&options, sizeof options);
    options.train_csv = "faces.csv";
    options.architecture = architecture;
    return options;
}

static fkp_settings read_good(const facekp_train_options *options) {
    fkp_settings settings;
    fkp_error error = {0};
    ck_assert_msg(fkp_settings_read(options, &settings, &error) == FACEKP_OK, "%s", error.message);
    return settings;
}

START_TEST(defaults) {
    const facekp_train_options options = options_for("resnet18");
    const fkp_settings s = read_good(&options);
    ck_assert_int_eq(s.network.architecture, FACEKP_RESNET18);
    ck_assert_uint_eq(s.keypoints, FACEKP_KEYPOINTS);
    ck_assert_int_eq(s.normalization, FACEKP_NORMALIZATION_DEFAULT);
    ck_assert_int_eq(s.loss.kind, FKP_LOSS_SMOOTH_L1);
    ck_assert_int_eq(s.optimiser.kind, FKP_OPTIMISER_ADAM);
    ck_assert_int_eq(s.schedule.kind, FKP_SCHEDULE_CONSTANT);
    ck_assert_double_eq(s.schedule.rate, 1e-3);
    ck_assert_int_eq(s.schedule.epochs, 25);
    ck_assert_uint_eq(s.batch, 16);
    ck_assert_uint_eq(s.accumulate, 1);
    ck_assert_double_eq(s.held_out, 0.1);
    ck_assert_int_eq(s.hold_out, FKP_HOLD_OUT_PERSON);
    ck_assert_int_eq(s.metric, FKP_BEST_MSE);
    ck_assert_int_eq(s.output_dtype, FKP_F32);
    ck_assert_uint_eq(s.group_count, 0);
    ck_assert(!s.augment.random_crop && s.augment.flip == 0.0f && s.augment.occlusion_side == 0.0f);
    const facekp_train_options maps = options_for("unet");
    ck_assert_int_eq(read_good(&maps).loss.kind, FKP_LOSS_CROSS_ENTROPY);
}
END_TEST

START_TEST(network_and_loss) {
    facekp_train_options options = options_for("dino");
    options.variant = "flatten";
    options.keypoints = 5;
    options.input_size = 48;
    options.dimension = 96;
    options.depth = 3;
    options.heads = 2;
    options.normalization = "none";
    options.loss = "soft-wing";
    options.loss_beta = 0.5;
    options.loss_width = 0.25;
    options.loss_threshold = 0.125;
    options.loss_curvature = 2.0;
    fkp_settings s = read_good(&options);
    ck_assert_int_eq(s.network.head, FKP_DINO_FLATTEN);
    ck_assert_uint_eq(s.network.keypoints, 5);
    ck_assert_uint_eq(s.network.input_size, 48);
    ck_assert_uint_eq(s.network.dimension, 96);
    ck_assert_uint_eq(s.network.depth, 3);
    ck_assert_uint_eq(s.network.heads, 2);
    ck_assert_uint_eq(s.keypoints, 5);
    ck_assert_int_eq(s.normalization, FACEKP_NORMALIZATION_NONE);
    ck_assert_int_eq(s.loss.kind, FKP_LOSS_SOFT_WING);
    ck_assert(s.loss.beta == 0.5f && s.loss.width == 0.25f && s.loss.threshold == 0.125f &&
              s.loss.curvature == 2.0f);
    options = options_for("unet");
    options.width = 8;
    options.loss = "bce";
    options.heatmap_sigma = 1.5;
    options.integral = 0.25;
    s = read_good(&options);
    ck_assert_uint_eq(s.network.width, 8);
    ck_assert(s.loss.kind == FKP_LOSS_BCE && s.loss.sigma == 1.5f && s.loss.integral == 0.25f);
    options = options_for("direct");
    options.variant = "relu";
    ck_assert_int_eq(read_good(&options).network.activation, FKP_ACTIVATION_RELU);
    options.variant = NULL;
    ck_assert_int_eq(read_good(&options).network.activation, FKP_ACTIVATION_ELU);
}
END_TEST

START_TEST(optimiser_and_schedule) {
    facekp_train_options options = options_for("resnet18");
    options.optimiser = "sgd";
    options.learning_rate = 0.5;
    options.momentum = 0.75;
    options.weight_decay = 0.25;
    options.clip_norm = 3.0;
    options.ema_decay = 0.875;
    options.groups = "conv1.*:1, fc.*:0.5:2 ,bn*:2:0:nodecay,*:0";
    options.schedule = "multistep";
    options.milestones = "2, 5,9";
    options.schedule_factor = 0.5;
    options.epochs = 12;
    fkp_settings s = read_good(&options);
    ck_assert_int_eq(s.optimiser.kind, FKP_OPTIMISER_SGD);
    ck_assert_double_eq(s.optimiser.momentum, 0.75);
    ck_assert_double_eq(s.optimiser.weight_decay, 0.25);
    ck_assert_double_eq(s.optimiser.clip_norm, 3.0);
    ck_assert_double_eq(s.optimiser.ema_decay, 0.875);
    static const fkp_parameter_group groups[] = {
        {"conv1.*", 1.0, 0, false}, {"fc.*", 0.5, 2, false}, {"bn*", 2.0, 0, true}, {"*", 0.0, 0, false}};
    ck_assert_uint_eq(s.group_count, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(s.groups[i].pattern, groups[i].pattern);
        ck_assert_double_eq(s.groups[i].rate_factor, groups[i].rate_factor);
        ck_assert_int_eq(s.groups[i].frozen_epochs, groups[i].frozen_epochs);
        ck_assert_int_eq(s.groups[i].without_decay, groups[i].without_decay);
    }
    ck_assert_int_eq(s.schedule.kind, FKP_SCHEDULE_MULTISTEP);
    ck_assert_uint_eq(s.schedule.milestone_count, 3);
    ck_assert(s.schedule.milestones[0] == 2 && s.schedule.milestones[1] == 5 &&
              s.schedule.milestones[2] == 9);
    ck_assert(s.schedule.rate == 0.5 && s.schedule.factor == 0.5 && s.schedule.epochs == 12);
    options = options_for("direct");
    options.optimiser = "adamw";
    options.schedule = "one-cycle";
    options.warm_up = 0.25;
    s = read_good(&options);
    ck_assert(s.optimiser.kind == FKP_OPTIMISER_ADAMW && s.schedule.kind == FKP_SCHEDULE_ONE_CYCLE &&
              s.schedule.warm_up == 0.25);
    options.schedule = "cosine";
    options.schedule_minimum = 1e-5;
    s = read_good(&options);
    ck_assert(s.schedule.kind == FKP_SCHEDULE_COSINE && s.schedule.minimum == 1e-5);
}
END_TEST

START_TEST(augmentation_and_running) {
    facekp_train_options options = options_for("direct");
    options.random_crop = 1;
    options.shift = 1;
    options.zoom = 0.25;
    options.rotation = 3;
    options.flip = 0.5;
    options.brightness = 0.125;
    options.contrast = 0.375;
    options.gamma = 0.625;
    options.blur = 0.75;
    options.blur_sigma = 2;
    options.noise = 0.0625;
    options.occlusion = 0.875;
    options.occlusion_side = 0.3125;
    options.label_bias_x = 2;
    options.label_bias_y = 1.5;
    options.batch = 24;
    options.accumulate = 3;
    options.split = "video";
    options.held_out = 0.25;
    options.metric = "nme";
    options.output_dtype = "bf16";
    const fkp_settings s = read_good(&options);
    const fkp_augment expected = {true,   1,     0.25f, 3,       0.5f,   0.125f,  0.375f,
                                  0.625f, 0.75f, 2,     0.0625f, 0.875f, 0.3125f, {2, 1.5f}};
    const float *fields = &expected.shift, *read = &s.augment.shift;
    ck_assert(s.augment.random_crop);
    for (size_t i = 0; i < (sizeof expected - offsetof(fkp_augment, shift)) / sizeof(float); i++)
        ck_assert_msg(read[i] == fields[i], "field %zu is %g, not %g", i, (double)read[i], (double)fields[i]);
    ck_assert(s.batch == 24 && s.accumulate == 3 && s.hold_out == FKP_HOLD_OUT_VIDEO && s.held_out == 0.25);
    ck_assert(s.metric == FKP_BEST_NME && s.output_dtype == FKP_BF16);
}
END_TEST

/* By name and text, as the tool sets them. */
static const struct {
    const char *architecture, *name, *value, *word;
} wrong[] = {{"direct", "batch", "1025", "batch"},
             {"direct", "batch", "-1", "batch"},
             {"direct", "epochs", "100001", "epochs"},
             {"direct", "depth", "65", "depth"},
             {"direct", "keypoints", "1000000", "keypoints"},
             {"direct", "loader_threads", "17", "loader_threads"},
             {"direct", "variant", "gelu", "elu relu"},
             {"resnet18", "variant", "relu", "variant"},
             {"unet", "loss", "mse", "heatmaps"},
             {"direct", "loss", "bce", "coordinates"},
             {"direct", "loss", "hinge", "hinge"},
             {"direct", "loss_beta", "-1", "constant of the loss"},
             {"direct", "optimiser", "lion", "adam adamw sgd"},
             {"direct", "groups", "fc.*", "PATTERN"},
             {"direct", "groups", "fc.*:x", "PATTERN"},
             {"direct", "groups", "fc.*:1:1.5", "PATTERN"},
             {"direct", "groups", "fc.*:1:2:decay", "PATTERN"},
             {"direct", "groups", "fc.*:1:2:nodecay:3", "PATTERN"},
             {"direct", "groups", ":1", "PATTERN"},
             {"direct", "groups", "fc.*:1,", "PATTERN"},
             {"direct", "schedule", "linear", "one-cycle"},
             {"direct", "milestones", "3,2", "milestones"},
             {"direct", "milestones", "0", "milestones"},
             {"direct", "milestones", "2,", "milestones"},
             {"direct", "learning_rate", "-0.1", "learning rate"},
             {"direct", "schedule_minimum", "1", "minimum"},
             {"direct", "warm_up", "2", "warm-up"},
             {"direct", "rotation", "-1", "rotation"},
             {"direct", "flip", "1.5", "flip"},
             {"direct", "label_bias_x", "51", "bias"},
             {"direct", "extra_label_bias_y", "-51", "bias"},
             {"direct", "split", "frame", "person video none"},
             {"direct", "metric", "auc", "mse nme loss"},
             {"direct", "output_dtype", "int8", "f32 f16 bf16"},
             {"direct", "normalization", "batch", "none imagenet"},
             {"direct", "accumulate", "100", "accumulate"},
             {"direct", "resume", "1", "checkpoint"}};

START_TEST(wrong_options_are_refused) {
    facekp_train_options options = options_for(wrong[_i].architecture);
    fkp_settings settings;
    fkp_error error = {0};
    ck_assert_int_eq(facekp_train_option_set(&options, wrong[_i].name, wrong[_i].value, NULL, 0), FACEKP_OK);
    ck_assert_int_eq(fkp_settings_read(&options, &settings, &error), FACEKP_ERROR_ARGUMENT);
    ck_assert_msg(strstr(error.message, wrong[_i].word) != NULL, "\"%s\" is not in: %s", wrong[_i].word,
                  error.message);
}
END_TEST

/* What a checkpoint remembers changes with every option that the result depends on, and with no other. */
START_TEST(a_description_has_what_decides) {
    static const char *const free_to_change[] = {"train_csv",     "train_images",     "extra_csv",
                                                 "extra_images",  "validation_csv",   "validation_images",
                                                 "skip_bad",      "cache_bytes",      "weights",
                                                 "normalization", "threads",          "loader_threads",
                                                 "patience",      "checkpoint_steps", "checkpoint",
                                                 "resume",        "epoch_log",        "output",
                                                 "output_dtype",  "license",          "training_data"};
    const fkp_memory memory = fkp_memory_from(NULL);
    const facekp_train_options plain = options_for("direct");
    fkp_text before, after;
    size_t decide = 0, rest = 0;
    fkp_text_begin(&before, &memory);
    fkp_options_describe(&plain, &before);
    for (int32_t i = 0; facekp_train_option_name(i) != NULL; i++) {
        facekp_train_options changed = plain;
        const char *name = facekp_train_option_name(i);
        bool may_change = false;
        for (size_t k = 0; k < sizeof free_to_change / sizeof *free_to_change; k++)
            may_change = may_change || strcmp(free_to_change[k], name) == 0;
        ck_assert_int_eq(facekp_train_option_set(&changed, name, "7", NULL, 0), FACEKP_OK);
        fkp_text_begin(&after, &memory);
        fkp_options_describe(&changed, &after);
        ck_assert_msg((strcmp(fkp_text_get(&before), fkp_text_get(&after)) == 0) == may_change, "%s", name);
        fkp_text_free(&after);
        decide += !may_change;
        rest += may_change;
    }
    ck_assert_uint_eq(rest, sizeof free_to_change / sizeof *free_to_change);
    ck_assert_uint_gt(decide, 40);
    fkp_text_free(&before);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("settings");
    TCase *tests = tcase_create("settings");
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, network_and_loss);
    tcase_add_test(tests, optimiser_and_schedule);
    tcase_add_test(tests, augmentation_and_running);
    tcase_add_loop_test(tests, wrong_options_are_refused, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, a_description_has_what_decides);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
