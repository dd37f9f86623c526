#include "train/settings.h"

#include <math.h>
#include <string.h>

#define DEFAULT_EPOCHS 25
#define DEFAULT_BATCH 16
#define DEFAULT_HELD_OUT 0.1
#define DEFAULT_RATE 1e-3
#define MAX_EPOCHS 100000
#define MAX_BATCH 1024

static facekp_status fail_option(fkp_error *error, const char *option, const char *text,
                                 const char *expected) {
    return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "option %s is \"%.60s\"; it must be %s", option, text,
                    expected);
}

facekp_status fkp_settings_choose(const char *option, const char *text, const char *const *names,
                                  int32_t otherwise, int32_t *choice, fkp_error *error) {
    *choice = otherwise;
    if (text == NULL) return FACEKP_OK;
    char expected[256] = "one of";
    size_t used = strlen(expected);
    for (int32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *choice = i;
            return FACEKP_OK;
        }
        size_t length = strlen(names[i]);
        if (used + length + 2 < sizeof expected) {
            expected[used] = ' ';
            memcpy(expected + used + 1, names[i], length + 1);
            used += length + 1;
        }
    }
    return fail_option(error, option, text, expected);
}

static facekp_status check_integers(const facekp_train_options *o, fkp_error *error) {
    const struct {
        const char *name;
        int32_t value, highest;
    } limits[] = {{"keypoints", o->keypoints, FKP_MAX_KEYPOINTS},
                  {"width", o->width, 1024},
                  {"input_size", o->input_size, 4096},
                  {"dimension", o->dimension, 8192},
                  {"depth", o->depth, 64},
                  {"heads", o->heads, 256},
                  {"epochs", o->epochs, MAX_EPOCHS},
                  {"batch", o->batch, MAX_BATCH},
                  {"accumulate", o->accumulate, MAX_BATCH},
                  {"loader_threads", o->loader_threads, 16},
                  {"patience", o->patience, MAX_EPOCHS},
                  {"checkpoint_steps", o->checkpoint_steps, INT32_MAX}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value < 0 || limits[i].value > limits[i].highest)
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "option %s is %d; it must be 0 to %d",
                            limits[i].name, (int)limits[i].value, (int)limits[i].highest);
    return FACEKP_OK;
}

/* ---- network ---- */

static facekp_status read_variant(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    static const char *const activations[] = {"elu", "relu", NULL};
    static const char *const heads[] = {"query", "flatten", NULL};
    int32_t choice;
    facekp_status status = FACEKP_OK;
    if (s->network.architecture == FACEKP_DIRECT) {
        status = fkp_settings_choose("variant", o->variant, activations, 0, &choice, error);
        s->network.activation = choice == 1 ? FKP_ACTIVATION_RELU : FKP_ACTIVATION_ELU;
    } else if (s->network.architecture == FACEKP_DINO) {
        status = fkp_settings_choose("variant", o->variant, heads, 0, &choice, error);
        s->network.head = choice == 1 ? FKP_DINO_FLATTEN : FKP_DINO_QUERY;
    } else if (o->variant != NULL) {
        status = fail_option(error, "variant", o->variant, "left out for this architecture");
    }
    return status;
}

static facekp_status read_network(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    if (o->architecture == NULL)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "option architecture is needed: direct, resnet18, dino, unet");
    int32_t architecture = fkp_architecture_named(o->architecture), choice;
    if (architecture == FACEKP_ARCHITECTURE_AUTO)
        return fail_option(error, "architecture", o->architecture, "one of direct resnet18 dino unet");
    s->network = (fkp_network_options){.architecture = architecture,
                                       .width = (size_t)o->width,
                                       .keypoints = (size_t)o->keypoints,
                                       .input_size = (size_t)o->input_size,
                                       .dimension = (size_t)o->dimension,
                                       .depth = (size_t)o->depth,
                                       .heads = (size_t)o->heads};
    s->keypoints = o->keypoints == 0 ? FACEKP_KEYPOINTS : (size_t)o->keypoints;
    facekp_status status = read_variant(o, s, error);
    if (status != FACEKP_OK) return status;
    static const char *const normalizations[] = {"none", "imagenet", NULL};
    static const int32_t normalization_of[] = {FACEKP_NORMALIZATION_NONE, FACEKP_NORMALIZATION_IMAGENET};
    status = fkp_settings_choose("normalization", o->normalization, normalizations, -1, &choice, error);
    s->normalization = choice < 0 ? FACEKP_NORMALIZATION_DEFAULT : normalization_of[choice];
    return status;
}

/* ---- loss ---- */

