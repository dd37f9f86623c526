/* facekp plot: the pictures of a training and of a measured model, as PNG files. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "measuring.h"
#include "model_file.h"
#include "paths.h"

enum { MESSAGE_BYTES = 512, MAX_MODELS = 16, LABEL_BYTES = 64 };

/* The code for a picture that was, or was not, written. */
static int drawn(facekp_status status, const char *message) {
    if (status == FACEKP_OK) return EXIT_DONE;
    complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return EXIT_INPUT;
}

/* ---- curves ---- */

/* The file's name without its folder. */
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int plot_curves(int argc, char **argv) {
    const char *out = NULL, *columns = NULL, *title = NULL;
    bool log_scale = false;
    const option_entry options[] = {
        {"out", OPTION_TEXT, &out, "PNG", "the picture; default: curves.png", 0, 0, NULL},
        {"columns", OPTION_TEXT, &columns, "LIST", "columns of the log; default: train_loss,validation_loss",
         0, 0, NULL},
        {"title", OPTION_TEXT, &title, "TEXT", "above the chart; default: the log's name", 0, 0, NULL},
        {"log-scale", OPTION_FLAG, &log_scale, NULL, "a logarithmic y axis", 0, 0, NULL}};
    const command_usage usage = {.line = "facekp plot curves [OPTIONS] LOG",
                                 .about = "Draws columns of the epoch log that a training wrote.",
                                 .options = options,
                                 .option_count = sizeof options / sizeof *options,
                                 .least = 1,
                                 .most = 1};
    char **logs, message[MESSAGE_BYTES] = "";
    int count;
    int code = parse_options(&usage, argc, argv, &logs, &count);
    if (code != PARSED) return code;
    return drawn(facekp_train_plot_curves(logs[0], columns, title == NULL ? base_name(logs[0]) : title,
                                          log_scale, out == NULL ? "curves.png" : out, message,
                                          sizeof message),
                 message);
}

/* ---- cumulative errors ---- */

/* The file's name without folder and ending. */
static void label_of(const char *path, char label[LABEL_BYTES]) {
    const char *name = base_name(path), *dot = strrchr(name, '.');
    snprintf(label, LABEL_BYTES, "%.*s", dot == NULL ? LABEL_BYTES - 1 : (int)(dot - name), name);
}

static int draw_errors(const measuring *settings, char **models, int count, const char *title,
                       const char *out) {
    facekp_train_report *reports[MAX_MODELS] = {NULL};
    char labels[MAX_MODELS][LABEL_BYTES], message[MESSAGE_BYTES] = "";
    const char *pointers[MAX_MODELS];
    int code = EXIT_DONE;
    for (int i = 0; i < count && code == EXIT_DONE; i++) {
        label_of(models[i], labels[i]);
        pointers[i] = labels[i];
        code = measure(settings, models[i], &reports[i]);
    }
    if (code == EXIT_DONE)
        code = drawn(
            facekp_train_plot_errors(reports, pointers, (size_t)count, title, out, message, sizeof message),
            message);
    for (int i = 0; i < count; i++) facekp_train_report_free(reports[i]);
    return code;
}

static int plot_errors(int argc, char **argv) {
    measuring settings;
    const char *out = NULL, *title = NULL;
    option_entry options[MEASURING_OPTIONS + 2] = {
        [MEASURING_OPTIONS] = {"out", OPTION_TEXT, &out, "PNG", "the picture; default: errors.png", 0, 0,
                               NULL},
        {"title", OPTION_TEXT, &title, "TEXT", "above the chart; default: the CSV's name", 0, 0, NULL}};
    measuring_begin(&settings, options);
    const command_usage usage = {.line = "facekp plot errors --csv FILE [OPTIONS] MODEL...",
                                 .about = "Draws which part of the faces has at most which error, a line a "
                                          "model, up to 16 of them.",
                                 .options = options,
                                 .option_count = sizeof options / sizeof *options,
                                 .least = 1,
                                 .most = MAX_MODELS};
    char **models;
    int count;
    int code = parse_options(&usage, argc, argv, &models, &count);
    if (code != PARSED) return code;
    if (title == NULL && settings.csv != NULL) title = base_name(settings.csv);
    return draw_errors(&settings, models, count, title, out == NULL ? "errors.png" : out);
}

/* ---- faces and heatmaps ---- */

/* Measures the model that the command line names, else the default one. NULL: leave with the code, which is
 * that of
 * --help or of a complaint. */
static int measure_one(const command_usage *usage, measuring *settings, int argc, char **argv,
                       facekp_train_report **report) {
    char **models, found[PATH_BYTES];
    int count;
    *report = NULL;
    int code = parse_options(usage, argc, argv, &models, &count);
    if (code != PARSED) return code;
    const char *model = find_model(count == 1 ? models[0] : NULL, found);
    return model == NULL ? EXIT_MODEL : measure(settings, model, report);
}

