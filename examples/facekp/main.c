/* facekp: 68 facial keypoints from the shell. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "facekp/facekp.h"

static const struct {
    const char *name;
    command_function *run;
    const char *summary;
} commands[] = {
    {"predict", command_predict, "find the keypoints of faces in PNG images"},
    {"info", command_info, "describe a model: layers, sizes, cost, licence"},
    {"convert", command_convert, "write a weights file as safetensors"},
#ifdef FACEKP_TOOL_TRAINS
    {"train", command_train, "train a network on faces with known points"},
    {"eval", command_eval, "measure a model on faces with known points"},
    {"plot", command_plot, "draw curves, cumulative errors, faces, heatmaps"},
    {"synth", command_synth, "render faces with known points"},
#endif
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("facekp: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void print_help(FILE *stream) {
    fputs("Usage: facekp COMMAND [OPTIONS] ...\n\nCommands:\n", stream);
    for (int i = 0; i < COMMANDS; i++) fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'facekp COMMAND --help' tells more of a command, 'facekp --version' the version.\n"
          "Exit codes: 0 done, 1 some inputs failed, 2 wrong usage, 3 the model could not be loaded.\n",
          stream);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("facekp %s\n", facekp_version_string());
        return EXIT_DONE;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    complain("no command is named '%s'; 'facekp --help' lists them", argv[1]);
    return EXIT_USAGE;
}
