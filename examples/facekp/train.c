/* facekp train: every option of the training library by its name, a recipe to start from, a file of settings,
 * and a line that shows how far it is. */
#include "facekp/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "progress.h"

enum { MAX_SETTINGS = 256, LINE_BYTES = 1024 };

/* Settings in the order in which they are applied; the strings live as long as the list. */
typedef struct setting_list {
    char *names[MAX_SETTINGS], *values[MAX_SETTINGS];
    size_t count;
    const char *recipe;
} setting_list;

static char *copied(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

static bool add_setting(setting_list *list, const char *name, size_t length, const char *value) {
    if (list->count == MAX_SETTINGS) {
        complain("more than %d settings", MAX_SETTINGS);
        return false;
    }
    char *own = copied(name, length), *text = copied(value, strlen(value));
    list->names[list->count] = own;
    list->values[list->count++] = text;
    if (own == NULL || text == NULL) {
        complain("no memory");
        return false;
    }
    for (char *c = own; *c != '\0'; c++)
        if (*c == '-') *c = '_';
    if (strcmp(own, "recipe") == 0) list->recipe = text;
    return true;
}

static void free_settings(setting_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
        free(list->values[i]);
    }
}

/* Lines "name = value"; empty lines and lines that begin with # are passed over. */
static bool read_config(setting_list *list, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        complain("%s: could not be opened", path);
        return false;
    }
    char line[LINE_BYTES];
    bool good = true;
    for (int number = 1; good && fgets(line, sizeof line, file) != NULL; number++) {
        if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n') {
            complain("%s:%d: a line of more than %d bytes", path, number, LINE_BYTES - 2);
            good = false;
            break;
        }
        char *begin = line + strspn(line, " \t\r\n");
        if (*begin == '\0' || *begin == '#') continue;
        char *equals = strchr(begin, '=');
        size_t name = equals == NULL ? 0 : (size_t)(equals - begin);
        while (name > 0 && strchr(" \t", begin[name - 1]) != NULL) name--;
        if (name == 0) {
            complain("%s:%d: a line is 'name = value'", path, number);
            good = false;
            break;
        }
        char *value = equals + 1 + strspn(equals + 1, " \t");
        size_t length = strlen(value);
        while (length > 0 && strchr(" \t\r\n", value[length - 1]) != NULL) value[--length] = '\0';
        good = add_setting(list, begin, name, value);
    }
    if (good && ferror(file) != 0) {
        complain("%s: could not be read", path);
        good = false;
    }
    fclose(file);
    return good;
}

static void print_help(void) {
    puts(
        "Usage: facekp train [CONFIG] [--recipe NAME] [--OPTION VALUE]...\n\n"
        "Trains a network on a CSV file of points and a folder of PNG images, and writes the weights of the\n"
        "best epoch. CONFIG is a file of lines 'name = value'; later settings win. For example\n\n"
        "  facekp train --recipe resnet18-tuned --train-csv faces/train.csv --output model.safetensors\n\n"
        "Press Ctrl-C at any time: with --checkpoint FILE, the same command and --resume goes on with the\n"
        "very same bits.\n\nRecipes:");
    for (int32_t i = 0; facekp_train_recipe_name(i) != NULL; i++)
        printf("  %s\n", facekp_train_recipe_name(i));
    puts("\nOptions (include/facekp/train.h describes each; --resume, --skip-bad, --no-dropout and "
         "--random-crop\n"
         "need no value):");
    for (int32_t i = 0; facekp_train_option_name(i) != NULL; i++) {
        fputs("  --", stdout);
        for (const char *c = facekp_train_option_name(i); *c != '\0'; c++) putchar(*c == '_' ? '-' : *c);
        putchar('\n');
    }
    puts("\nExit codes: 0 trained, 1 stopped or failed, 2 wrong usage.");
}

/* Options that are on or off: alone, they are on. */
static bool is_switch(const char *word) {
    static const char *const switches[] = {"--resume", "--skip-bad", "--no-dropout", "--random-crop"};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (strcmp(word, switches[i]) == 0) return true;
    return false;
}

static bool is_on_or_off(const char *word) {
    return word != NULL && (strcmp(word, "0") == 0 || strcmp(word, "1") == 0);
}

