/* Fitting a file's tensors to a network's parameters: names and shapes checked, a first layer of three
 * channels made one of one channel.
 *
 * A gray image g stands for three equal channels, normalised as x_c = (g - m_c) / s_c. Then
 *     sum_c w_c * x_c = (sum_c w_c / s_c) * g - sum_c,k w_ck m_c / s_c,
 * one weight and a constant per output channel. The constant goes into the layer's bias, or, where a
 * BatchNorm follows, into its running mean. Inside the image this is exact. Over zero padding it is not:
 * there the original saw x = 0, and the fitted layer sees g = 0, which is x = -m / s. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/sort.h"
#include "weights/container.h"

#define LIST_BYTES 140 /* of a failure's message, for each of its three lists */
#define LINE_BYTES 400

static const double imagenet_mean[3] = {0.485, 0.456, 0.406};
static const double imagenet_deviation[3] = {0.229, 0.224, 0.225};

struct fkp_fit {
    fkp_memory memory;
    const fkp_weights *weights;
    const fkp_network *network;
    bool partial;
    const fkp_parameter *first;     /* weight of an adapted first layer, else NULL */
    const fkp_parameter *shifted;   /* the bias or running mean that takes the constant, else NULL */
    const double *mean, *deviation; /* NULL: no normalisation */
    float *fitted; /* the first layer's weights, one channel; the constants of its output channels follow */
    size_t fitted_count;
    const float *constant;
};

/* Names collected for a message: as many as fit, and how many there were. */
typedef struct name_list {
    char text[LIST_BYTES];
    size_t used, shown, count;
} name_list;

static void list_add(name_list *list, const char *entry) {
    list->count++;
    size_t length = strlen(entry), separator = list->shown == 0 ? 0 : 2;
    if (list->shown + 1 < list->count || list->used + separator + length >= sizeof list->text) return;
    memcpy(list->text + list->used, ", ", separator);
    memcpy(list->text + list->used + separator, entry, length + 1);
    list->used += separator + length;
    list->shown++;
}

typedef struct fit_report {
    name_list missing, misshapen, unused;
    size_t taken, counters;
    const fkp_fit_options *options;
} fit_report;

static void report_line(const fit_report *report, int32_t level, const char *line) {
    if (report->options != NULL && report->options->log != NULL)
        report->options->log(report->options->log_user, level, line);
}

static void report_missing(fit_report *report, const char *name) {
    char line[LINE_BYTES];
    list_add(&report->missing, name);
    snprintf(line, sizeof line, "%s: missing in the file", name);
    report_line(report, FACEKP_LOG_WARNING, line);
}

static void report_misshapen(fit_report *report, const fkp_parameter *parameter, const fkp_tensor *tensor) {
    char line[LINE_BYTES], theirs[120], ours[120];
    fkp_shape_text(tensor->shape, tensor->rank, theirs, sizeof theirs);
    fkp_shape_text(parameter->shape, parameter->rank, ours, sizeof ours);
    snprintf(line, sizeof line, "%s: %s in the file, %s in the network", parameter->name, theirs, ours);
    list_add(&report->misshapen, line);
    report_line(report, FACEKP_LOG_WARNING, line);
}

static void report_unused(fit_report *report, const char *name) {
    static const char counter[] = "num_batches_tracked";
    size_t length = strlen(name);
    if (length >= sizeof counter - 1 && strcmp(name + length - (sizeof counter - 1), counter) == 0) {
        report->counters++;
        return;
    }
    char line[LINE_BYTES];
    list_add(&report->unused, name);
    snprintf(line, sizeof line, "%.300s: not used by the network", name);
    report_line(report, FACEKP_LOG_INFO, line);
}

/* ---- the first layer ---- */

static const fkp_parameter *parameter_of(const fkp_network *network, int32_t layer, fkp_role role) {
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (network->parameters[i].layer == layer && network->parameters[i].role == role)
            return &network->parameters[i];
    return NULL;
}

/* True for the weight of a convolution that reads the network's input of one channel. */
static bool reads_gray_input(const fkp_network *network, const fkp_parameter *parameter) {
    const fkp_layer *layer = &network->layers[parameter->layer];
    return layer->kind == FKP_LAYER_CONVOLUTION && parameter->role == FKP_ROLE_WEIGHT &&
           parameter->rank == 4 && parameter->shape[1] == 1 && layer->inputs[0] >= 0 &&
           network->layers[layer->inputs[0]].kind == FKP_LAYER_INPUT;
}

