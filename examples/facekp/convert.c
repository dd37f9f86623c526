#include <stdio.h>

#include "command.h"
#include "facekp/facekp.h"
#include "model_file.h"
#include "options.h"

int command_convert(int argc, char **argv) {
    bool f32 = false, f16 = false, bf16 = false;
    int32_t architecture = -1;
    const option_entry options[] = {
        {.name = "f32", .kind = OPTION_FLAG, .target = &f32, .help = "write 32-bit floats"},
        {.name = "f16", .kind = OPTION_FLAG, .target = &f16, .help = "write 16-bit floats"},
        {.name = "bf16", .kind = OPTION_FLAG, .target = &bf16, .help = "write bfloat16"},
        {.name = "architecture",
         .kind = OPTION_CHOICE,
         .target = &architecture,
         .value = "NAME",
         .choices = architecture_names,
         .help = "what IN holds, where it does not tell: direct, resnet18, dino, unet"},
    };
    const command_usage usage = {
        .line = "facekp convert [OPTIONS] IN OUT",
        .about = "Reads a weights file (safetensors or a PyTorch checkpoint) and writes it as "
                 "safetensors.\nWithout a type, every tensor keeps its own.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .least = 2,
        .most = 2};
    char **files;
    int count;
    int code = parse_options(&usage, argc, argv, &files, &count);
    if (code != PARSED) return code;
    if (f32 + f16 + bf16 > 1) {
        complain("only one of --f32, --f16 and --bf16 can be written");
        return EXIT_USAGE;
    }
    char message[512] = "";
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.message = message;
    load.message_size = sizeof message;
    load.architecture = architecture + 1;
    const int32_t dtype = f32 ? FACEKP_F32 : f16 ? FACEKP_F16 : bf16 ? FACEKP_BF16 : FACEKP_DTYPE_DEFAULT;
    facekp_status status = facekp_convert(files[0], files[1], dtype, &load);
    if (status == FACEKP_OK) return EXIT_DONE;
    complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return status == FACEKP_ERROR_WRITE ? EXIT_INPUT : EXIT_MODEL;
}
