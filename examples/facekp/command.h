/* What the commands of the tool share. A command is a function and a line in the table of main.c. */
#ifndef COMMAND_H
#define COMMAND_H

/* Exit codes, the same for every command. */
enum {
    EXIT_DONE = 0,
    EXIT_INPUT = 1, /* some inputs failed, or an output could not be written */
    EXIT_USAGE = 2, /* the command line was wrong */
    EXIT_MODEL = 3  /* the model could not be loaded */
};

/* Runs with argv[0] the command's name; returns an exit code. */
typedef int command_function(int argc, char **argv);

command_function command_predict;
command_function command_info;
command_function command_convert;
#ifdef FACEKP_TOOL_TRAINS
command_function command_train;
command_function command_eval;
command_function command_plot;
command_function command_synth;
#endif

/* Prints "facekp: " and the message on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