static bool same_shape(const fkp_parameter *parameter, const fkp_tensor *tensor) {
    if (parameter->rank != tensor->rank) return false;
    for (int32_t i = 0; i < parameter->rank; i++)
        if (parameter->shape[i] != tensor->shape[i]) return false;
    return true;
}

static bool three_channels(const fkp_network *network, const fkp_parameter *parameter,
                           const fkp_tensor *tensor) {
    return reads_gray_input(network, parameter) && tensor->rank == 4 && tensor->shape[1] == 3 &&
           tensor->shape[0] == parameter->shape[0] && tensor->shape[2] == parameter->shape[2] &&
           tensor->shape[3] == parameter->shape[3];
}

/* The parameter that can take a constant added to each channel of the layer, or NULL. */
static const fkp_parameter *constant_place(const fkp_network *network, int32_t layer) {
    const fkp_parameter *bias = parameter_of(network, layer, FKP_ROLE_BIAS);
    if (bias != NULL) return bias;
    for (int32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].kind == FKP_LAYER_BATCH_NORM && network->layers[i].inputs[0] == layer)
            return parameter_of(network, i, FKP_ROLE_RUNNING_MEAN);
    return NULL;
}

static facekp_status choose_normalization(fkp_fit *fit, const fkp_fit_options *options, fkp_error *error) {
    int32_t normalization = options == NULL ? FACEKP_NORMALIZATION_DEFAULT : options->normalization;
    if (normalization == FACEKP_NORMALIZATION_DEFAULT) {
        const char *text = fkp_weights_metadata(fit->weights, "normalization");
        if (text == NULL || strcmp(text, "imagenet") == 0)
            normalization = FACEKP_NORMALIZATION_IMAGENET;
        else if (strcmp(text, "none") == 0)
            normalization = FACEKP_NORMALIZATION_NONE;
        else
            return fkp_fail(error, FACEKP_ERROR_FORMAT,
                            "metadata normalization is \"%.60s\"; \"imagenet\" and \"none\" are known", text);
    }
    if (normalization == FACEKP_NORMALIZATION_IMAGENET) {
        fit->mean = imagenet_mean;
        fit->deviation = imagenet_deviation;
    } else if (normalization != FACEKP_NORMALIZATION_NONE)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "normalization is %d; FACEKP_NORMALIZATION_… is 0 to 2",
                        (int)normalization);
    return FACEKP_OK;
}

/* Sums the three channels of an output channel's 3 x K weights into K, and tells the constant. */
static float fit_channel(const fkp_fit *fit, const float *weights, size_t taps, float *sums) {
    double constant = 0.0;
    for (size_t k = 0; k < taps; k++) {
        double sum = 0.0;
        for (size_t c = 0; c < 3; c++) {
            double weight = (double)weights[c * taps + k];
            double scaled = fit->deviation == NULL ? weight : weight / fit->deviation[c];
            sum += scaled;
            if (fit->mean != NULL) constant -= scaled * fit->mean[c];
        }
        sums[k] = (float)sum;
    }
    return (float)constant;
}

/* The first layer of three channels, O x 3 x K, as one of one. */
static facekp_status fit_first_layer(fkp_fit *fit, const fkp_tensor *tensor, fkp_error *error) {
    size_t outputs = tensor->shape[0], taps = tensor->shape[2] * tensor->shape[3];
    float *weights = fkp_allocate_raw(&fit->memory, tensor->count, sizeof *weights);
    fit->fitted_count = outputs * (taps + 1);
    fit->fitted = fkp_allocate_raw(&fit->memory, fit->fitted_count, sizeof *fit->fitted);
    facekp_status status = FACEKP_OK;
    if (weights == NULL || fit->fitted == NULL)
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to fit the first layer");
    if (status == FACEKP_OK)
        status = fkp_weights_read(fit->weights, tensor, 0, tensor->count, weights, error);
    if (status == FACEKP_OK) {
        float *constant = fit->fitted + outputs * taps;
        for (size_t o = 0; o < outputs; o++)
            constant[o] = fit_channel(fit, weights + o * 3 * taps, taps, fit->fitted + o * taps);
        fit->constant = constant;
    }
    fkp_release(&fit->memory, weights, tensor->count, sizeof *weights);
    return status;
}

