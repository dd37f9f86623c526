#include "decode/decode.h"

void fkp_decode_regression(const float *raw, size_t count, float *points) {
    for (size_t i = 0; i < count; i++) points[i] = FKP_COORDINATE_SCALE * raw[i] + FKP_COORDINATE_OFFSET;
}
