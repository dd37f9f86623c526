/* Errors inside the library: a status and a sentence, carried together from where it failed to the public
 * handle. */
#ifndef FKP_STATUS_H
#define FKP_STATUS_H

#include "facekp/facekp.h"

#define FKP_MESSAGE_BYTES 512

/* The first failure wins: what and where (tensor name, byte offset, file), and what to do. */
typedef struct fkp_error {
    facekp_status status;
    char message[FKP_MESSAGE_BYTES];
} fkp_error;

/* Records status and message in *error (NULL is fine) and returns the status, so that a caller can write
 * `return fkp_fail(error, FACEKP_ERROR_FORMAT, "...")`. */
facekp_status fkp_fail(fkp_error *error, facekp_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message, for a caller that knows more (the file's name); once only, if it is
 * there already. Returns the status. */
facekp_status fkp_fail_in(fkp_error *error, const char *prefix);

/* A short name of a status; never NULL. */
const char *fkp_status_string(facekp_status status);

/* Copies the message into a caller's buffer, cut to fit, always terminated. */
void fkp_error_copy(const fkp_error *error, char *buffer, size_t size);

#endif