static facekp_status adapt_first_layer(fkp_fit *fit, const fkp_parameter *parameter, const fkp_tensor *tensor,
                                       fit_report *report, fkp_error *error) {
    char line[LINE_BYTES];
    fit->first = parameter;
    snprintf(line, sizeof line, "%s: 3 channels in the file, fitted to gray images%s", parameter->name,
             fit->mean != NULL ? " with ImageNet's mean and deviation" : "");
    report_line(report, FACEKP_LOG_INFO, line);
    if (fit->mean != NULL) fit->shifted = constant_place(fit->network, parameter->layer);
    if (fit->mean != NULL && fit->shifted == NULL)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "%s: neither a bias nor a BatchNorm can take the normalisation's constant",
                        parameter->name);
    return fit_first_layer(fit, tensor, error);
}

/* ---- checking ---- */

static facekp_status check_parameters(fkp_fit *fit, fit_report *report, fkp_error *error) {
    for (int32_t i = 0; i < fit->network->parameter_count; i++) {
        const fkp_parameter *parameter = &fit->network->parameters[i];
        const fkp_tensor *tensor = fkp_weights_find(fit->weights, parameter->name);
        facekp_status status = FACEKP_OK;
        if (tensor == NULL)
            report_missing(report, parameter->name);
        else if (same_shape(parameter, tensor))
            report->taken++;
        else if (three_channels(fit->network, parameter, tensor)) {
            report->taken++;
            status = adapt_first_layer(fit, parameter, tensor, report, error);
        } else
            report_misshapen(report, parameter, tensor);
        if (status != FACEKP_OK) return status;
    }
    return FACEKP_OK;
}

static int compare_parameter_names(const void *context, uint32_t a, uint32_t b) {
    const fkp_parameter *parameters = context;
    return strcmp(parameters[a].name, parameters[b].name);
}

