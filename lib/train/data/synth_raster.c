#include "train/data/synth_raster.h"

#include <math.h>

static fkp_vector minus(fkp_vector a, fkp_vector b) { return (fkp_vector){a.x - b.x, a.y - b.y, a.z - b.z}; }

static fkp_vector unit(fkp_vector a) {
    const float length = sqrtf(a.x * a.x + a.y * a.y + a.z * a.z);
    if (!(length > 1e-12f)) return (fkp_vector){0.0f, 0.0f, 1.0f};
    return (fkp_vector){a.x / length, a.y / length, a.z / length};
}

void fkp_grid_normals(fkp_vertex *vertices, int32_t rows, int32_t columns, float outwards) {
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < columns; j++) {
            const int32_t up = i > 0 ? i - 1 : i, down = i + 1 < rows ? i + 1 : i;
            const int32_t left = j > 0 ? j - 1 : j, right = j + 1 < columns ? j + 1 : j;
            const fkp_vector a =
                minus(vertices[i * columns + right].place, vertices[i * columns + left].place);
            const fkp_vector b = minus(vertices[down * columns + j].place, vertices[up * columns + j].place);
            const fkp_vector normal = {outwards * (a.y * b.z - a.z * b.y), outwards * (a.z * b.x - a.x * b.z),
                                       outwards * (a.x * b.y - a.y * b.x)};
            vertices[i * columns + j].normal = unit(normal);
        }
}

/* ---- triangles ---- */

static float weigh(const float weights[3], float a, float b, float c) {
    return weights[0] * a + weights[1] * b + weights[2] * c;
}

static fkp_vertex blend(const fkp_vertex *a, const fkp_vertex *b, const fkp_vertex *c, const float w[3]) {
    const fkp_vector normal = {weigh(w, a->normal.x, b->normal.x, c->normal.x),
                               weigh(w, a->normal.y, b->normal.y, c->normal.y),
                               weigh(w, a->normal.z, b->normal.z, c->normal.z)};
    const fkp_vector place = {weigh(w, a->place.x, b->place.x, c->place.x),
                              weigh(w, a->place.y, b->place.y, c->place.y),
                              weigh(w, a->place.z, b->place.z, c->place.z)};
    return (fkp_vertex){place,
                        unit(normal),
                        weigh(w, a->column, b->column, c->column),
                        weigh(w, a->row, b->row, c->row),
                        weigh(w, a->u, b->u, c->u),
                        weigh(w, a->v, b->v, c->v),
                        weigh(w, a->angle, b->angle, c->angle)};
}

static int32_t clamp(float value, int32_t high) { return (int32_t)fminf(fmaxf(value, 0.0f), (float)high); }

static void draw_triangle(fkp_canvas *canvas, const fkp_vertex *a, const fkp_vertex *b, const fkp_vertex *c,
                          fkp_shader shader, const void *context) {
    const float area =
        (b->column - a->column) * (c->row - a->row) - (c->column - a->column) * (b->row - a->row);
    if (!(fabsf(area) > 1e-9f)) return;
    const int32_t size = canvas->size;
    const int32_t left = clamp(ceilf(fminf(fminf(a->column, b->column), c->column)), size);
    const int32_t right = clamp(floorf(fmaxf(fmaxf(a->column, b->column), c->column)) + 1.0f, size);
    const int32_t top = clamp(ceilf(fminf(fminf(a->row, b->row), c->row)), size);
    const int32_t bottom = clamp(floorf(fmaxf(fmaxf(a->row, b->row), c->row)) + 1.0f, size);
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = left; x < right; x++) {
            const float px = (float)x, py = (float)y;
            float w[3];
            w[0] = ((b->column - px) * (c->row - py) - (c->column - px) * (b->row - py)) / area;
            w[1] = ((c->column - px) * (a->row - py) - (a->column - px) * (c->row - py)) / area;
            w[2] = 1.0f - w[0] - w[1];
            const float edge = -1e-5f; /* neighbours overlap rather than gape */
            if (w[0] < edge || w[1] < edge || w[2] < edge) continue;
            const size_t pixel = (size_t)y * (size_t)size + (size_t)x;
            const fkp_vertex at = blend(a, b, c, w);
            if (at.place.z <= canvas->depth[pixel]) continue;
            const float light = shader(context, &at);
            if (light < 0.0f) continue;
            canvas->light[pixel] = light;
            canvas->depth[pixel] = at.place.z;
        }
}

void fkp_draw_grid(fkp_canvas *canvas, const fkp_vertex *vertices, int32_t rows, int32_t columns,
                   fkp_shader shader, const void *context) {
    for (int32_t i = 0; i + 1 < rows; i++)
        for (int32_t j = 0; j + 1 < columns; j++) {
            const fkp_vertex *corner = vertices + i * columns + j, *next = corner + columns;
            draw_triangle(canvas, corner, corner + 1, next, shader, context);
            draw_triangle(canvas, corner + 1, next + 1, next, shader, context);
        }
}
