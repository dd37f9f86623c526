/* JSON (RFC 8259): a reader with limits, for files from anywhere, and a writer of text that every reader
 * takes. */
#ifndef FKP_JSON_H
#define FKP_JSON_H

#include <stdbool.h>

#include "base/memory.h"

#define FKP_JSON_DEPTH 16         /* containers inside one another */
#define FKP_JSON_VALUES (1 << 18) /* values in all */

typedef enum fkp_json_kind {
    FKP_JSON_NULL,
    FKP_JSON_FALSE,
    FKP_JSON_TRUE,
    FKP_JSON_NUMBER,
    FKP_JSON_STRING,
    FKP_JSON_ARRAY,
    FKP_JSON_OBJECT
} fkp_json_kind;

typedef struct fkp_json_value {
    fkp_json_kind kind;
    uint32_t parent, first, next; /* indices; 0, the root's, stands for none */
    uint32_t count;               /* of an array or object: elements or members */
    const char *key;              /* of a member of an object, else NULL */
    const char *text;             /* of a string: its UTF-8; of a number: as it is spelled; else NULL */
} fkp_json_value;

typedef struct fkp_json fkp_json;

/* Reads one document. Refused, with the byte where: invalid UTF-8, unpaired surrogates, NUL inside a string,
 * a key twice in one object, more than the limits, anything but white space after the document. The text is
 * not needed after the call. */
facekp_status fkp_json_parse(const fkp_memory *memory, const char *text, size_t size, fkp_json **json,
                             fkp_error *error);
void fkp_json_free(fkp_json *json);

const fkp_json_value *fkp_json_root(const fkp_json *json);
/* The children of a container, in the order of the text; NULL after the last. */
const fkp_json_value *fkp_json_first(const fkp_json *json, const fkp_json_value *container);
const fkp_json_value *fkp_json_next(const fkp_json *json, const fkp_json_value *value);
/* The member of an object with that key; NULL if there is none or `object` is no object. */
const fkp_json_value *fkp_json_find(const fkp_json *json, const fkp_json_value *object, const char *key);
/* A number spelled as digits alone, in the range of uint64_t. False for anything else, and for NULL. */
bool fkp_json_unsigned(const fkp_json_value *value, uint64_t *result);

/* Bytes of the UTF-8 sequence that `text` begins with (1 to 4), or 0 if it is not a valid one. */
size_t fkp_utf8_sequence(const char *text, size_t size);

/* Text being written. Once memory has failed the rest does nothing and `failed` is set. */
typedef struct fkp_json_writer {
    fkp_memory memory;
    char *text; /* not terminated */
    size_t used, capacity;
    bool failed;
} fkp_json_writer;

void fkp_json_writer_begin(fkp_json_writer *writer, const fkp_memory *memory);
void fkp_json_write_raw(fkp_json_writer *writer, const char *text); /* as it is: brackets, commas, numbers */
void fkp_json_write_unsigned(fkp_json_writer *writer, uint64_t number);
/* Quoted and escaped; bytes that are not UTF-8 become U+FFFD. */
void fkp_json_write_string(fkp_json_writer *writer, const char *text);
void fkp_json_writer_free(fkp_json_writer *writer);

#endif