static int plot_faces(int argc, char **argv) {
    static const char *const choices[] = {"first", "worst", "best", "evenly", NULL};
    measuring settings;
    const char *out = NULL;
    int32_t choice = FACEKP_TRAIN_EVENLY;
    int64_t faces = 16, columns = 4;
    option_entry options[MEASURING_OPTIONS + 4] = {
        [MEASURING_OPTIONS] = {"out", OPTION_TEXT, &out, "PNG", "the picture; default: faces.png", 0, 0,
                               NULL},
        {"choose", OPTION_CHOICE, &choice, "WHICH",
         "first, worst, best, or evenly from best to worst (the default)", 0, 0, choices},
        {"count", OPTION_INTEGER, &faces, "N", "faces; default 16", 1.0, 4096.0, NULL},
        {"columns", OPTION_INTEGER, &columns, "N", "in a row; default 4", 1.0, 64.0, NULL}};
    measuring_begin(&settings, options);
    const command_usage usage = {.line = "facekp plot faces --csv FILE [OPTIONS] [MODEL]",
                                 .about = "Draws a contact sheet: predicted points (red) over the true ones\n"
                                          "(green), the NME under each face.",
                                 .options = options,
                                 .option_count = sizeof options / sizeof *options,
                                 .most = 1};
    char message[MESSAGE_BYTES] = "";
    facekp_train_report *report;
    int code = measure_one(&usage, &settings, argc, argv, &report);
    if (report != NULL)
        code = drawn(facekp_train_plot_faces(report, choice, (size_t)faces, (size_t)columns,
                                             out == NULL ? "faces.png" : out, message, sizeof message),
                     message);
    facekp_train_report_free(report);
    return code;
}

static int plot_heatmaps(int argc, char **argv) {
    measuring settings;
    const char *out = NULL;
    int64_t face = 0, maps = 8;
    bool sum = false;
    option_entry options[MEASURING_OPTIONS + 4] = {
        [MEASURING_OPTIONS] = {"out", OPTION_TEXT, &out, "PNG", "the picture; default: heatmaps.png", 0, 0,
                               NULL},
        {"face", OPTION_INTEGER, &face, "N", "which of the faces, from 0; default 0", 0.0, 1e9, NULL},
        {"count", OPTION_INTEGER, &maps, "N", "heatmaps in the row; default 8", 1.0, 64.0, NULL},
        {"sum", OPTION_FLAG, &sum, NULL, "the sum of all heatmaps beside and over the crop instead", 0, 0,
         NULL}};
    measuring_begin(&settings, options);
    const command_usage usage = {.line = "facekp plot heatmaps --csv FILE [OPTIONS] [MODEL]",
                                 .about = "Draws a row of heatmaps of one face over what they were trained "
                                          "towards.",
                                 .options = options,
                                 .option_count = sizeof options / sizeof *options,
                                 .most = 1};
    char message[MESSAGE_BYTES] = "";
    facekp_train_report *report;
    int code = measure_one(&usage, &settings, argc, argv, &report);
    if (report != NULL)
        code = drawn(facekp_train_plot_heatmaps(report, (size_t)face, sum ? 0 : (size_t)maps,
                                                out == NULL ? "heatmaps.png" : out, message, sizeof message),
                     message);
    facekp_train_report_free(report);
    return code;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    command_function *run;
    const char *summary;
} plots[] = {{"curves", plot_curves, "columns of an epoch log"},
             {"errors", plot_errors, "cumulative errors of models"},
             {"faces", plot_faces, "a contact sheet: predicted points over true ones"},
             {"heatmaps", plot_heatmaps, "heatmaps over their targets, or their sum over the face"}};
enum { PLOTS = sizeof plots / sizeof *plots };

static void print_help(FILE *stream) {
    fputs("Usage: facekp plot WHAT [OPTIONS] ...\n\nPictures:\n", stream);
    for (int i = 0; i < PLOTS; i++) fprintf(stream, "  %-10s %s\n", plots[i].name, plots[i].summary);
    fputs("\n'facekp plot WHAT --help' tells more.\n", stream);
}

int command_plot(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    for (int i = 0; i < PLOTS; i++)
        if (strcmp(what, plots[i].name) == 0) return plots[i].run(argc - 1, argv + 1);
    const bool help = strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0;
    if (!help) complain("plot what? '%s' is none of these", what);
    print_help(help ? stdout : stderr);
    return help ? EXIT_DONE : EXIT_USAGE;
}
