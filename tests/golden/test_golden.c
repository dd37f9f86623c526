/* The networks, whole and at full size, against PyTorch's numbers (make_golden.py), on every instruction set
 * of this machine. Regressions within 1e-4; heatmaps within 1e-3 of their largest logit, with the same
 * maxima. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "golden/generator.h"
#include "image/image.h"
#include "networks/networks.h"
#include "support/run_suite.h"

enum { IMAGES = 2, MOST_VALUES = 1024 };

typedef struct golden_case {
    const char *name;
    fkp_network_options options;
    double gain;
} golden_case;

static const golden_case cases[] = {
    {"direct_elu", {.architecture = FACEKP_DIRECT}, 1.2},
    {"direct_relu", {.architecture = FACEKP_DIRECT, .activation = FKP_ACTIVATION_RELU}, 1.4},
    {"resnet18", {.architecture = FACEKP_RESNET18}, 1.0},
    {"dino_query", {.architecture = FACEKP_DINO}, 0.8},
    {"dino_flatten", {.architecture = FACEKP_DINO, .head = FKP_DINO_FLATTEN}, 0.8},
    {"unet_32", {.architecture = FACEKP_UNET}, 1.2},
    {"unet_8", {.architecture = FACEKP_UNET, .width = 8}, 1.2}};
enum { CASES = sizeof cases / sizeof *cases };

/* The pictures: two generated ones, or windows of two real faces, which a machine need not have. */
typedef struct golden_pictures {
    const char *suffix; /* of the golden files */
    float pixels[IMAGES * GOLDEN_SIZE * GOLDEN_SIZE];
} golden_pictures;

static golden_pictures *generated_pictures(void) {
    golden_pictures *pictures = calloc(1, sizeof *pictures);
    pictures->suffix = "";
    for (size_t i = 0; i < IMAGES; i++)
        generate_picture(i, GOLDEN_SIZE, pictures->pixels + i * GOLDEN_SIZE * GOLDEN_SIZE);
    return pictures;
}

/* NULL, and a line that says so, where the faces are absent. */
static golden_pictures *real_pictures(void) {
    static const char *const names[IMAGES] = {"Ali_Abbas_31.png", "Alex_Ferguson_50.png"};
    enum { CORNER = 48 };
    fkp_memory memory = fkp_memory_from(NULL);
    golden_pictures *pictures = calloc(1, sizeof *pictures);
    pictures->suffix = "_real";
    float *out = pictures->pixels;
    for (int i = 0; i < IMAGES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/data/ytfaces68/test/%s", FKP_TEST_SHARED, names[i]);
        facekp_picture *picture;
        if (fkp_png_read(&memory, path, 1, &picture, NULL) != FACEKP_OK) {
            printf("skipped: real faces, there is no %s\n", path);
            free(pictures);
            return NULL;
        }
        for (int y = 0; y < GOLDEN_SIZE; y++)
            for (int x = 0; x < GOLDEN_SIZE; x++)
                *out++ = (float)picture->pixels[(y + CORNER) * picture->width + x + CORNER] / 255.0f;
        fkp_picture_free(picture);
    }
    return pictures;
}

/* One list of a golden file. */
static size_t read_list(const char *name, const char *suffix, const char *key, double *values) {
    char path[512], found[32];
    snprintf(path, sizeof path, "%s/golden/data/%s%s.txt", FKP_TEST_SOURCE, name, suffix);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    size_t count = 0;
    while (fscanf(file, "%31s %zu", found, &count) == 2) {
        ck_assert_uint_le(count, MOST_VALUES);
        for (size_t i = 0; i < count; i++) ck_assert_int_eq(fscanf(file, "%lf", &values[i]), 1);
        if (strcmp(found, key) == 0) {
            fclose(file);
            return count;
        }
    }
    ck_abort_msg("%s has no %s", path, key);
}

/* ---- comparing ---- */

static void compare_regression(const golden_case *c, const char *suffix, const float *out, size_t floats,
                               const char *isa) {
    double expected[MOST_VALUES], worst = 0;
    ck_assert_uint_eq(read_list(c->name, suffix, "output", expected), floats);
    for (size_t i = 0; i < floats; i++) worst = fmax(worst, fabs((double)out[i] - expected[i]));
    printf("%s on %s: largest difference %.2g\n", c->name, isa, worst);
    ck_assert_msg(worst <= 1e-4, "%s on %s: off by %g", c->name, isa, worst);
}

