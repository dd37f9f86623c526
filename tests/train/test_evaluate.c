/* For mkdtemp. */
#define _POSIX_C_SOURCE 200809L
/* Reports against predictions made and measured by hand, their pictures, and rendered data sets. */
#include "facekp/train.h"

#include "support.h"
#include "support/failing_allocator.h"
#include "support/small_model.h"
#include "support/whole_file.h"
#include "train/data/augment.h"
#include "train/plot/figures.h"

/* Pictures of 250 pixels: the preprocessing of record cuts 13 off each side and changes nothing else. */
enum { FACES = 6, SIDE = 250, EDGE = 13, COORDINATES = 136 };

static char folder[PATH_BYTES], csv[PATH_BYTES], images[PATH_BYTES], model[SMALL_PATH_BYTES];
static const fkp_metadata bias = {"label_bias_px", "2.0,1.5"};

static facekp_status synthesize(const char *into, int64_t count, int32_t threads) {
    facekp_train_synthesis synthesis;
    facekp_train_synthesis_init(&synthesis, sizeof synthesis);
    synthesis.folder = into;
    synthesis.count = count;
    synthesis.seed = 3;
    synthesis.threads = threads;
    return facekp_train_synth(&synthesis);
}

static void make_faces(void) {
    scratch_folder(folder);
    ck_assert_int_eq(synthesize(folder, FACES, 2), FACEKP_OK);
    join_path(csv, folder, "faces.csv");
    join_path(images, folder, "faces");
    small_model_write(&small_dino, &bias, 1, NULL, model);
}

static void remove_faces(void) {
    remove_folder(folder);
    unlink(model);
}

static facekp_train_evaluation evaluation_of(const char *weights) {
    facekp_train_evaluation evaluation;
    facekp_train_evaluation_init(&evaluation, sizeof evaluation);
    evaluation.model = weights;
    evaluation.csv = csv;
    evaluation.batch = 4;
    return evaluation;
}

static facekp_train_report *report_of(const facekp_train_evaluation *given) {
    char message[512] = "";
    facekp_train_evaluation evaluation = *given;
    evaluation.message = message;
    evaluation.message_size = sizeof message;
    facekp_train_report *report;
    facekp_status status = facekp_train_evaluate(&evaluation, &report);
    ck_assert_msg(status == FACEKP_OK, "%s", message);
    return report;
}

static facekp_train_metrics metrics_of(const facekp_train_evaluation *evaluation) {
    facekp_train_report *report = report_of(evaluation);
    facekp_train_metrics metrics = {.struct_size = sizeof metrics};
    ck_assert_int_eq(facekp_train_report_get_metrics(report, &metrics), FACEKP_OK);
    facekp_train_report_free(report);
    return metrics;
}

/* ---- against predictions by hand ---- */

/* A face of the data set, in pixels of its image, and mirrored if asked. */
static void read_face(size_t face, facekp_picture **picture, float points[COORDINATES]) {
    char path[PATH_BYTES], name[64];
    const fkp_memory memory = fkp_memory_from(NULL);
    snprintf(name, sizeof name, "face%06zu_00.png", face);
    join_path(path, images, name);
    ck_assert_int_eq(fkp_png_read(&memory, path, 1, picture, NULL), FACEKP_OK);
    size_t size;
    char *text = (char *)read_whole_file(csv, &size);
    ck_assert_ptr_nonnull(text);
    text[size - 1] = '\0';
    char *row = strstr(text, name);
    ck_assert_ptr_nonnull(row);
    row += strlen(name);
    for (size_t i = 0; i < COORDINATES; i++) {
        ck_assert_int_eq(*row, ',');
        points[i] = strtof(row + 1, &row);
    }
    free(text);
}

static void mirror(facekp_picture *picture) {
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE / 2; x++) {
            uint8_t *row = picture->pixels + y * SIDE, left = row[x];
            row[x] = row[SIDE - 1 - x];
            row[SIDE - 1 - x] = left;
        }
}

static void predict(facekp_session *session, const facekp_picture *picture, bool keep_bias,
                    float points[COORDINATES]) {
    const facekp_image image = {sizeof image, picture->pixels, 0, SIDE, SIDE, FACEKP_GRAY8, 0};
    const facekp_image *pointers[] = {&image};
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    options.keep_label_bias = keep_bias;
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    ck_assert_int_eq(facekp_session_predict(session, pointers, 1, NULL, NULL, 1, &options, &faces),
                     FACEKP_OK);
}

