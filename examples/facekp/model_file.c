/* For readlink. */
#define _POSIX_C_SOURCE 200809L
#include "model_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "paths.h"

#define DEFAULT_MODEL "facekp-resnet18.safetensors"

const char *const architecture_names[] = {"direct", "resnet18", "dino", "unet", NULL};

/* The folder of the running program; false where the system does not tell. */
static bool program_folder(char *folder, size_t size) {
    ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    if (length <= 0) return false;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    return true;
}

static bool try_model(const char *folder, const char *below, char *path) {
    int length = snprintf(path, PATH_BYTES, "%s%s/" DEFAULT_MODEL, folder, below);
    return length > 0 && length < PATH_BYTES && access(path, R_OK) == 0;
}

static bool find_default(char *path) {
    char folder[PATH_BYTES];
    if (program_folder(folder, sizeof folder) &&
        (try_model(folder, "/models", path) || try_model(folder, "/../share/facekp/models", path)))
        return true;
    return try_model(FACEKP_INSTALLED_MODELS, "", path);
}

const char *find_model(const char *path, char *found) {
    if (path == NULL) path = getenv("FACEKP_MODEL");
    if (path != NULL) return path;
    if (find_default(found)) return found;
    complain("no " DEFAULT_MODEL " came with this tool; name a model with --model or FACEKP_MODEL");
    return NULL;
}

facekp_model *load_model(const char *path, const facekp_load_options *given) {
    char found[PATH_BYTES], message[512] = "";
    facekp_load_options options = *given;
    options.message = message;
    options.message_size = sizeof message;
    if (options.random_weights == 0) {
        path = find_model(path, found);
        if (path == NULL) return NULL;
    }
    facekp_model *model;
    facekp_status status = facekp_model_load(path, &options, &model);
    if (status != FACEKP_OK) complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return model;
}
