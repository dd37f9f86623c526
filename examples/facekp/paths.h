/* Names of the files a command writes. */
#ifndef PATHS_H
#define PATHS_H

#include <stdbool.h>
#include <stddef.h>

enum { PATH_BYTES = 4096 };

bool is_folder(const char *path);
/* Makes the folder if it is not there; complains and returns false when that fails. */
bool make_folder(const char *path);
/* folder/NAME[-FACE]SUFFIX, NAME being that of the image without folder and ending and FACE left out for the
 * first. Complains and returns false when that is too long. path: PATH_BYTES. */
bool output_path(char *path, const char *folder, const char *image, size_t face, const char *suffix);

#endif