/* MSE of record over all faces, the model run one face at a time. With `flip`, both predictions are without
 * the bias, which is added to their mean. */
static double mse_by_hand(bool flip) {
    facekp_model *network;
    facekp_session *session;
    ck_assert_int_eq(facekp_model_load(model, NULL, &network), FACEKP_OK);
    ck_assert_int_eq(facekp_session_open(network, NULL, &session), FACEKP_OK);
    double squares = 0.0;
    for (size_t face = 0; face < FACES; face++) {
        facekp_picture *picture;
        float truth[COORDINATES], points[COORDINATES], twin[COORDINATES];
        read_face(face, &picture, truth);
        predict(session, picture, !flip, points);
        mirror(picture);
        predict(session, picture, false, twin);
        for (size_t i = 0; i < COORDINATES; i++) {
            const size_t axis = i % 2, other = 2 * (size_t)fkp_flip_order[i / 2] + axis;
            const double twin_at = axis == 0 ? SIDE - 1.0 - (double)twin[other] : (double)twin[other];
            const double mean = 0.5 * ((double)points[i] + twin_at) + (axis == 0 ? 2.0 : 1.5);
            const double difference = (flip ? mean : (double)points[i]) - (double)truth[i];
            squares += difference * difference / 2500.0;
        }
        fkp_picture_free(picture);
    }
    facekp_session_free(session);
    facekp_model_free(network);
    return squares / (FACES * COORDINATES);
}

START_TEST(it_measures_what_users_predict) {
    facekp_train_evaluation evaluation = evaluation_of(model);
    facekp_train_metrics metrics = metrics_of(&evaluation);
    ck_assert_int_eq(metrics.faces, FACES);
    ck_assert_double_gt(metrics.mse, 1e-3); /* random weights */
    ck_assert_double_eq_tol(metrics.mse, mse_by_hand(false), 1e-5 * metrics.mse);
    evaluation.flip = 1;
    metrics = metrics_of(&evaluation);
    ck_assert_double_eq_tol(metrics.mse, mse_by_hand(true), 1e-5 * metrics.mse);
}
END_TEST

START_TEST(the_bias_is_kept_or_removed) {
    for (int flip = 0; flip < 2; flip++) {
        facekp_train_evaluation evaluation = evaluation_of(model);
        evaluation.flip = flip;
        facekp_train_metrics kept = metrics_of(&evaluation);
        evaluation.remove_bias = 1;
        facekp_train_metrics removed = metrics_of(&evaluation);
        ck_assert_double_eq_tol(kept.residual_x - removed.residual_x, 2.0, 1e-4);
        ck_assert_double_eq_tol(kept.residual_y - removed.residual_y, 1.5, 1e-4);
    }
}
END_TEST

START_TEST(only_held_out_faces) {
    facekp_train_evaluation evaluation = evaluation_of(model);
    evaluation.split = "person";
    evaluation.held_out = 0.34;
    ck_assert_int_eq(metrics_of(&evaluation).faces, 2);
    evaluation.split = "video";
    evaluation.held_out = 0.5;
    ck_assert_int_eq(metrics_of(&evaluation).faces, 3);
}
END_TEST

START_TEST(threads_do_not_change_a_digit) {
    facekp_train_evaluation evaluation = evaluation_of(model);
    facekp_train_report *one = report_of(&evaluation);
    evaluation.threads = 3;
    facekp_train_report *three = report_of(&evaluation);
    for (int32_t format = FACEKP_TRAIN_TEXT; format <= FACEKP_TRAIN_CSV; format++)
        ck_assert_str_eq(facekp_train_report_text(one, format), facekp_train_report_text(three, format));
    ck_assert_ptr_nonnull(strstr(facekp_train_report_text(one, FACEKP_TRAIN_TEXT), "jaw"));
    ck_assert_int_eq(facekp_train_report_text(one, FACEKP_TRAIN_JSON)[0], '{');
    ck_assert_ptr_nonnull(strstr(facekp_train_report_text(one, FACEKP_TRAIN_CSV), "\n67,"));
    ck_assert_ptr_null(facekp_train_report_text(one, FACEKP_TRAIN_CSV + 1));
    facekp_train_report_free(one);
    facekp_train_report_free(three);
}
END_TEST

