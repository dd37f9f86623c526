/* facekp synth: faces with known points for whoever has none. */
#include "command.h"
#include "facekp/train.h"
#include "options.h"
#include "progress.h"

static int32_t show_progress(void *user, int64_t done, int64_t count) {
    if (done < count) progress_show(user, (size_t)done, NULL); /* progress_end() shows the end */
    return 0;
}

int command_synth(int argc, char **argv) {
    int64_t faces = 100, seed = 0, size = 250, threads = FACEKP_THREADS_ALL;
    const option_entry options[] = {
        {"count", OPTION_INTEGER, &faces, "N", "faces; default 100", 1.0, 1e9, NULL},
        {"seed", OPTION_INTEGER, &seed, "N", "another seed, other faces; default 0", 0.0, 9e15, NULL},
        {"size", OPTION_INTEGER, &size, "PIXELS", "side of a picture; default 250", 32.0, 2048.0, NULL},
        {"threads", OPTION_INTEGER, &threads, "N", "default: all cores", 1.0, 256.0, NULL}};
    const command_usage usage = {
        .line = "facekp synth [OPTIONS] FOLDER",
        .about = "Renders gray faces with their exact 68 points: FOLDER/faces.csv and FOLDER/faces/, which\n"
                 "'facekp train --train-csv FOLDER/faces.csv' reads.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .least = 1,
        .most = 1};
    char **folders, message[512] = "";
    int count;
    int code = parse_options(&usage, argc, argv, &folders, &count);
    if (code != PARSED) return code;
    progress_line progress;
    progress_begin(&progress, (size_t)faces, "faces");
    facekp_train_synthesis synthesis;
    facekp_train_synthesis_init(&synthesis, sizeof synthesis);
    synthesis.message = message;
    synthesis.message_size = sizeof message;
    synthesis.on_face = show_progress;
    synthesis.callback_user = &progress;
    synthesis.folder = folders[0];
    synthesis.count = faces;
    synthesis.seed = (uint64_t)seed;
    synthesis.size = (int32_t)size;
    synthesis.threads = (int32_t)threads;
    const facekp_status status = facekp_train_synth(&synthesis);
    if (status == FACEKP_OK) {
        progress_end(&progress, (size_t)faces, NULL);
        return EXIT_DONE;
    }
    progress_pause(&progress);
    complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return EXIT_INPUT;
}
