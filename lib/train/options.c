/* The public options: set by name from text, described for a checkpoint. */
#include <math.h>
#include <string.h>

#include "base/structs.h"
#include "train/option_table.h"
#include "train/settings.h"

/* Every released size. A struct grows only at its end, and its padding is named, so that these tell. */
#ifdef __LP64__
_Static_assert(sizeof(facekp_train_step) == 64, "facekp_train_step 0.1");
_Static_assert(sizeof(facekp_train_metrics) == 80, "facekp_train_metrics 0.1");
_Static_assert(sizeof(facekp_train_epoch) == 152, "facekp_train_epoch 0.1");
_Static_assert(sizeof(facekp_train_options) == 600, "facekp_train_options 0.1");
_Static_assert(sizeof(facekp_train_info) == 56, "facekp_train_info 0.1");
_Static_assert(sizeof(facekp_train_evaluation) == 128, "facekp_train_evaluation 0.1");
_Static_assert(sizeof(facekp_train_synthesis) == 80, "facekp_train_synthesis 0.1");
#endif

void facekp_train_options_init(facekp_train_options *options, size_t struct_size) {
    fkp_struct_init(options, struct_size);
}
void facekp_train_evaluation_init(facekp_train_evaluation *evaluation, size_t struct_size) {
    fkp_struct_init(evaluation, struct_size);
}
void facekp_train_synthesis_init(facekp_train_synthesis *synthesis, size_t struct_size) {
    fkp_struct_init(synthesis, struct_size);
}

const char *facekp_train_option_name(int32_t index) {
    return index >= 0 && (size_t)index < fkp_option_count ? fkp_options[index].name : NULL;
}

static const fkp_option *find_option(const char *name) {
    for (size_t i = 0; i < fkp_option_count; i++)
        if (strcmp(fkp_options[i].name, name) == 0) return &fkp_options[i];
    return NULL;
}

/* Decimal digits alone, without overflow: a seed may use all 64 bits. */
static bool parse_whole(const char *text, uint64_t *value) {
    uint64_t result = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (result > (UINT64_MAX - digit) / 10) return false;
        result = 10 * result + digit;
    }
    *value = result;
    return true;
}

static facekp_status set_option(facekp_train_options *options, const char *name, const char *text,
                                fkp_error *error) {
    const fkp_option *option = find_option(name);
    if (option == NULL) return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "there is no option \"%.60s\"", name);
    char *place = (char *)options + option->offset;
    double real = 0.0;
    uint64_t whole;
    bool number = fkp_parse_number(text, text + strlen(text), &real) && isfinite(real);
    switch (option->kind) {
    case FKP_OPTION_STRING:
        memcpy(place, &text, sizeof text);
        return FACEKP_OK;
    case FKP_OPTION_REAL:
        if (!number) break;
        memcpy(place, &real, sizeof real);
        return FACEKP_OK;
    case FKP_OPTION_WHOLE:
        if (!parse_whole(text, &whole)) break;
        memcpy(place, &whole, sizeof whole);
        return FACEKP_OK;
    case FKP_OPTION_INTEGER:
        if (!number || real != floor(real) || fabs(real) > INT32_MAX) break;
        memcpy(place, &(int32_t){(int32_t)real}, sizeof(int32_t));
        return FACEKP_OK;
    }
    return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "option %s is \"%.60s\", which is not a %s", name, text,
                    option->kind == FKP_OPTION_REAL ? "number" : "whole number");
}

facekp_status facekp_train_option_set(facekp_train_options *options, const char *name, const char *value,
                                      char *message, size_t message_size) {
    if (options == NULL || name == NULL || value == NULL) return FACEKP_ERROR_ARGUMENT;
    if (options->struct_size < sizeof *options) return FACEKP_ERROR_STRUCT_SIZE;
    fkp_error error = {0};
    facekp_status status = set_option(options, name, value, &error);
    if (status != FACEKP_OK) fkp_error_copy(&error, message, message_size);
    return status;
}

static void describe_option(const fkp_option *option, const char *place, fkp_text *text) {
    const char *string;
    double real;
    uint64_t whole;
    int32_t integer;
    fkp_text_append(text, "%s = ", option->name);
    switch (option->kind) {
    case FKP_OPTION_STRING:
        memcpy(&string, place, sizeof string);
        fkp_text_append(text, "%s", string == NULL ? "" : string);
        break;
    case FKP_OPTION_REAL:
        memcpy(&real, place, sizeof real);
        fkp_text_number(text, real, -1);
        break;
    case FKP_OPTION_WHOLE:
        memcpy(&whole, place, sizeof whole);
        fkp_text_append(text, "%llu", (unsigned long long)whole);
        break;
    case FKP_OPTION_INTEGER:
        memcpy(&integer, place, sizeof integer);
        fkp_text_append(text, "%d", (int)integer);
        break;
    }
    fkp_text_append(text, "\n");
}

void fkp_options_describe(const facekp_train_options *options, fkp_text *text) {
    for (size_t i = 0; i < fkp_option_count; i++)
        if (fkp_options[i].decides)
            describe_option(&fkp_options[i], (const char *)options + fkp_options[i].offset, text);
}
