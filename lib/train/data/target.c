#include "train/data/target.h"

#include "decode/decode.h"

double fkp_target_cell(float normalised, size_t size) {
    double pixel = (double)FKP_COORDINATE_SCALE * (double)normalised + (double)FKP_COORDINATE_OFFSET;
    return (pixel + 0.5) * (double)size / FKP_INPUT_CROP - 0.5;
}

void fkp_target_cells(const float *normalised, size_t count, size_t size, float *cells) {
    for (size_t i = 0; i < count; i++) cells[i] = (float)fkp_target_cell(normalised[i], size);
}