/* A text for which there was no memory is there when there is some again. */
START_TEST(a_text_may_be_asked_for_again) {
    failing_allocator state = {.fail_at = 0};
    const facekp_allocator allocator = failing_hooks(&state);
    facekp_train_evaluation evaluation = evaluation_of(model);
    evaluation.allocator = &allocator;
    facekp_train_report *report = report_of(&evaluation), *other;
    evaluation.allocator = NULL;
    other = report_of(&evaluation);
    for (int32_t format = FACEKP_TRAIN_TEXT; format <= FACEKP_TRAIN_CSV; format++)
        for (size_t late = 1; late <= 2; late++) {
            state.fail_at = state.calls + late; /* the first piece of the text, or one that it grows into */
            const char *text = facekp_train_report_text(report, format);
            ck_assert(late == 2 || text == NULL);
            text = facekp_train_report_text(report, format);
            ck_assert_ptr_nonnull(text);
            ck_assert_str_eq(text, facekp_train_report_text(other, format));
        }
    facekp_train_report_free(report);
    facekp_train_report_free(other);
    ck_assert_uint_eq(state.pieces, 0);
}
END_TEST

/* ---- failures ---- */

static void check_failure(const facekp_train_evaluation *given, facekp_status expected, const char *word) {
    char message[512] = "";
    facekp_train_evaluation evaluation = *given;
    evaluation.message = message;
    evaluation.message_size = sizeof message;
    facekp_train_report *report;
    ck_assert_int_eq(facekp_train_evaluate(&evaluation, &report), expected);
    ck_assert_ptr_null(report);
    ck_assert_msg(strstr(message, word) != NULL, "\"%s\" is not in: %s", word, message);
}

START_TEST(failures_say_what_is_wrong) {
    facekp_train_evaluation evaluation = evaluation_of("absent.safetensors");
    check_failure(&evaluation, FACEKP_ERROR_OPEN, "absent.safetensors");
    evaluation = evaluation_of(model);
    evaluation.csv = "absent.csv";
    check_failure(&evaluation, FACEKP_ERROR_OPEN, "absent.csv");
    evaluation.csv = NULL;
    check_failure(&evaluation, FACEKP_ERROR_ARGUMENT, "CSV");
    evaluation = evaluation_of(model);
    evaluation.batch = 65;
    check_failure(&evaluation, FACEKP_ERROR_ARGUMENT, "65");
    evaluation = evaluation_of(model);
    evaluation.split = "family";
    check_failure(&evaluation, FACEKP_ERROR_ARGUMENT, "family");
    evaluation = evaluation_of(model);
    evaluation.images = "nowhere";
    check_failure(&evaluation, FACEKP_ERROR_OPEN, "nowhere");
    evaluation.skip_bad = 1;
    check_failure(&evaluation, FACEKP_ERROR_FORMAT, "no usable row");
    evaluation.struct_size = 4;
    facekp_train_report *report;
    ck_assert_int_eq(facekp_train_evaluate(&evaluation, &report), FACEKP_ERROR_STRUCT_SIZE);
    ck_assert_int_eq(facekp_train_evaluate(&evaluation, NULL), FACEKP_ERROR_ARGUMENT);
    facekp_train_report_free(NULL);
}
END_TEST

/* A report with mirrored predictions, its texts, and all pictures of it but those of heatmaps. */
static facekp_status evaluate_and_draw(const facekp_allocator *allocator, void *argument) {
    char png[PATH_BYTES];
    facekp_train_evaluation evaluation = evaluation_of(argument);
    evaluation.allocator = allocator;
    evaluation.flip = 1;
    evaluation.split = "person";
    evaluation.held_out = 0.34;
    facekp_train_report *report;
    facekp_status status = facekp_train_evaluate(&evaluation, &report);
    if (status != FACEKP_OK) {
        ck_assert_ptr_null(report);
        return status;
    }
    join_path(png, folder, "faults.png");
    facekp_train_report *const reports[] = {report};
    const char *const labels[] = {"model"};
    for (int32_t format = FACEKP_TRAIN_TEXT; format <= FACEKP_TRAIN_CSV && status == FACEKP_OK; format++)
        if (facekp_train_report_text(report, format) == NULL) status = FACEKP_ERROR_MEMORY;
    if (status == FACEKP_OK) status = facekp_train_plot_faces(report, FACEKP_TRAIN_BEST, 2, 2, png, NULL, 0);
    if (status == FACEKP_OK) status = facekp_train_plot_errors(reports, labels, 1, "title", png, NULL, 0);
    facekp_train_report_free(report);
    return status;
}

START_TEST(every_failing_allocation) { check_every_allocation(evaluate_and_draw, model); }
END_TEST

