/* Fuzz target: any bytes through the JSON reader; what it accepts must write and read back. */
#include <stdlib.h>

#include "base/json.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_json *json, *again;
    fkp_error error = {0};
    if (fkp_json_parse(&memory, (const char *)data, size, &json, &error) != FACEKP_OK) return 0;
    const fkp_json_value *root = fkp_json_root(json);
    for (const fkp_json_value *v = fkp_json_first(json, root); v != NULL; v = fkp_json_next(json, v)) {
        if (v->key != NULL && fkp_json_find(json, root, v->key) != v) abort();
        if (v->kind != FKP_JSON_STRING) continue;
        fkp_json_writer writer;
        fkp_json_writer_begin(&writer, &memory);
        fkp_json_write_string(&writer, v->text);
        if (!writer.failed) {
            if (fkp_json_parse(&memory, writer.text, writer.used, &again, &error) != FACEKP_OK) abort();
            fkp_json_free(again);
        }
        fkp_json_writer_free(&writer);
    }
    fkp_json_free(json);
    return 0;
}
