#include "facekp/credentials.h"

#include <string.h>

#include "image/face_crop.h"

enum { MAX_BIAS_PX = 50, MAX_DIGITS = 15 };

static const char *skip_separators(const char *text) { return text + strspn(text, " \t,;[]()"); }

/* A decimal number without exponent; strtod would follow the host's locale. NULL if there is none. */
static const char *read_decimal(const char *text, double *value) {
    double sign = *text == '-' ? -1.0 : 1.0, number = 0.0, scale = 1.0;
    if (*text == '-' || *text == '+') text++;
    int digits = 0;
    for (; *text >= '0' && *text <= '9'; text++, digits++) number = 10.0 * number + (*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, digits++) {
            number = 10.0 * number + (*text - '0');
            scale *= 10.0;
        }
    if (digits == 0 || digits > MAX_DIGITS) return NULL;
    *value = sign * number / scale;
    return text;
}

/* Reads exactly `count` numbers of a metadata entry, each within [low, high]; without the entry, leaves them.
 */
static facekp_status read_numbers(const fkp_weights *weights, const char *key, double *values, size_t count,
                                  double low, double high, fkp_error *error) {
    const char *text = fkp_weights_metadata(weights, key);
    if (text == NULL) return FACEKP_OK;
    double found[2];
    const char *rest = skip_separators(text);
    for (size_t i = 0; i < count && rest != NULL; i++) {
        rest = read_decimal(rest, &found[i]);
        if (rest != NULL && !(found[i] >= low && found[i] <= high)) rest = NULL;
        if (rest != NULL) rest = skip_separators(rest);
    }
    if (rest == NULL || *rest != '\0')
        return fkp_fail(error, FACEKP_ERROR_FORMAT,
                        "metadata %s is \"%.40s\"; expected %zu decimal number(s) from %g to %g", key, text,
                        count, low, high);
    memcpy(values, found, count * sizeof *values);
    return FACEKP_OK;
}

static char *copy_entry(const fkp_memory *memory, const fkp_weights *weights, const char *key) {
    const char *text = weights == NULL ? NULL : fkp_weights_metadata(weights, key);
    return fkp_copy_string(memory, text == NULL ? "" : text);
}

facekp_status fkp_credentials_read(const fkp_memory *memory, const fkp_weights *weights,
                                   fkp_credentials *credentials, fkp_error *error) {
    *credentials = (fkp_credentials){.second_pass_fill = FKP_BOX_FILL};
    credentials->license = copy_entry(memory, weights, "license");
    credentials->training_data = copy_entry(memory, weights, "training_data");
    if (credentials->license == NULL || credentials->training_data == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the model's metadata");
    if (weights == NULL) return FACEKP_OK;
    facekp_status status =
        read_numbers(weights, "label_bias_px", credentials->label_bias, 2, -MAX_BIAS_PX, MAX_BIAS_PX, error);
    if (status == FACEKP_OK)
        status =
            read_numbers(weights, "second_pass_fill", &credentials->second_pass_fill, 1, 0.1, 1.0, error);
    return status;
}

static void free_string(const fkp_memory *memory, char *text) {
    if (text != NULL) fkp_release(memory, text, strlen(text) + 1, 1);
}

void fkp_credentials_free(const fkp_memory *memory, fkp_credentials *credentials) {
    free_string(memory, credentials->license);
    free_string(memory, credentials->training_data);
}
