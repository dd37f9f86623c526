/* For stat and mkdir. */
#define _POSIX_C_SOURCE 200809L
#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"

bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool make_folder(const char *path) {
    if (is_folder(path) || mkdir(path, 0777) == 0) return true;
    complain("%s: the folder could not be made: %s", path, strerror(errno));
    return false;
}

bool output_path(char *path, const char *folder, const char *image, size_t face, const char *suffix) {
    const char *slash = strrchr(image, '/');
    const char *name = slash == NULL ? image : slash + 1;
    const char *dot = strrchr(name, '.');
    const int length = dot == NULL || dot == name ? (int)strlen(name) : (int)(dot - name);
    char number[24] = "";
    if (face > 0) snprintf(number, sizeof number, "-%zu", face);
    int written = snprintf(path, PATH_BYTES, "%s/%.*s%s%s", folder, length, name, number, suffix);
    if (written > 0 && written < PATH_BYTES) return true;
    complain("%s/%s: the name is too long", folder, name);
    return false;
}
