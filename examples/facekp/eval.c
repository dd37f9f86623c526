/* facekp eval: how far a model's points lie from the true ones. */
#include <stdio.h>

#include "command.h"
#include "measuring.h"
#include "model_file.h"
#include "paths.h"

static bool write_report(facekp_train_report *report, int32_t format, const char *output) {
    const char *text = facekp_train_report_text(report, format);
    if (text == NULL) {
        complain("no memory for the report");
        return false;
    }
    FILE *stream = output == NULL ? stdout : fopen(output, "w");
    bool good = stream != NULL && fputs(text, stream) >= 0 && fflush(stream) == 0;
    if (stream != NULL && stream != stdout) good = fclose(stream) == 0 && good;
    if (!good) complain("%s: could not be written", output == NULL ? "standard output" : output);
    return good;
}

int command_eval(int argc, char **argv) {
    measuring settings;
    const char *model = NULL, *output = NULL;
    bool text = false, json = false, csv = false;
    option_entry options[MEASURING_OPTIONS + 5] = {
        [MEASURING_OPTIONS] = {"model", OPTION_TEXT, &model, "FILE",
                               "weights; default: $FACEKP_MODEL, else the one that comes with the tool", 0, 0,
                               NULL},
        {"text", OPTION_FLAG, &text, NULL, "print a table (the default)", 0, 0, NULL},
        {"json", OPTION_FLAG, &json, NULL, "print JSON, every keypoint included", 0, 0, NULL},
        {"csv-out", OPTION_FLAG, &csv, NULL, "print CSV: a row for all, each region, each keypoint", 0, 0,
         NULL},
        {"output", OPTION_TEXT, &output, "FILE", "print to a file instead", 0, 0, NULL}};
    measuring_begin(&settings, options);
    const command_usage usage = {
        .line = "facekp eval --csv FILE [OPTIONS]",
        .about =
            "Measures a model on faces with known points: errors in pixels of the 224 crop, NME over the\n"
            "distance of the outer eye corners, and the mean signed residuals.",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    char **arguments, found[PATH_BYTES];
    int count;
    int code = parse_options(&usage, argc, argv, &arguments, &count);
    if (code != PARSED) return code;
    if (text + json + csv > 1) {
        complain("--text, --json and --csv-out exclude each other");
        return EXIT_USAGE;
    }
    model = find_model(model, found);
    if (model == NULL) return EXIT_MODEL;
    facekp_train_report *report;
    code = measure(&settings, model, &report);
    if (code != EXIT_DONE) return code;
    const int32_t format = json ? FACEKP_TRAIN_JSON : csv ? FACEKP_TRAIN_CSV : FACEKP_TRAIN_TEXT;
    const bool good = write_report(report, format, output);
    facekp_train_report_free(report);
    return good ? EXIT_DONE : EXIT_INPUT;
}