/* ---- pictures ---- */

static void check_picture(const char *name, int32_t least_width, int32_t least_height) {
    char path[PATH_BYTES], message[512] = "";
    facekp_picture *picture;
    join_path(path, folder, name);
    ck_assert_msg(facekp_picture_read(path, 3, message, sizeof message, &picture) == FACEKP_OK, "%s",
                  message);
    ck_assert_int_ge(picture->width, least_width);
    ck_assert_int_ge(picture->height, least_height);
    bool varies = false;
    for (int32_t i = 3; i < 3 * picture->width * picture->height; i++)
        varies = varies || picture->pixels[i] != picture->pixels[i % 3];
    ck_assert(varies);
    facekp_picture_free(picture);
}

/* The `index`-th of `count` tiles in a row is the `other`-th of another such picture. */
static void check_same_tile(const char *name, size_t index, const char *other_name, size_t other,
                            size_t count) {
    const char *const names[] = {name, other_name};
    const size_t at[] = {index, other};
    facekp_picture *pictures[2];
    for (int i = 0; i < 2; i++) {
        char path[PATH_BYTES];
        join_path(path, folder, names[i]);
        ck_assert_int_eq(facekp_picture_read(path, 3, NULL, 0, &pictures[i]), FACEKP_OK);
    }
    const size_t bytes = 3 * (size_t)pictures[0]->width, tile = (bytes - 3 * 6) / count; /* 6: the gap */
    ck_assert_int_eq(pictures[0]->width, pictures[1]->width);
    const size_t header = 40; /* the key of the colours */
    for (size_t y = header; y < (size_t)pictures[0]->height; y++)
        ck_assert_mem_eq(pictures[0]->pixels + y * bytes + at[0] * tile + 60,
                         pictures[1]->pixels + y * bytes + at[1] * tile + 60, tile - 120);
    facekp_picture_free(pictures[0]);
    facekp_picture_free(pictures[1]);
}

START_TEST(faces_are_shown_by_their_errors) {
    static const struct {
        const char *name;
        int32_t choice;
        size_t count;
    } sheets[] = {{"best.png", FACEKP_TRAIN_BEST, 100},
                  {"worst.png", FACEKP_TRAIN_WORST, 3},
                  {"evenly.png", FACEKP_TRAIN_EVENLY, 3},
                  {"three.png", FACEKP_TRAIN_BEST, 3}};
    facekp_train_evaluation evaluation = evaluation_of(model);
    facekp_train_report *report = report_of(&evaluation);
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets; i++) {
        char png[PATH_BYTES];
        join_path(png, folder, sheets[i].name);
        ck_assert_int_eq(facekp_train_plot_faces(report, sheets[i].choice, sheets[i].count, 3, png, NULL, 0),
                         FACEKP_OK);
    }
    facekp_train_report_free(report);
    check_picture("best.png", 3 * 224, 2 * 224);
    check_same_tile("evenly.png", 0, "three.png", 0, 3);
    check_same_tile("evenly.png", 2, "worst.png", 0, 3);
}
END_TEST

START_TEST(pictures_of_a_report) {
    char png[PATH_BYTES], message[512] = "";
    facekp_train_evaluation evaluation = evaluation_of(model);
    facekp_train_report *report = report_of(&evaluation);
    join_path(png, folder, "sheet.png");
    for (int32_t choice = FACEKP_TRAIN_FIRST; choice <= FACEKP_TRAIN_EVENLY; choice++)
        ck_assert_int_eq(facekp_train_plot_faces(report, choice, 100, 3, png, NULL, 0), FACEKP_OK);
    check_picture("sheet.png", 3 * 224, 2 * 224);
    ck_assert_int_eq(facekp_train_plot_faces(report, 4, 1, 1, png, NULL, 0), FACEKP_ERROR_ARGUMENT);
    join_path(png, folder, "errors.png");
    facekp_train_report *const both[] = {report, report};
    const char *const labels[] = {"one", "another"};
    ck_assert_int_eq(facekp_train_plot_errors(both, labels, 2, "title", png, NULL, 0), FACEKP_OK);
    check_picture("errors.png", 640, 400);
    ck_assert_int_eq(facekp_train_plot_heatmaps(report, 0, 4, png, message, sizeof message),
                     FACEKP_ERROR_UNSUPPORTED);
    ck_assert_str_ne(message, "");
    join_path(png, folder, "no/such/folder.png");
    ck_assert_int_eq(facekp_train_plot_faces(report, 0, 1, 1, png, message, sizeof message),
                     FACEKP_ERROR_WRITE);
    facekp_train_report_free(report);
}
END_TEST