/* The command line into settings. EXIT_DONE, or the code to leave with; *help when help was asked for. */
static int collect_settings(int argc, char **argv, setting_list *list, bool *help) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
            return EXIT_DONE;
        }
        if (strncmp(word, "--", 2) != 0) {
            if (!read_config(list, word)) return EXIT_USAGE;
            continue;
        }
        const char *equals = strchr(word, '='), *value = equals == NULL ? argv[i + 1] : equals + 1;
        if (equals == NULL && is_switch(word) && !is_on_or_off(value))
            value = "1";
        else if (equals == NULL)
            i++;
        if (value == NULL) {
            complain("%s wants a value", word);
            return EXIT_USAGE;
        }
        size_t length = equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2);
        if (!add_setting(list, word + 2, length, value)) return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static bool apply_settings(const setting_list *list, facekp_train_options *options) {
    if (list->recipe != NULL && facekp_train_recipe(list->recipe, options) != FACEKP_OK) {
        complain("no recipe is named '%s'; 'facekp train --help' lists them", list->recipe);
        return false;
    }
    char message[256];
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], "recipe") != 0 &&
            facekp_train_option_set(options, list->names[i], list->values[i], message, sizeof message) !=
                FACEKP_OK) {
            complain("%s", message);
            return false;
        }
    return true;
}

/* ---- what is shown ---- */

typedef struct view {
    progress_line line;
    int64_t batch; /* images to a step */
} view;

static int32_t show_step(void *user, const facekp_train_step *step) {
    view *v = user;
    if (step->step == 0 || v->line.total == 0)
        progress_begin(&v->line, (size_t)(step->steps * v->batch), "images");
    const int64_t left = (step->epochs - step->epoch) * step->steps - step->step - 1;
    char rest[32], note[128];
    format_duration((double)(left * v->batch) / step->images_per_second, rest, sizeof rest);
    snprintf(note, sizeof note, "epoch %d/%d  loss %.5f  all in %s", (int)step->epoch + 1, (int)step->epochs,
             step->loss, rest);
    progress_show(&v->line, (size_t)((step->step + 1) * v->batch), note);
    return 0;
}

static int32_t show_epoch(void *user, const facekp_train_epoch *epoch) {
    view *v = user;
    progress_pause(&v->line);
    printf("epoch %d/%d  train loss %.5f mse %.5f", (int)epoch->epoch + 1, (int)epoch->epochs,
           epoch->train_loss, epoch->train_mse);
    if (!isnan(epoch->validation.mse))
        printf("  validation mse %.5f nme %.2f %%", epoch->validation.mse, 100.0 * epoch->validation.nme);
    printf("  %.1f images/s  %.0f s%s\n", epoch->images_per_second, epoch->seconds,
           epoch->best ? "  best" : "");
    fflush(stdout);
    return 0;
}

static void show_note(void *user, int32_t level, const char *message) {
    (void)level;
    view *v = user;
    progress_pause(&v->line);
    complain("%s", message);
}

static int train(facekp_train_options *options, view *v) {
    char message[512] = "";
    options->message = message;
    options->message_size = sizeof message;
    options->log = show_note;
    options->log_user = options->callback_user = v;
    options->on_step = show_step;
    options->on_epoch = show_epoch;
    const int32_t batch = options->batch > 0 ? options->batch : 16;
    v->batch = options->accumulate > 1 ? (int64_t)batch * options->accumulate : batch;
    facekp_train *training;
    if (facekp_train_open(options, &training) != FACEKP_OK) {
        complain("%s", message);
        return EXIT_INPUT;
    }
    facekp_train_info info = {.struct_size = sizeof info};
    if (facekp_train_get_info(training, &info) == FACEKP_OK)
        printf("%lld faces to train on, %lld to validate on; %lld parameters; %.0f MB for a batch of %lld\n",
               (long long)info.train_faces, (long long)info.validation_faces, (long long)info.parameters,
               (double)info.engine_bytes * 1e-6, (long long)batch);
    facekp_status status = facekp_train_run(training);
    progress_pause(&v->line);
    if (status != FACEKP_OK) complain("%s", facekp_train_message(training));
    facekp_train_free(training);
    return status == FACEKP_OK ? EXIT_DONE : EXIT_INPUT;
}

int command_train(int argc, char **argv) {
    setting_list settings = {.count = 0};
    facekp_train_options options;
    facekp_train_options_init(&options, sizeof options);
    bool help = false;
    view v;
    memset(&v, 0, sizeof v);
    int code = collect_settings(argc, argv, &settings, &help);
    if (help)
        print_help();
    else if (code == EXIT_DONE)
        code = apply_settings(&settings, &options) ? train(&options, &v) : EXIT_USAGE;
    free_settings(&settings);
    return code;
}
