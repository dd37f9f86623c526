/* For fsync, mmap, madvise, fileno, flock and kill. */
#define _GNU_SOURCE
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

facekp_status fkp_file_open(const char *path, fkp_file *file, fkp_error *error) {
    *file = (fkp_file){NULL, 0, -1};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fkp_fail(error, FACEKP_ERROR_OPEN, "%s: %s", path, strerror(errno));
    struct stat about;
    facekp_status status = FACEKP_OK;
    if (fstat(descriptor, &about) != 0)
        status = fkp_fail(error, FACEKP_ERROR_READ, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        status = fkp_fail(error, FACEKP_ERROR_OPEN, "%s: is not a regular file", path);
    else if (about.st_size == 0)
        status = fkp_fail(error, FACEKP_ERROR_TRUNCATED, "%s: the file is empty", path);
    else {
        void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            status = fkp_fail(error, FACEKP_ERROR_READ, "%s: could not be mapped: %s", path, strerror(errno));
        else
            *file = (fkp_file){data, (size_t)about.st_size, descriptor};
    }
    if (status != FACEKP_OK) close(descriptor);
    return status;
}

void fkp_file_close(fkp_file *file) {
    if (file->data != NULL) {
        munmap((void *)(uintptr_t)file->data, file->size);
        close(file->descriptor);
    }
    *file = (fkp_file){NULL, 0, -1};
}

facekp_status fkp_file_read(const fkp_file *file, size_t offset, size_t size, void *bytes, fkp_error *error) {
    uint8_t *target = bytes;
    while (size > 0) {
        ssize_t count = pread(file->descriptor, target, size, (off_t)offset);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0)
            return fkp_fail(error, FACEKP_ERROR_READ, "%zu bytes at %zu could not be read: %s", size, offset,
                            count == 0 ? "the file has become shorter" : strerror(errno));
        target += count;
        offset += (size_t)count;
        size -= (size_t)count;
    }
    return FACEKP_OK;
}

struct fkp_writer {
    fkp_memory memory;
    FILE *stream;
    char *path;
    char *temporary;
    int failure; /* errno of the first write that failed */
};

static void free_writer(fkp_writer *writer) {
    fkp_memory memory = writer->memory;
    if (writer->path != NULL) fkp_release(&memory, writer->path, strlen(writer->path) + 1, 1);
    if (writer->temporary != NULL) fkp_release(&memory, writer->temporary, strlen(writer->temporary) + 1, 1);
    fkp_release(&memory, writer, 1, sizeof *writer);
}

/* The temporary name: the path, the process's number, ".tmp". Two processes do not write into each other's.
 */
static char *temporary_name(const fkp_memory *memory, const char *path) {
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld.tmp", (long)getpid());
    size_t length = strlen(path), extra = strlen(suffix) + 1;
    char *name = fkp_allocate_raw(memory, length + extra, 1);
    if (name == NULL) return NULL;
    memcpy(name, path, length);
    memcpy(name + length, suffix, extra);
    return name;
}

/* A device or a folder is not to be replaced by a file of its name. */
static bool replaceable(const char *path) {
    struct stat about;
    return stat(path, &about) != 0 || S_ISREG(about.st_mode);
}

facekp_status fkp_writer_open(const fkp_memory *memory, const char *path, fkp_writer **result,
                              fkp_error *error) {
    *result = NULL;
    if (!replaceable(path))
        return fkp_fail(error, FACEKP_ERROR_WRITE, "%s: is not a regular file, and is not replaced by one",
                        path);
    fkp_writer *writer = fkp_allocate(memory, 1, sizeof *writer);
    if (writer == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory to write it", path);
    writer->memory = *memory;
    writer->path = fkp_copy_string(memory, path);
    writer->temporary = temporary_name(memory, path);
    if (writer->path == NULL || writer->temporary == NULL) {
        free_writer(writer);
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory to write it", path);
    }
    writer->stream = fopen(writer->temporary, "wb");
    if (writer->stream == NULL) {
        facekp_status status =
            fkp_fail(error, FACEKP_ERROR_WRITE, "%s: %s", writer->temporary, strerror(errno));
        free_writer(writer);
        return status;
    }
    (void)flock(fileno(writer->stream), LOCK_EX | LOCK_NB); /* for fkp_file_sweep; not every disk has locks */
    *result = writer;
    return FACEKP_OK;
}

void fkp_writer_write(fkp_writer *writer, const void *data, size_t size) {
    if (writer->failure != 0 || size == 0) return;
    if (fwrite(data, 1, size, writer->stream) != size) writer->failure = errno != 0 ? errno : EIO;
}

facekp_status fkp_writer_finish(fkp_writer *writer, fkp_error *error) {
    int failure = writer->failure;
    if (failure == 0 && fflush(writer->stream) != 0) failure = errno;
    if (failure == 0 && fsync(fileno(writer->stream)) != 0) failure = errno;
    if (fclose(writer->stream) != 0 && failure == 0) failure = errno;
    if (failure == 0 && rename(writer->temporary, writer->path) != 0) failure = errno;
    facekp_status status = FACEKP_OK;
    if (failure != 0) {
        unlink(writer->temporary);
        status = fkp_fail(error, FACEKP_ERROR_WRITE, "%s: %s", writer->path, strerror(failure));
    }
    free_writer(writer);
    return status;
}

void fkp_writer_abandon(fkp_writer *writer) {
    if (writer == NULL) return;
    fclose(writer->stream);
    unlink(writer->temporary);
    free_writer(writer);
}

/* ---- what killed writers left ---- */

/* The process of a temporary file of `name`, as temporary_name() writes it; 0 for any other file. */
static pid_t writer_of(const char *file, const char *name) {
    const size_t length = strlen(name);
    if (strncmp(file, name, length) != 0 || file[length] != '.') return 0;
    const char *digits = file + length + 1;
    const size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || strcmp(digits + count, ".tmp") != 0) return 0;
    return (pid_t)strtol(digits, NULL, 10);
}

static void remove_unlocked(int folder, const char *file) {
    int descriptor = openat(folder, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) (void)unlinkat(folder, file, 0);
    close(descriptor);
}

facekp_status fkp_file_sweep(const fkp_memory *memory, const char *path, fkp_error *error) {
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const size_t length = (size_t)(name - path);
    char *folder = fkp_allocate(memory, length + 2, 1);
    if (folder == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory for its folder", path);
    memcpy(folder, length == 0 ? "." : path, length == 0 ? 1 : length);
    DIR *entries = opendir(folder);
    fkp_release(memory, folder, length + 2, 1);
    if (entries == NULL) return FACEKP_OK; /* writing there will say why */
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        const pid_t process = writer_of(entry->d_name, name);
        if (process > 0 && kill(process, 0) != 0 && errno == ESRCH)
            remove_unlocked(dirfd(entries), entry->d_name);
    }
    closedir(entries);
    return FACEKP_OK;
}