START_TEST(pictures_of_heatmaps) {
    char weights[SMALL_PATH_BYTES], png[PATH_BYTES];
    const fkp_network_options unet = {.architecture = FACEKP_UNET, .width = 2, .input_size = 64};
    small_model_write(&unet, NULL, 0, NULL, weights);
    facekp_train_evaluation evaluation = evaluation_of(weights);
    facekp_train_report *report = report_of(&evaluation);
    join_path(png, folder, "maps.png");
    ck_assert_int_eq(facekp_train_plot_heatmaps(report, 1, 5, png, NULL, 0), FACEKP_OK);
    check_picture("maps.png", 5 * 64, 2 * 64);
    ck_assert_int_eq(facekp_train_plot_heatmaps(report, FACES - 1, 0, png, NULL, 0), FACEKP_OK);
    check_picture("maps.png", 3 * 64, 64);
    ck_assert_int_eq(facekp_train_plot_heatmaps(report, FACES, 0, png, NULL, 0), FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_train_plot_heatmaps(report, 0, 69, png, NULL, 0), FACEKP_ERROR_ARGUMENT);
    facekp_train_report_free(report);
    unlink(weights);
}
END_TEST

static facekp_status draw_heatmaps(const facekp_allocator *allocator, void *argument) {
    char png[PATH_BYTES];
    facekp_train_evaluation evaluation = evaluation_of(argument);
    evaluation.allocator = allocator;
    facekp_train_report *report;
    facekp_status status = facekp_train_evaluate(&evaluation, &report);
    if (status != FACEKP_OK) return status;
    join_path(png, folder, "faults.png");
    status = facekp_train_plot_heatmaps(report, 1, 3, png, NULL, 0);
    if (status == FACEKP_OK) status = facekp_train_plot_heatmaps(report, 1, 0, png, NULL, 0);
    facekp_train_report_free(report);
    return status;
}

START_TEST(every_failing_allocation_of_heatmaps) {
    char weights[SMALL_PATH_BYTES];
    const fkp_network_options unet = {.architecture = FACEKP_UNET, .width = 2, .input_size = 32};
    small_model_write(&unet, NULL, 0, NULL, weights);
    check_every_allocation(draw_heatmaps, weights);
    unlink(weights);
}
END_TEST

/* Curves have no host's allocator: their figure is drawn with one here. */
static facekp_status draw_curves(const facekp_allocator *allocator, void *argument) {
    const fkp_memory memory = fkp_memory_from(allocator);
    const char *const columns[] = {"train_loss", "validation_loss"};
    facekp_picture *picture;
    facekp_status status = fkp_figure_curves(&memory, argument, "title", columns, 2, false, &picture, NULL);
    fkp_picture_free(picture);
    return status;
}

START_TEST(every_failing_allocation_of_curves) {
    char log[PATH_BYTES];
    write_text(folder, "log.csv", "epoch,train_loss,validation_loss\n0,3,4\n1,1,2\n2,0.5,nan\n");
    join_path(log, folder, "log.csv");
    check_every_allocation(draw_curves, log);
}
END_TEST

static facekp_status synthesize_with(const facekp_allocator *allocator, void *argument) {
    facekp_train_synthesis synthesis;
    facekp_train_synthesis_init(&synthesis, sizeof synthesis);
    synthesis.allocator = allocator;
    synthesis.folder = argument;
    synthesis.count = 2;
    synthesis.size = 32;
    synthesis.threads = 2;
    char path[PATH_BYTES];
    join_path(path, argument, "faces.csv");
    unlink(path);
    facekp_status status = facekp_train_synth(&synthesis);
    ck_assert_int_eq(access(path, F_OK) == 0, status == FACEKP_OK);
    return status;
}

START_TEST(every_failing_allocation_of_rendering) {
    char into[PATH_BYTES];
    scratch_folder(into);
    check_every_allocation(synthesize_with, into);
    remove_folder(into);
}
END_TEST

