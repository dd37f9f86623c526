/* The command line, as a table: each option names its kind and where its value goes. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG,    /* target: bool, set to true */
    OPTION_TEXT,    /* target: const char * */
    OPTION_INTEGER, /* target: int64_t, within [low, high] */
    OPTION_NUMBER,  /* target: double, within [low, high] */
    OPTION_CHOICE,  /* target: int32_t, the index of the value in `choices`, a list that ends with NULL */
    OPTION_BOXES    /* target: box_list; may be given many times */
} option_kind;

typedef struct option_entry {
    const char *name; /* without the dashes */
    option_kind kind;
    void *target;
    const char *value; /* how help writes the value: "FILE" */
    const char *help;
    double low, high;
    const char *const *choices;
} option_entry;

enum { MAX_BOXES = 64 };
/* x, y, width, height of each. */
typedef struct box_list {
    float values[4 * MAX_BOXES];
    size_t count;
} box_list;

typedef struct command_usage {
    const char *line;  /* "facekp info [OPTIONS] FILE" */
    const char *about; /* what the command does */
    const option_entry *options;
    size_t option_count;
    int least, most; /* arguments that are no options; most -1: any number */
} command_usage;

enum { PARSED = -1 };
/* Fills the targets and moves what is no option to the front of `arguments` (argv of the command, its name at
 * 0, which is dropped). Understands --name value, --name=value and --, and prints help for --help. Returns
 * PARSED, or the exit code with which to leave. */
int parse_options(const command_usage *usage, int argc, char **argv, char ***arguments, int *count);

#endif
