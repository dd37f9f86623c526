/* Files: read whole or mapped, and written so that a reader sees the old file or the new one, never half of
 * it. */
#ifndef FKP_FILE_H
#define FKP_FILE_H

#include <stdbool.h>

#include "base/memory.h"

/* A file's bytes, mapped read-only. */
typedef struct fkp_file {
    const uint8_t *data;
    size_t size;
    int descriptor; /* open as long as data is not NULL */
} fkp_file;

facekp_status fkp_file_open(const char *path, fkp_file *file, fkp_error *error);
void fkp_file_close(fkp_file *file);
/* Copies `size` bytes from `offset` on, without touching the mapping: for bytes that are read once this costs
 * a third of their page faults. FACEKP_ERROR_READ where the file has become shorter than it was. Any threads
 * at a time. */
facekp_status fkp_file_read(const fkp_file *file, size_t offset, size_t size, void *bytes, fkp_error *error);

/* A file being written under a temporary name beside its own, which is locked (flock) as long as the writer
 * lives. */
typedef struct fkp_writer fkp_writer;
facekp_status fkp_writer_open(const fkp_memory *memory, const char *path, fkp_writer **writer,
                              fkp_error *error);
/* Once a write has failed the rest do nothing; fkp_writer_finish reports it. */
void fkp_writer_write(fkp_writer *writer, const void *data, size_t size);
/* Flushes to the disk, renames over the target, and frees the writer. On failure the temporary file is
 * removed. */
facekp_status fkp_writer_finish(fkp_writer *writer, fkp_error *error);
/* Gives up: removes the temporary file and frees the writer. NULL is fine. */
void fkp_writer_abandon(fkp_writer *writer);

/* Removes the temporary files that writers of `path` left behind when their processes were killed. One whose
 * process runs, or that is locked (from another container, say), stays. */
facekp_status fkp_file_sweep(const fkp_memory *memory, const char *path, fkp_error *error);

#endif
