/* One network, one process: latency or throughput, load time, cold start, peak memory, as one JSON line.
 *
 *   bench_network [--measure] MODEL THREADS BATCH RUNS [EXPECTED_INPUT EXPECTED_OUTPUT]
 *
 * MODEL is a weights file, or the name of an architecture for random weights. With --measure the load chooses
 * algorithms by the clock (facekp_load_options.measure), which load and cold start then contain. With two raw
 * float32 files the output for that input is compared, relative to the largest value. A process of its own
 * for each figure, because peak memory and cold start belong to processes. */
/* For madvise. */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <math.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "facekp/facekp.h"

static int fail(const char *what, const char *message) {
    fprintf(stderr, "bench_network: %s: %s\n", what, message);
    return EXIT_FAILURE;
}

static facekp_model *load(const char *name, bool measured, char *message, size_t message_size) {
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.measure = measured;
    options.message = message;
    options.message_size = message_size;
    static const char *const names[] = {"", "direct", "resnet18", "dino", "unet"};
    for (int32_t i = FACEKP_DIRECT; i <= FACEKP_UNET; i++)
        if (strcmp(name, names[i]) == 0) {
            options.architecture = i;
            options.random_weights = 1;
        }
    facekp_model *model;
    facekp_status status = facekp_model_load(options.random_weights ? NULL : name, &options, &model);
    return status == FACEKP_OK ? model : NULL;
}

/* On huge pages, as a session's own buffers are: faults of the caller's memory are not the library's time. A
 * byte of each page is touched and no more, since the system hands out zeros: a second clearing would be
 * counted in the cold start. */
static float *make_buffer(size_t count) {
    const size_t page = (size_t)2 << 20, bytes = (count * sizeof(float) + page - 1) / page * page;
    float *buffer = aligned_alloc(page, bytes);
    if (buffer == NULL) return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(buffer, bytes, MADV_HUGEPAGE);
#endif
    for (size_t at = 0; at < bytes; at += 4096) ((volatile char *)buffer)[at] = 0;
    return buffer;
}

/* The whole of a file of exactly so many numbers, else NULL: the first plane of another input would be
 * measured without a word. */
static float *read_floats(const char *path, size_t count) {
    float *values = malloc(count * sizeof *values);
    FILE *file = fopen(path, "rb");
    if (values == NULL || file == NULL || fread(values, sizeof *values, count, file) != count ||
        fgetc(file) != EOF) {
        free(values);
        values = NULL;
    }
    if (file != NULL) fclose(file);
    return values;
}

/* Largest difference over largest value, or -1 when the file cannot be read. */
static double relative_error(const char *path, const float *output, size_t count) {
    float *expected = read_floats(path, count);
    if (expected == NULL) return -1.0;
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)output[i] - (double)expected[i]));
        largest = fmax(largest, fabs((double)expected[i]));
    }
    free(expected);
    return largest > 0.0 ? worst / largest : worst;
}

typedef struct measurement {
    double start_ms, load_ms, cold_ms, error;
    long peak_mb; /* before the output is compared */
    double *times;
    int runs;
} measurement;

/* The measured loop; input and output hold `batch` images. Returns the status of the last run. */
static facekp_status measure(facekp_session *session, const float *input, float *output, size_t batch,
                             size_t output_floats, measurement *result) {
    facekp_status status = FACEKP_OK;
    for (int run = -WARM_UP; run < result->runs && status == FACEKP_OK; run++) {
        double begin = now_ms(CLOCK_MONOTONIC);
        status = facekp_session_run(session, input, batch, output, batch * output_floats);
        if (run >= 0) result->times[run] = now_ms(CLOCK_MONOTONIC) - begin;
        if (run == -WARM_UP) result->cold_ms = now_ms(CLOCK_MONOTONIC) - result->start_ms;
    }
    result->peak_mb = peak_mb();
    sort_times(result->times, result->runs);
    return status;
}

static void print_line(const char *name, int threads, int batch, const measurement *result,
                       size_t workspace) {
    printf("{\"runtime\": \"facekp\", \"net\": \"%s\", \"threads\": %d, \"batch\": %d, \"median_ms\": %.2f, "
           "\"min_ms\": %.2f, \"images_per_s\": %.1f, \"load_ms\": %.0f, \"cold_ms\": %.0f, \"rss_mb\": %ld, "
           "\"workspace_mb\": %.1f, \"rel_err\": %.1e}\n",
           name, threads, batch, result->times[result->runs / 2], result->times[0],
           1e3 * batch / result->times[result->runs / 2], result->load_ms, result->cold_ms, result->peak_mb,
           (double)workspace / 1048576.0, result->error);
}

int main(int count, char **arguments) {
    const double start = start_ms();
    const bool measured = count > 1 && strcmp(arguments[1], "--measure") == 0;
    if (measured) count--, arguments++;
    if (count != 5 && count != 7) return fail("usage", "[--measure] MODEL THREADS BATCH RUNS [INPUT OUTPUT]");
    int threads = atoi(arguments[2]), batch = atoi(arguments[3]);
    measurement result = {.start_ms = start, .runs = atoi(arguments[4])};
    if (threads < 1 || batch < 1 || result.runs < 1)
        return fail("usage", "THREADS, BATCH and RUNS are positive");

    char message[512] = "";
    const double load_begin = now_ms(CLOCK_MONOTONIC);
    facekp_model *model = load(arguments[1], measured, message, sizeof message);
    if (model == NULL) return fail(arguments[1], message);
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.batch = batch;
    facekp_session *session;
    facekp_status status = facekp_session_open(model, &options, &session);
    if (status != FACEKP_OK) return fail("session", facekp_status_string(status));
    result.load_ms = now_ms(CLOCK_MONOTONIC) - load_begin;

    facekp_model_info info = {.struct_size = sizeof info};
    status = facekp_model_get_info(model, &info);
    if (status != FACEKP_OK) return fail("info", facekp_status_string(status));
    size_t floats = facekp_model_output_count(model), batch_size = (size_t)batch;
    size_t pixels = (size_t)info.input_width * (size_t)info.input_height;
    float *input = calloc(batch_size * pixels, sizeof *input), *output = make_buffer(batch_size * floats);
    result.times = calloc((size_t)result.runs, sizeof *result.times);
    float *one = count == 7 ? read_floats(arguments[5], pixels) : NULL;
    if (input == NULL || output == NULL || result.times == NULL || (count == 7 && one == NULL))
        return fail("buffers", "no memory, or the input file is not one gray image of the size of the model");
    for (size_t i = 0; i < batch_size * pixels; i++)
        input[i] = one != NULL ? one[i % pixels] : (float)(i * 2654435761u % 1024) / 1024.0f;

    status = measure(session, input, output, batch_size, floats, &result);
    if (status != FACEKP_OK) return fail("run", facekp_session_message(session));
    if (count == 7) result.error = relative_error(arguments[6], output + (batch_size - 1) * floats, floats);
    print_line(info.architecture, threads, batch, &result, facekp_session_memory(session));

    free(one);
    free(input);
    free(output);
    free(result.times);
    facekp_session_free(session);
    facekp_model_free(model);
    return EXIT_SUCCESS;
}