static facekp_status read_loss(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    bool heatmaps = s->network.architecture == FACEKP_UNET;
    fkp_loss_kind kind = heatmaps ? FKP_LOSS_CROSS_ENTROPY : FKP_LOSS_SMOOTH_L1;
    if (o->loss != NULL) kind = fkp_loss_named(o->loss);
    if (kind == FKP_LOSS_KINDS)
        return fail_option(error, "loss", o->loss,
                           "smooth-l1, mse, l1, wing, soft-wing, cross-entropy, bce or heatmap-mse");
    if (fkp_loss_is_heatmap(kind) != heatmaps)
        return fail_option(error, "loss", o->loss,
                           heatmaps ? "one for heatmaps: cross-entropy, bce, heatmap-mse"
                                    : "one for coordinates: smooth-l1, mse, l1, wing, soft-wing");
    const double values[] = {o->loss_beta,      o->loss_width,    o->loss_threshold,
                             o->loss_curvature, o->heatmap_sigma, o->integral};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!(values[i] >= 0.0 && values[i] <= 1e4))
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a constant of the loss is %g; it must be 0 to 1e4",
                            values[i]);
    s->loss = (fkp_loss){.kind = kind,
                         .beta = (float)o->loss_beta,
                         .width = (float)o->loss_width,
                         .threshold = (float)o->loss_threshold,
                         .curvature = (float)o->loss_curvature,
                         .sigma = (float)o->heatmap_sigma,
                         .integral = (float)o->integral};
    return FACEKP_OK;
}

/* ---- optimiser ---- */

/* A piece of a text: [begin, end). */
typedef struct span {
    const char *begin, *end;
} span;

/* One item of a list, up to the separator, blanks at its ends taken off; false at the end of the list. */
static bool next_item(const char **cursor, const char *list_end, char separator, span *item) {
    if (*cursor > list_end) return false;
    item->begin = *cursor;
    item->end = memchr(item->begin, separator, (size_t)(list_end - item->begin));
    if (item->end == NULL) item->end = list_end;
    *cursor = item->end + 1;
    while (item->begin < item->end && *item->begin == ' ') item->begin++;
    while (item->end > item->begin && item->end[-1] == ' ') item->end--;
    return true;
}

static bool read_epoch(span item, int32_t lowest, int32_t *epoch) {
    double value;
    if (!fkp_parse_number(item.begin, item.end, &value)) return false;
    if (!(value >= lowest && value <= MAX_EPOCHS) || value != floor(value)) return false;
    *epoch = (int32_t)value;
    return true;
}

/* PATTERN:RATE[:EPOCH[:nodecay]] */
static bool read_group(span text, fkp_parameter_group *group) {
    span parts[4];
    size_t count = 0;
    const char *cursor = text.begin;
    for (span part; next_item(&cursor, text.end, ':', &part); count++) {
        if (count == 4) return false;
        parts[count] = part;
    }
    size_t length = (size_t)(parts[0].end - parts[0].begin);
    memset(group, 0, sizeof *group);
    if (count < 2 || length == 0 || length >= sizeof group->pattern) return false;
    memcpy(group->pattern, parts[0].begin, length);
    if (!fkp_parse_number(parts[1].begin, parts[1].end, &group->rate_factor)) return false;
    if (!(group->rate_factor >= 0.0 && group->rate_factor <= 1e6)) return false;
    if (count > 2 && !read_epoch(parts[2], 0, &group->frozen_epochs)) return false;
    group->without_decay = count > 3;
    return count < 4 || (parts[3].end - parts[3].begin == 7 && memcmp(parts[3].begin, "nodecay", 7) == 0);
}

static facekp_status read_groups(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    if (o->groups == NULL) return FACEKP_OK;
    const char *cursor = o->groups, *end = cursor + strlen(cursor);
    for (span item; next_item(&cursor, end, ',', &item); s->group_count++)
        if (s->group_count == FKP_MAX_GROUPS || !read_group(item, &s->groups[s->group_count]))
            return fail_option(error, "groups", o->groups,
                               "at most 32 of PATTERN:RATE[:EPOCH[:nodecay]], with commas");
    return FACEKP_OK;
}

static facekp_status read_optimiser(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    static const char *const names[] = {"adam", "adamw", "sgd", NULL};
    int32_t kind;
    facekp_status status =
        fkp_settings_choose("optimiser", o->optimiser, names, FKP_OPTIMISER_ADAM, &kind, error);
    if (status != FACEKP_OK) return status;
    s->optimiser = (fkp_optimiser_options){.kind = (fkp_optimiser_kind)kind,
                                           .momentum = o->momentum,
                                           .weight_decay = o->weight_decay,
                                           .clip_norm = o->clip_norm,
                                           .ema_decay = o->ema_decay};
    return read_groups(o, s, error);
}

/* ---- schedule ---- */