START_TEST(pictures_of_an_epoch_log) {
    char log[PATH_BYTES], png[PATH_BYTES], message[512] = "";
    write_text(folder, "log.csv", "epoch,train_loss,validation_loss\n0,3,4\n1,1,2\n2,0.5,nan\n");
    join_path(log, folder, "log.csv");
    join_path(png, folder, "curves.png");
    ck_assert_int_eq(facekp_train_plot_curves(log, NULL, NULL, 0, png, NULL, 0), FACEKP_OK);
    check_picture("curves.png", 640, 400);
    ck_assert_int_eq(facekp_train_plot_curves(log, "train_loss", "title", 1, png, NULL, 0), FACEKP_OK);
    ck_assert_int_eq(
        facekp_train_plot_curves(log, "train_loss,absent", NULL, 0, png, message, sizeof message),
        FACEKP_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(message, "absent"));
    ck_assert_int_eq(facekp_train_plot_curves(log, "train_loss,", NULL, 0, png, NULL, 0),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_train_plot_curves("absent.csv", NULL, NULL, 0, png, NULL, 0), FACEKP_ERROR_OPEN);
}
END_TEST

/* ---- rendered faces ---- */

static void check_same_file(const char *a, const char *b, const char *name) {
    char path[PATH_BYTES];
    size_t size_a, size_b;
    join_path(path, a, name);
    unsigned char *bytes_a = read_whole_file(path, &size_a);
    join_path(path, b, name);
    unsigned char *bytes_b = read_whole_file(path, &size_b);
    ck_assert_ptr_nonnull(bytes_a);
    ck_assert_ptr_nonnull(bytes_b);
    ck_assert_uint_eq(size_a, size_b);
    ck_assert_mem_eq(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
}

START_TEST(rendered_faces_are_the_same_again) {
    char other[PATH_BYTES];
    join_path(other, folder, "again");
    ck_assert_int_eq(synthesize(other, FACES, 1), FACEKP_OK);
    check_same_file(folder, other, "faces.csv");
    check_same_file(folder, other, "faces/face000005_00.png");
}
END_TEST

static int32_t stop(void *user, int64_t done, int64_t count) {
    *(int64_t *)user = done;
    return done < count;
}

START_TEST(rendering_stops_and_fails_as_documented) {
    char path[PATH_BYTES], message[512] = "";
    int64_t done = 0;
    facekp_train_synthesis synthesis;
    facekp_train_synthesis_init(&synthesis, sizeof synthesis);
    join_path(path, folder, "stopped");
    synthesis.folder = path;
    synthesis.count = 40;
    synthesis.size = 32;
    synthesis.on_face = stop;
    synthesis.callback_user = &done;
    synthesis.message = message;
    synthesis.message_size = sizeof message;
    ck_assert_int_eq(facekp_train_synth(&synthesis), FACEKP_ERROR_CANCELLED);
    ck_assert_int_eq(done, 32);
    join_path(path, folder, "stopped/faces.csv");
    ck_assert_int_ne(access(path, F_OK), 0);
    synthesis.folder = csv; /* a file */
    ck_assert_int_eq(facekp_train_synth(&synthesis), FACEKP_ERROR_OPEN);
    ck_assert_ptr_nonnull(strstr(message, csv));
    synthesis.folder = folder;
    synthesis.size = 31;
    ck_assert_int_eq(facekp_train_synth(&synthesis), FACEKP_ERROR_ARGUMENT);
    synthesis.size = 0;
    synthesis.count = 0;
    ck_assert_int_eq(facekp_train_synth(&synthesis), FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("evaluate");
    TCase *test = tcase_create("evaluate");
    tcase_set_timeout(test, 600);
    tcase_add_unchecked_fixture(test, make_faces, remove_faces);
    tcase_add_test(test, it_measures_what_users_predict);
    tcase_add_test(test, the_bias_is_kept_or_removed);
    tcase_add_test(test, only_held_out_faces);
    tcase_add_test(test, threads_do_not_change_a_digit);
    tcase_add_test(test, a_text_may_be_asked_for_again);
    tcase_add_test(test, failures_say_what_is_wrong);
    tcase_add_test(test, every_failing_allocation);
    tcase_add_test(test, every_failing_allocation_of_heatmaps);
    tcase_add_test(test, every_failing_allocation_of_curves);
    tcase_add_test(test, every_failing_allocation_of_rendering);
    tcase_add_test(test, faces_are_shown_by_their_errors);
    tcase_add_test(test, pictures_of_a_report);
    tcase_add_test(test, pictures_of_heatmaps);
    tcase_add_test(test, pictures_of_an_epoch_log);
    tcase_add_test(test, rendered_faces_are_the_same_again);
    tcase_add_test(test, rendering_stops_and_fails_as_documented);
    suite_add_tcase(suite, test);
    return run_suite(suite);
}