/* Both lists sorted by name, gone through side by side. */
static facekp_status check_unused(const fkp_fit *fit, fit_report *report, fkp_error *error) {
    size_t count = (size_t)fit->network->parameter_count;
    uint32_t *order = fkp_allocate(&fit->memory, count, sizeof *order);
    if (order == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to compare names");
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    fkp_sort(order, count, compare_parameter_names, fit->network->parameters);
    for (size_t i = 0, at = 0; i < fit->weights->count; i++) {
        const char *name = fit->weights->tensors[fit->weights->by_name[i]].name;
        while (at < count && strcmp(fit->network->parameters[order[at]].name, name) < 0) at++;
        if (at == count || strcmp(fit->network->parameters[order[at]].name, name) != 0)
            report_unused(report, name);
    }
    fkp_release(&fit->memory, order, count, sizeof *order);
    if (report->counters != 0) {
        char line[LINE_BYTES];
        snprintf(line, sizeof line, "%zu num_batches_tracked counters: not used", report->counters);
        report_line(report, FACEKP_LOG_INFO, line);
    }
    return FACEKP_OK;
}

/* "2 missing: a, b, …" or nothing. */
static void list_text(const name_list *list, const char *what, char *text, size_t size) {
    text[0] = '\0';
    if (list->count == 0) return;
    snprintf(text, size, "; %zu %s: %s%s", list->count, what, list->text,
             list->shown == list->count ? ""
             : list->shown == 0         ? "…"
                                        : ", …");
}

static facekp_status conclude(const fkp_fit *fit, const fit_report *report, fkp_error *error) {
    char missing[LIST_BYTES + 60], misshapen[LIST_BYTES + 60], unused[LIST_BYTES + 60];
    const char *network = fkp_architecture_name(fit->network->architecture);
    bool fits = report->missing.count == 0 && report->misshapen.count == 0;
    if (fits || (fit->partial && report->taken != 0)) return FACEKP_OK;
    list_text(&report->missing, "missing", missing, sizeof missing);
    list_text(&report->misshapen, "of another shape", misshapen, sizeof misshapen);
    list_text(&report->unused, "unknown", unused, sizeof unused);
    return fkp_fail(error, FACEKP_ERROR_TENSOR, "the tensors do not fit the %s network%s%s%s",
                    network == NULL ? "" : network, misshapen, missing, unused);
}

static facekp_status check(fkp_fit *fit, const fkp_fit_options *options, fkp_error *error) {
    fit_report report = {.options = options};
    facekp_status status = choose_normalization(fit, options, error);
    if (status == FACEKP_OK) status = check_parameters(fit, &report, error);
    if (status == FACEKP_OK) status = check_unused(fit, &report, error);
    return status == FACEKP_OK ? conclude(fit, &report, error) : status;
}

facekp_status fkp_fit_create(const fkp_memory *memory, const fkp_weights *weights, const fkp_network *network,
                             const fkp_fit_options *options, fkp_fit **result, fkp_error *error) {
    *result = NULL;
    fkp_fit *fit = fkp_allocate(memory, 1, sizeof *fit);
    if (fit == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to fit the weights");
    fit->memory = *memory;
    fit->weights = weights;
    fit->network = network;
    fit->partial = options != NULL && options->partial;
    facekp_status status = check(fit, options, error);
    if (status != FACEKP_OK) {
        fkp_fit_free(fit);
        return status;
    }
    *result = fit;
    return FACEKP_OK;
}

void fkp_fit_free(fkp_fit *fit) {
    if (fit == NULL) return;
    fkp_memory memory = fit->memory;
    fkp_release(&memory, fit->fitted, fit->fitted_count, sizeof *fit->fitted);
    fkp_release(&memory, fit, 1, sizeof *fit);
}

/* ---- reading ---- */

/* A bias takes the constant as it is; a running mean, which is subtracted, takes its negative. */
static void add_constant(const fkp_fit *fit, size_t first, size_t count, float *values) {
    float sign = fit->shifted->role == FKP_ROLE_RUNNING_MEAN ? -1.0f : 1.0f;
    for (size_t i = 0; i < count; i++) values[i] += sign * fit->constant[first + i];
}

/* Whether all of `count` numbers are finite: the exponent of no other is all ones. Without a branch, so that
 * the loop is vectorised: a file's every number passes through here. */
static bool all_finite(const float *values, size_t count) {
    const uint32_t exponent = UINT32_C(0x7f800000);
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return bad == 0;
}

static facekp_status check_finite(const fkp_parameter *parameter, size_t first, size_t count,
                                  const float *values, fkp_error *error) {
    if (all_finite(values, count)) return FACEKP_OK;
    size_t i = 0;
    while (isfinite(values[i])) i++;
    return fkp_fail(error, FACEKP_ERROR_VALUE, "%s: number %zu is %s", parameter->name, first + i,
                    isnan(values[i]) ? "NaN" : "infinite");
}

static bool is_parameter(const fkp_parameter *known, const fkp_parameter *parameter) {
    return known != NULL && strcmp(known->name, parameter->name) == 0;
}

const float *fkp_fit_read(const fkp_fit *fit, const fkp_parameter *parameter, size_t first, size_t count,
                          float *values, fkp_error *error) {
    const fkp_tensor *tensor = fkp_weights_find(fit->weights, parameter->name);
    bool fitted = is_parameter(fit->first, parameter);
    if (tensor == NULL || !(fitted || same_shape(parameter, tensor))) {
        if (fit->partial && error != NULL) error->status = FACEKP_OK;
        if (!fit->partial) fkp_fail(error, FACEKP_ERROR_TENSOR, "%s: not in the file", parameter->name);
        return NULL;
    }
    if (fitted)
        memcpy(values, fit->fitted + first, count * sizeof *values);
    else if (fkp_weights_read(fit->weights, tensor, first, count, values, error) != FACEKP_OK)
        return NULL;
    if (is_parameter(fit->shifted, parameter)) add_constant(fit, first, count, values);
    return check_finite(parameter, first, count, values, error) == FACEKP_OK ? values : NULL;
}

static const float *source_read(void *user, const fkp_parameter *parameter, size_t first, size_t count,
                                float *room, fkp_error *error) {
    return fkp_fit_read(user, parameter, first, count, room, error);
}

fkp_weight_source fkp_fit_source(const fkp_fit *fit) {
    return (fkp_weight_source){.user = (void *)(uintptr_t)fit, .read = source_read};
}
