#include "facekp/session.h"

#include "base/checked.h"
#include "base/structs.h"

/* ---- threads of the host ---- */

/* A task that runs with the library's floating-point state on whatever thread the host gives it. Threads of
 * the pool's own need no such wrapper: they inherit the state in which the session was opened. */
typedef struct wrapped_task {
    facekp_task task;
    void *argument;
} wrapped_task;

static void run_wrapped(void *argument, size_t index) {
    const wrapped_task *wrapped = argument;
    fkp_floating floating = fkp_floating_begin(true);
    wrapped->task(wrapped->argument, index);
    fkp_floating_end(floating);
}

static void run_on_host(void *user, size_t count, facekp_task task, void *argument) {
    const facekp_session *session = user;
    wrapped_task wrapped = {task, argument};
    session->parallel_for(session->parallel_user, count, run_wrapped, &wrapped);
}

/* ---- opening ---- */

static facekp_status allocate_batch(facekp_session *session, fkp_error *error) {
    const fkp_memory *memory = &session->memory;
    const size_t batch = session->batch;
    size_t crops, raw;
    if (!fkp_checked_multiply(batch, session->input_floats, &crops) ||
        !fkp_checked_multiply(batch, session->output_floats, &raw))
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "a batch of %zu is larger than the address space", batch);
    session->faces = fkp_allocate(memory, batch, sizeof *session->faces);
    session->crops = fkp_allocate_raw(memory, crops, sizeof *session->crops);
    session->raw = fkp_allocate_raw(memory, raw, sizeof *session->raw);
    session->points = fkp_allocate(memory, batch * 2 * session->keypoints, sizeof *session->points);
    session->confidences = fkp_allocate(memory, batch * session->keypoints, sizeof *session->confidences);
    if (session->faces == NULL || session->crops == NULL || session->raw == NULL || session->points == NULL ||
        session->confidences == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a batch of %zu", batch);
    return FACEKP_OK;
}

static facekp_status open_session(facekp_session *session, const facekp_session_options *options,
                                  fkp_error *error) {
    const fkp_network *network = session->model->network;
    session->parallel_for = options->parallel_for;
    session->parallel_user = options->parallel_user;
    session->batch = options->batch == 0 ? 1 : (size_t)options->batch;
    session->input_size = (int32_t)network->layers[0].shape.width;
    session->input_floats = fkp_shape_floats(network->layers[0].shape);
    session->output_floats = facekp_model_output_count(session->model);
    session->keypoints = network->keypoints;
    facekp_status status =
        fkp_pool_create(&session->memory, options->threads,
                        options->parallel_for == NULL ? NULL : run_on_host, session, &session->pool, error);
    if (status == FACEKP_OK)
        status = fkp_workspace_create(&session->memory, session->model->program, session->batch,
                                      session->pool, &session->workspace, error);
    if (status == FACEKP_OK) status = allocate_batch(session, error);
    return status;
}

static facekp_status check_options(const facekp_session_options *options, facekp_allocator *allocator) {
    facekp_status status =
        fkp_struct_read(options->allocator, allocator, sizeof *allocator, "facekp_allocator", NULL);
    if (status != FACEKP_OK) return status;
    if (options->allocator != NULL && (allocator->allocate == NULL || allocator->release == NULL))
        return FACEKP_ERROR_ARGUMENT;
    if (options->batch < 0 || options->batch > FKP_MAX_BATCH) return FACEKP_ERROR_ARGUMENT;
    return FACEKP_OK;
}

facekp_status facekp_session_open(facekp_model *model, const facekp_session_options *given,
                                  facekp_session **result) {
    if (result == NULL) return FACEKP_ERROR_ARGUMENT;
    *result = NULL;
    if (model == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_session_options options;
    facekp_allocator allocator;
    facekp_status status = fkp_struct_read(given, &options, sizeof options, "facekp_session_options", NULL);
    if (status == FACEKP_OK) status = check_options(&options, &allocator);
    if (status != FACEKP_OK) return status;

    const fkp_memory memory = options.allocator == NULL ? model->memory : fkp_memory_from(&allocator);
    facekp_session *session = fkp_allocate(&memory, 1, sizeof *session);
    if (session == NULL) return FACEKP_ERROR_MEMORY;
    session->memory = memory;
    session->model = model;
    fkp_model_hold(model);
    fkp_floating floating = fkp_floating_begin(true);
    status = open_session(session, &options, &session->error);
    fkp_floating_end(floating);
    if (status != FACEKP_OK) {
        facekp_session_free(session);
        return status;
    }
    *result = session;
    return FACEKP_OK;
}

void facekp_session_free(facekp_session *session) {
    if (session == NULL) return;
    const fkp_memory memory = session->memory;
    const size_t batch = session->batch;
    fkp_release(&memory, session->faces, batch, sizeof *session->faces);
    fkp_release(&memory, session->crops, batch * session->input_floats, sizeof *session->crops);
    fkp_release(&memory, session->raw, batch * session->output_floats, sizeof *session->raw);
    fkp_release(&memory, session->points, batch * 2 * session->keypoints, sizeof *session->points);
    fkp_release(&memory, session->confidences, batch * session->keypoints, sizeof *session->confidences);
    fkp_workspace_free(session->workspace);
    fkp_pool_free(session->pool);
    fkp_model_release(session->model);
    fkp_release(&memory, session, 1, sizeof *session);
}

const char *facekp_session_message(const facekp_session *session) {
    return session == NULL ? "" : session->error.message;
}

size_t facekp_session_memory(const facekp_session *session) {
    if (session == NULL) return 0;
    const size_t floats =
        session->input_floats + session->output_floats + 3 * session->keypoints; /* of one face */
    return sizeof *session + fkp_workspace_bytes(session->workspace) +
           session->batch * (sizeof *session->faces + floats * sizeof(float));
}

/* ---- running ---- */

void fkp_session_compute(facekp_session *session, const float *input, size_t count, float *output) {
    for (size_t done = 0; done < count;) {
        const size_t now = fkp_min_size(count - done, session->batch);
        fkp_workspace_run(session->workspace, input + done * session->input_floats, now,
                          output + done * session->output_floats);
        done += now;
    }
}

facekp_status facekp_session_run(facekp_session *session, const float *input, size_t count, float *output,
                                 size_t output_floats) {
    if (session == NULL) return FACEKP_ERROR_ARGUMENT;
    if (input == NULL || output == NULL || count == 0)
        return fkp_fail(&session->error, FACEKP_ERROR_ARGUMENT,
                        "input and output must not be NULL, count not 0");
    size_t needed;
    if (!fkp_checked_multiply(count, session->output_floats, &needed) || output_floats < needed)
        return fkp_fail(&session->error, FACEKP_ERROR_BUFFER,
                        "output has room for %zu floats; %zu images need %zu each", output_floats, count,
                        session->output_floats);
    fkp_floating floating = fkp_floating_begin(true);
    fkp_session_compute(session, input, count, output);
    fkp_floating_end(floating);
    return FACEKP_OK;
}