static facekp_status read_milestones(const facekp_train_options *o, fkp_schedule *schedule,
                                     fkp_error *error) {
    if (o->milestones == NULL) return FACEKP_OK;
    const char *cursor = o->milestones, *end = cursor + strlen(cursor);
    for (span item; next_item(&cursor, end, ',', &item); schedule->milestone_count++)
        if (schedule->milestone_count == FKP_MAX_MILESTONES ||
            !read_epoch(item, 1, &schedule->milestones[schedule->milestone_count]))
            return fail_option(error, "milestones", o->milestones, "at most 16 rising epochs, with commas");
    return FACEKP_OK;
}

static facekp_status read_schedule(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    fkp_schedule_kind kind = o->schedule == NULL ? FKP_SCHEDULE_CONSTANT : fkp_schedule_named(o->schedule);
    if (kind == FKP_SCHEDULE_KINDS)
        return fail_option(error, "schedule", o->schedule, "constant, multistep, cosine or one-cycle");
    s->schedule = (fkp_schedule){.kind = kind,
                                 .rate = o->learning_rate == 0.0 ? DEFAULT_RATE : o->learning_rate,
                                 .epochs = o->epochs == 0 ? DEFAULT_EPOCHS : o->epochs,
                                 .steps_per_epoch = 1,
                                 .factor = o->schedule_factor,
                                 .minimum = o->schedule_minimum,
                                 .warm_up = o->warm_up};
    facekp_status status = read_milestones(o, &s->schedule, error);
    return status == FACEKP_OK ? fkp_schedule_check(&s->schedule, error) : status;
}

/* ---- the rest ---- */

static facekp_status read_augment(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    s->augment = (fkp_augment){.random_crop = o->random_crop != 0,
                               .shift = (float)o->shift,
                               .zoom = (float)o->zoom,
                               .rotation = (float)o->rotation,
                               .flip = (float)o->flip,
                               .brightness = (float)o->brightness,
                               .contrast = (float)o->contrast,
                               .gamma = (float)o->gamma,
                               .blur = (float)o->blur,
                               .blur_sigma = (float)o->blur_sigma,
                               .noise = (float)o->noise,
                               .occlusion = (float)o->occlusion,
                               .occlusion_side = (float)o->occlusion_side,
                               .label_bias = {(float)o->label_bias_x, (float)o->label_bias_y}};
    const double biases[] = {o->label_bias_x, o->label_bias_y, o->extra_label_bias_x, o->extra_label_bias_y};
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++)
        if (!(fabs(biases[i]) <= 50.0))
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a label bias is %g pixels; at most 50 is sensible",
                            biases[i]);
    return fkp_augment_check(&s->augment, s->keypoints, error);
}

static facekp_status read_running(const facekp_train_options *o, fkp_settings *s, fkp_error *error) {
    static const char *const splits[] = {"person", "video", "none", NULL};
    static const char *const metrics[] = {"mse", "nme", "loss", NULL};
    static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
    static const fkp_dtype dtype_of[] = {FKP_F32, FKP_F16, FKP_BF16};
    int32_t split, metric, dtype;
    facekp_status status = fkp_settings_choose("split", o->split, splits, FKP_HOLD_OUT_PERSON, &split, error);
    if (status == FACEKP_OK)
        status = fkp_settings_choose("metric", o->metric, metrics, FKP_BEST_MSE, &metric, error);
    if (status == FACEKP_OK)
        status = fkp_settings_choose("output_dtype", o->output_dtype, dtypes, 0, &dtype, error);
    if (status != FACEKP_OK) return status;
    s->hold_out = (fkp_hold_out)split;
    s->metric = (fkp_best_metric)metric;
    s->output_dtype = dtype_of[dtype];
    s->held_out = o->held_out == 0.0 ? DEFAULT_HELD_OUT : o->held_out;
    s->batch = o->batch == 0 ? DEFAULT_BATCH : (size_t)o->batch;
    s->accumulate = o->accumulate == 0 ? 1 : (size_t)o->accumulate;
    if (o->resume != 0 && o->checkpoint == NULL)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "option resume needs a checkpoint to go on from");
    if (s->batch * s->accumulate > MAX_BATCH)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "batch times accumulate is %zu; at most %d",
                        s->batch * s->accumulate, MAX_BATCH);
    return FACEKP_OK;
}

facekp_status fkp_settings_read(const facekp_train_options *options, fkp_settings *settings,
                                fkp_error *error) {
    *settings = (fkp_settings){0};
    facekp_status status = check_integers(options, error);
    if (status == FACEKP_OK) status = read_network(options, settings, error);
    if (status == FACEKP_OK) status = read_loss(options, settings, error);
    if (status == FACEKP_OK) status = read_optimiser(options, settings, error);
    if (status == FACEKP_OK) status = read_schedule(options, settings, error);
    if (status == FACEKP_OK) status = read_augment(options, settings, error);
    if (status == FACEKP_OK) status = read_running(options, settings, error);
    return status;
}
