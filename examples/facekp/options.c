#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static void print_help(const command_usage *usage) {
    printf("Usage: %s\n\n%s\n\nOptions:\n", usage->line, usage->about);
    for (size_t i = 0; i < usage->option_count; i++) {
        const option_entry *option = &usage->options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value == NULL ? "" : " ",
                 option->value == NULL ? "" : option->value);
        printf("  %-24s %s\n", left, option->help);
    }
    printf("  %-24s %s\n", "--help", "print this and stop");
}

static bool parse_number(const char *text, double low, double high, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && *value >= low && *value <= high;
}

static bool parse_box(const char *text, box_list *boxes) {
    if (boxes->count == MAX_BOXES) return false;
    float *box = boxes->values + 4 * boxes->count;
    int used = 0;
    if (sscanf(text, "%f,%f,%f,%f%n", &box[0], &box[1], &box[2], &box[3], &used) != 4 || text[used] != '\0')
        return false;
    boxes->count++;
    return true;
}

static bool parse_choice(const char *text, const char *const *choices, int32_t *index) {
    for (int32_t i = 0; choices[i] != NULL; i++)
        if (strcmp(text, choices[i]) == 0) {
            *index = i;
            return true;
        }
    return false;
}

/* False when the text is no value of the option. */
static bool store(const option_entry *option, const char *text) {
    double number;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)option->target = text;
        return text[0] != '\0';
    case OPTION_INTEGER:
        if (!parse_number(text, option->low, option->high, &number) || number != (double)(int64_t)number)
            return false;
        *(int64_t *)option->target = (int64_t)number;
        return true;
    case OPTION_NUMBER:
        return parse_number(text, option->low, option->high, option->target);
    case OPTION_CHOICE:
        return parse_choice(text, option->choices, option->target);
    case OPTION_BOXES:
        return parse_box(text, option->target);
    }
    return false;
}

static void complain_of_value(const option_entry *option, const char *text) {
    fprintf(stderr, "facekp: --%s: '%s' is no %s", option->name, text, option->value);
    if (option->kind == OPTION_INTEGER || option->kind == OPTION_NUMBER)
        fprintf(stderr, " from %g to %g", option->low, option->high);
    for (int i = 0; option->kind == OPTION_CHOICE && option->choices[i] != NULL; i++)
        fprintf(stderr, "%s %s", i == 0 ? ":" : ",", option->choices[i]);
    fputc('\n', stderr);
}

/* Handles the option at argv[*i], and its value, which may be the next argument. */
static int take_option(const command_usage *usage, int argc, char **argv, int *i) {
    const char *name = argv[*i] + 2;
    const size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    for (size_t k = 0; k < usage->option_count; k++) {
        const option_entry *option = &usage->options[k];
        if (strlen(option->name) != length || strncmp(option->name, name, length) != 0) continue;
        if (option->kind == OPTION_FLAG && value != NULL) {
            complain("--%s takes no value", option->name);
            return EXIT_USAGE;
        }
        if (option->kind != OPTION_FLAG && value == NULL) {
            if (*i + 1 == argc) {
                complain("--%s needs a %s", option->name, option->value);
                return EXIT_USAGE;
            }
            value = argv[++*i];
        }
        if (store(option, value)) return PARSED;
        complain_of_value(option, value);
        return EXIT_USAGE;
    }
    complain("there is no option '%s'; --help lists them", argv[*i]);
    return EXIT_USAGE;
}

int parse_options(const command_usage *usage, int argc, char **argv, char ***arguments, int *count) {
    bool options_end = false;
    *arguments = argv;
    *count = 0;
    for (int i = 1; i < argc; i++) {
        char *argument = argv[i];
        if (options_end || argument[0] != '-' || argument[1] == '\0') {
            argv[(*count)++] = argument;
        } else if (strcmp(argument, "--") == 0) {
            options_end = true;
        } else if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            print_help(usage);
            return EXIT_DONE;
        } else {
            int code = argument[1] == '-' ? take_option(usage, argc, argv, &i) : EXIT_USAGE;
            if (argument[1] != '-') complain("there is no option '%s'; --help lists them", argument);
            if (code != PARSED) return code;
        }
    }
    if (*count < usage->least || (usage->most >= 0 && *count > usage->most)) {
        complain("usage: %s", usage->line);
        return EXIT_USAGE;
    }
    return PARSED;
}
