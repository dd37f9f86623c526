/* For strnlen. */
#define _POSIX_C_SOURCE 200809L
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

facekp_status fkp_fail(fkp_error *error, facekp_status status, const char *format, ...) {
    if (error != NULL) {
        error->status = status;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

facekp_status fkp_fail_in(fkp_error *error, const char *prefix) {
    char text[FKP_MESSAGE_BYTES];
    int length = snprintf(text, sizeof text, "%s: ", prefix);
    size_t used = length < 0 ? 0 : (size_t)length;
    if (used < sizeof text && strncmp(error->message, text, used) == 0) return error->status;
    if (used >= sizeof text / 2) used = sizeof text / 2;
    size_t rest = strnlen(error->message, sizeof error->message - 1);
    if (rest > sizeof text - 1 - used) rest = sizeof text - 1 - used;
    memcpy(text + used, error->message, rest);
    text[used + rest] = '\0';
    memcpy(error->message, text, used + rest + 1);
    return error->status;
}

void fkp_error_copy(const fkp_error *error, char *buffer, size_t size) {
    if (buffer == NULL || size == 0) return;
    size_t length = strnlen(error->message, sizeof error->message - 1);
    if (length > size - 1) length = size - 1;
    memcpy(buffer, error->message, length);
    buffer[length] = '\0';
}

const char *fkp_status_string(facekp_status status) {
    switch (status) {
    case FACEKP_OK:
        return "success";
    case FACEKP_ERROR_ARGUMENT:
        return "invalid argument";
    case FACEKP_ERROR_STRUCT_SIZE:
        return "unknown struct_size";
    case FACEKP_ERROR_BUFFER:
        return "buffer too small";
    case FACEKP_ERROR_MEMORY:
        return "out of memory";
    case FACEKP_ERROR_LIMIT:
        return "limit exceeded";
    case FACEKP_ERROR_THREAD:
        return "thread could not be started";
    case FACEKP_ERROR_OPEN:
        return "file could not be opened";
    case FACEKP_ERROR_READ:
        return "file could not be read";
    case FACEKP_ERROR_WRITE:
        return "file could not be written";
    case FACEKP_ERROR_FORMAT:
        return "malformed file";
    case FACEKP_ERROR_TRUNCATED:
        return "truncated file";
    case FACEKP_ERROR_TENSOR:
        return "tensors do not match the network";
    case FACEKP_ERROR_VALUE:
        return "value is not finite";
    case FACEKP_ERROR_UNSUPPORTED:
        return "unsupported";
    case FACEKP_ERROR_STATE:
        return "not allowed in this state";
    case FACEKP_ERROR_CANCELLED:
        return "cancelled";
    default:
        return "unknown status";
    }
}
