#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "facekp/facekp.h"
#include "model_file.h"
#include "options.h"
#include "text.h"

static const double mebibyte = 1048576.0;

static void print_text(const facekp_model *model, const facekp_model_info *info, size_t session_bytes) {
    const bool heatmaps = info->output_kind == FACEKP_OUTPUT_HEATMAPS;
    printf("architecture     %s%s%s\n", info->architecture, info->variant[0] != '\0' ? ", " : "", info->variant);
    printf("input            1 x %d x %d\n", (int)info->input_height, (int)info->input_width);
    if (heatmaps)
        printf("output           %d heatmaps of %d x %d\n", (int)info->keypoints, (int)info->output_height,
               (int)info->output_width);
    else
        printf("output           %d points\n", (int)info->keypoints);
    printf("parameters       %" PRIu64 "\n", info->parameters);
    printf("multiply-adds    %.3f G per image, in direct form\n", (double)info->multiply_adds * 1e-9);
    printf("weights          %s in the file, %.1f MiB packed\n", info->precision,
           (double)info->weight_bytes / mebibyte);
    printf("working memory   %.1f MiB a session\n", (double)session_bytes / mebibyte);
    printf("computes with    %s\n", info->cpu);
    printf("label bias       %.2f, %.2f px of the crop\n", info->label_bias_px[0], info->label_bias_px[1]);
    printf("licence          %s\n", info->license[0] != '\0' ? info->license : "(the file does not say)");
    printf("training data    %s\n\n",
           info->training_data[0] != '\0' ? info->training_data : "(the file does not say)");

    printf("%4s  %-28s %-20s %-18s %12s %12s\n", "", "name", "kind", "output C x H x W", "parameters",
           "M mul-adds");
    for (int32_t i = 0; i < facekp_model_layer_count(model); i++) {
        facekp_layer_info layer = FACEKP_LAYER_INFO_INIT;
        if (facekp_model_get_layer(model, i, &layer) != FACEKP_OK) break;
        char shape[48];
        snprintf(shape, sizeof shape, "%d x %d x %d", (int)layer.channels, (int)layer.height,
                 (int)layer.width);
        printf("%4d  %-28s %-20s %-18s %12" PRIu64 " %12.2f\n", (int)i + 1, layer.name, layer.kind, shape,
               layer.parameters, (double)layer.multiply_adds * 1e-6);
    }
}

static void print_json_text(const char *name, const char *text) {
    printf("  \"%s\": ", name);
    write_json_string(stdout, text);
    puts(",");
}

static void print_json(const facekp_model *model, const facekp_model_info *info, size_t session_bytes) {
    puts("{");
    print_json_text("architecture", info->architecture);
    print_json_text("variant", info->variant);
    print_json_text("license", info->license);
    print_json_text("training_data", info->training_data);
    print_json_text("precision", info->precision);
    print_json_text("cpu", info->cpu);
    print_json_text("output_kind", info->output_kind == FACEKP_OUTPUT_HEATMAPS ? "heatmaps" : "regression");
    printf("  \"keypoints\": %d,\n  \"input\": [1, %d, %d],\n  \"output\": [%d, %d, %d],\n",
           (int)info->keypoints, (int)info->input_height, (int)info->input_width, (int)info->keypoints,
           (int)info->output_height, (int)info->output_width);
    printf("  \"parameters\": %" PRIu64 ",\n  \"multiply_adds\": %" PRIu64 ",\n", info->parameters,
           info->multiply_adds);
    printf("  \"weight_bytes\": %" PRIu64 ",\n  \"session_bytes\": %zu,\n", info->weight_bytes,
           session_bytes);
    printf("  \"label_bias_px\": [%g, %g],\n  \"layers\": [", info->label_bias_px[0], info->label_bias_px[1]);
    for (int32_t i = 0; i < facekp_model_layer_count(model); i++) {
        facekp_layer_info layer = FACEKP_LAYER_INFO_INIT;
        if (facekp_model_get_layer(model, i, &layer) != FACEKP_OK) break;
        fputs(i == 0 ? "\n    {\"name\": " : ",\n    {\"name\": ", stdout);
        write_json_string(stdout, layer.name);
        printf(", \"kind\": \"%s\", \"output\": [%d, %d, %d], \"parameters\": %" PRIu64
               ", \"multiply_adds\": %" PRIu64 "}",
               layer.kind, (int)layer.channels, (int)layer.height, (int)layer.width, layer.parameters,
               layer.multiply_adds);
    }
    puts("\n  ]\n}");
}

int command_info(int argc, char **argv) {
    bool json = false;
    int32_t architecture = -1, random = -1;
    const option_entry options[] = {
        {.name = "json", .kind = OPTION_FLAG, .target = &json, .help = "print JSON"},
        {.name = "architecture",
         .kind = OPTION_CHOICE,
         .target = &architecture,
         .value = "NAME",
         .choices = architecture_names,
         .help = "what FILE holds, where it does not tell: direct, resnet18, dino, unet"},
        {.name = "random",
         .kind = OPTION_CHOICE,
         .target = &random,
         .value = "NAME",
         .choices = architecture_names,
         .help = "describe this architecture with random weights instead of a file"},
    };
    const command_usage usage = {.line = "facekp info [OPTIONS] [FILE]",
                                 .about = "Describes a model; without FILE the one that comes with the tool.",
                                 .options = options,
                                 .option_count = sizeof options / sizeof options[0],
                                 .least = 0,
                                 .most = 1};
    char **files;
    int count;
    int code = parse_options(&usage, argc, argv, &files, &count);
    if (code != PARSED) return code;
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.architecture = random >= 0 ? random + 1 : architecture + 1;
    load.random_weights = random >= 0;
    facekp_model *model = load_model(count == 1 ? files[0] : NULL, &load);
    if (model == NULL) return EXIT_MODEL;
    facekp_session *session;
    facekp_model_info info = FACEKP_MODEL_INFO_INIT;
    facekp_status status = facekp_session_open(model, NULL, &session);
    if (status == FACEKP_OK) status = facekp_model_get_info(model, &info);
    if (status != FACEKP_OK)
        complain("%s", facekp_status_string(status));
    else if (json)
        print_json(model, &info, facekp_session_memory(session));
    else
        print_text(model, &info, facekp_session_memory(session));
    facekp_session_free(session);
    facekp_model_free(model);
    if (status != FACEKP_OK) return EXIT_MODEL;
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_INPUT;
}