static size_t argmax(const float *map, size_t cells) {
    size_t best = 0;
    for (size_t i = 1; i < cells; i++)
        if (map[i] > map[best]) best = i;
    return best;
}

static void compare_heatmaps(const golden_case *c, const char *suffix, const float *out, size_t floats,
                             const char *isa) {
    double expected[MOST_VALUES], largest, worst = 0;
    ck_assert_uint_eq(read_list(c->name, suffix, "largest", expected), 1);
    largest = expected[0];
    size_t maps = read_list(c->name, suffix, "argmax", expected), cells = floats / maps;
    for (size_t i = 0; i < maps; i++)
        ck_assert_msg((double)argmax(out + i * cells, cells) == expected[i], "%s on %s: maximum of map %zu",
                      c->name, isa, i);
    size_t samples = read_list(c->name, suffix, "sample", expected);
    ck_assert_uint_eq(samples, (floats + 10006) / 10007);
    for (size_t i = 0; i < samples; i++) worst = fmax(worst, fabs((double)out[i * 10007] - expected[i]));
    printf("%s on %s: largest difference %.2g of the largest logit\n", c->name, isa, worst / largest);
    ck_assert_msg(worst <= 1e-3 * largest, "%s on %s: off by %g", c->name, isa, worst);
    ck_assert_uint_eq(read_list(c->name, suffix, "sum", expected), maps);
    for (size_t i = 0; i < maps; i++) {
        double sum = 0;
        for (size_t k = 0; k < cells; k++) sum += (double)out[i * cells + k];
        ck_assert_double_le(fabs(sum - expected[i]), 1e-3 * largest * (double)cells);
    }
}

/* ---- computing ---- */

static void run_case(const golden_case *c, const fkp_network *network, const float *parameters,
                     const fkp_kernels *kernels, const golden_pictures *pictures) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    size_t floats = IMAGES * fkp_shape_floats(network->layers[network->layer_count - 1].shape);
    float *out = calloc(floats, sizeof *out);

    fkp_program *program;
    fkp_pool *pool;
    fkp_workspace *workspace;
    fkp_weight_source source = {.user = (void *)(uintptr_t)parameters, .read = read_storage};
    ck_assert_int_eq(fkp_program_compile(&memory, network, kernels, &source, false, &program, &error),
                     FACEKP_OK);
    ck_assert_int_eq(fkp_pool_create(&memory, 2, NULL, NULL, &pool, &error), FACEKP_OK);
    ck_assert_int_eq(fkp_workspace_create(&memory, program, IMAGES, pool, &workspace, &error), FACEKP_OK);
    fkp_workspace_run(workspace, pictures->pixels, IMAGES, out);
    fkp_workspace_free(workspace);
    fkp_pool_free(pool);
    fkp_program_free(program);
    if (network->output_kind == FACEKP_OUTPUT_HEATMAPS)
        compare_heatmaps(c, pictures->suffix, out, floats, fkp_isa_name(kernels->isa));
    else
        compare_regression(c, pictures->suffix, out, floats, fkp_isa_name(kernels->isa));
    free(out);
}

static void check_case(const golden_case *c, const golden_pictures *pictures) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    fkp_network *network;
    ck_assert_int_eq(fkp_network_create(&memory, &c->options, &network, &error), FACEKP_OK);
    float *parameters = generate_parameters(network, c->gain);
    ck_assert_ptr_nonnull(parameters);
    for (int isa = FKP_ISA_PORTABLE; isa < FKP_ISA_COUNT; isa++) {
        fkp_kernels kernels;
        fkp_kernels_select((fkp_isa)isa, &kernels);
        if (kernels.isa == (fkp_isa)isa)
            run_case(c, network, parameters, &kernels, pictures);
        else
            printf("skipped: %s on %s, which this machine or FACEKP_CPU does not have\n", c->name,
                   fkp_isa_name((fkp_isa)isa));
    }
    free(parameters);
    fkp_network_free(&memory, network);
}

START_TEST(networks_compute_what_pytorch_computes) {
    golden_pictures *pictures = generated_pictures();
    check_case(&cases[_i], pictures);
    free(pictures);
}
END_TEST

START_TEST(on_real_faces_too) {
    golden_pictures *pictures = real_pictures();
    if (pictures != NULL) check_case(&cases[_i], pictures);
    free(pictures);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("golden");
    TCase *tests = tcase_create("golden");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, networks_compute_what_pytorch_computes, 0, CASES);
    tcase_add_loop_test(tests, on_real_faces_too, 0, CASES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
