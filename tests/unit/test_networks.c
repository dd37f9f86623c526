/* The four descriptions against the published counts, and the errors of describing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "networks/networks.h"

static fkp_network *create(fkp_network_options options) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network;
    fkp_error error = {0};
    ck_assert_msg(fkp_network_create(&memory, &options, &network, &error) == FACEKP_OK, "%s", error.message);
    return network;
}

static void destroy(fkp_network *network) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_network_free(&memory, network);
}

static void check_counts(fkp_network_options options, uint64_t parameters, uint64_t multiply_adds) {
    fkp_network *network = create(options);
    uint64_t count = 0, work = 0;
    for (int32_t i = 0; i < network->layer_count; i++) {
        count += fkp_layer_parameters(network, i);
        work += fkp_layer_multiply_adds(network, i);
    }
    ck_assert_uint_eq(count, parameters);
    ck_assert_uint_eq(work, multiply_adds);
    destroy(network);
}

START_TEST(counts_are_the_published_ones) {
    check_counts((fkp_network_options){.architecture = FACEKP_DIRECT}, 33008168, 1013916160);
    check_counts((fkp_network_options){.architecture = FACEKP_RESNET18}, 11240008, 1734955008);
    check_counts((fkp_network_options){.architecture = FACEKP_UNET}, 7767620, 9320693760);
    /* With one gray channel the patch embedding has 2 x 256 x 384 weights fewer than the published
     * 21,692,546, and as many multiply-adds fewer per patch than 4,608,786,432. */
    check_counts((fkp_network_options){.architecture = FACEKP_DINO}, 21692546 - 196608,
                 4608786432 - UINT64_C(196) * 196608);
}
END_TEST

START_TEST(names_and_shapes_are_those_of_the_state_dicts) {
    static const struct {
        int32_t architecture;
        fkp_dino_head head;
        const char *name;
        int32_t rank;
        size_t shape[4];
    } expected[] = {
        {FACEKP_DIRECT, 0, "fc.0.weight", 2, {1024, 30976}},
        {FACEKP_RESNET18, 0, "layer2.0.downsample.0.weight", 4, {128, 64, 1, 1}},
        {FACEKP_RESNET18, 0, "bn1.running_var", 1, {64}},
        {FACEKP_DINO, FKP_DINO_QUERY, "pos_embed", 3, {1, 197, 384}},
        {FACEKP_DINO, FKP_DINO_QUERY, "query", 2, {68, 384}},
        {FACEKP_DINO, FKP_DINO_QUERY, "blocks.11.mlp.fc1.weight", 2, {1536, 384}},
        {FACEKP_DINO, FKP_DINO_FLATTEN, "fc.0.weight", 2, {1024, 75264}},
        {FACEKP_UNET, 0, "up.0.weight", 4, {512, 256, 2, 2}},
        {FACEKP_UNET, 0, "upconv.3.0.weight", 4, {32, 64, 3, 3}},
        {FACEKP_UNET, 0, "outc.bias", 1, {68}},
    };
    fkp_network *network =
        create((fkp_network_options){.architecture = expected[_i].architecture, .head = expected[_i].head});
    int32_t found = 0;
    while (found < network->parameter_count &&
           strcmp(network->parameters[found].name, expected[_i].name) != 0)
        found++;
    ck_assert_msg(found < network->parameter_count, "%s is missing", expected[_i].name);
    const fkp_parameter *parameter = &network->parameters[found];
    ck_assert_int_eq(parameter->rank, expected[_i].rank);
    for (int32_t i = 0; i < parameter->rank; i++)
        ck_assert_uint_eq(parameter->shape[i], expected[_i].shape[i]);
    ck_assert_uint_eq(parameter->offset % 16, 0);
    destroy(network);
}
END_TEST

START_TEST(unusable_sizes_are_refused) {
    static const fkp_network_options bad[] = {
        {.architecture = 9},
        {.architecture = FACEKP_DIRECT, .input_size = 32},
        {.architecture = FACEKP_DINO, .dimension = 100, .heads = 7},
        {.architecture = FACEKP_UNET, .input_size = 40},
        {.architecture = FACEKP_UNET, .width = 100000},
    };
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network = (fkp_network *)1;
    fkp_error error = {0};
    ck_assert_int_ne(fkp_network_create(&memory, &bad[_i], &network, &error), FACEKP_OK);
    ck_assert_ptr_null(network);
    ck_assert_uint_gt(strlen(error.message), 0);
}
END_TEST

START_TEST(initial_values_follow_the_seed) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network = create((fkp_network_options){.architecture = FACEKP_UNET, .width = 4});
    float *a = fkp_allocate(&memory, network->storage, sizeof *a);
    float *b = fkp_allocate(&memory, network->storage, sizeof *b);
    ck_assert(a != NULL && b != NULL);
    fkp_network_initialize(network, 1, a);
    fkp_network_initialize(network, 1, b);
    ck_assert_mem_eq(a, b, network->storage * sizeof *a);
    fkp_network_initialize(network, 2, b);
    ck_assert_mem_ne(a, b, network->storage * sizeof *a);
    for (int32_t i = 0; i < network->parameter_count; i++) {
        const fkp_parameter *parameter = &network->parameters[i];
        bool ones = parameter->role == FKP_ROLE_RUNNING_VARIANCE;
        bool zeros = parameter->role == FKP_ROLE_RUNNING_MEAN;
        for (size_t k = 0; k < parameter->count; k++) {
            float value = a[parameter->offset + k];
            if (ones) ck_assert_float_eq(value, 1.0f);
            if (zeros) ck_assert_float_eq(value, 0.0f);
            ck_assert(value >= -1.0f && value <= 1.0f);
        }
    }
    fkp_release(&memory, a, network->storage, sizeof *a);
    fkp_release(&memory, b, network->storage, sizeof *b);
    destroy(network);
}
END_TEST

START_TEST(architectures_have_names) {
    for (int32_t i = FACEKP_DIRECT; i <= FACEKP_UNET; i++)
        ck_assert_int_eq(fkp_architecture_named(fkp_architecture_name(i)), i);
    ck_assert_ptr_null(fkp_architecture_name(0));
    ck_assert_int_eq(fkp_architecture_named("vgg"), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("networks");
    TCase *tests = tcase_create("networks");
    tcase_add_test(tests, counts_are_the_published_ones);
    tcase_add_loop_test(tests, names_and_shapes_are_those_of_the_state_dicts, 0, 10);
    tcase_add_loop_test(tests, unusable_sizes_are_refused, 0, 5);
    tcase_add_test(tests, initial_values_follow_the_seed);
    tcase_add_test(tests, architectures_have_names);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
