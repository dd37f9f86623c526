/* For mkdtemp. */
#define _POSIX_C_SOURCE 200809L
/* Splits: no group on both sides, one in ten, a function of seed and names alone. */
#include "train/data/split.h"

#include "support.h"

#define PEOPLE 40
#define VIDEOS 3
#define FRAMES 2
#define FACES ((size_t)(PEOPLE * VIDEOS * FRAMES))

static fkp_memory memory;
static char names[FACES][32];
static fkp_face faces[FACES];
static fkp_dataset dataset;

static void setup(void) {
    memory = fkp_memory_from(NULL);
    for (size_t i = 0; i < FACES; i++) {
        size_t person = i / (VIDEOS * FRAMES);
        snprintf(names[i], sizeof names[i], "Some_One_%zu_%zu%zu.png", person, i / FRAMES % VIDEOS,
                 i % FRAMES);
        faces[i].name = names[i];
    }
    dataset = (fkp_dataset){.memory = memory, .count = FACES, .faces = faces};
}

static bool same_group(const char *a, const char *b, fkp_split_by by) {
    size_t length = fkp_split_group(a, by);
    return length == fkp_split_group(b, by) && memcmp(a, b, length) == 0;
}

START_TEST(groups_are_read_from_names) {
    ck_assert_uint_eq(fkp_split_group("Abdel_Aziz_02.png", FKP_SPLIT_PERSON), strlen("Abdel_Aziz"));
    ck_assert_uint_eq(fkp_split_group("Abdel_Aziz_02.png", FKP_SPLIT_VIDEO), strlen("Abdel_Aziz_0"));
    ck_assert_uint_eq(fkp_split_group("face.png", FKP_SPLIT_PERSON), strlen("face.png"));
    ck_assert_uint_eq(fkp_split_group("trailing_", FKP_SPLIT_VIDEO), strlen("trailing"));
}
END_TEST

START_TEST(no_group_is_on_both_sides) {
    fkp_split_by by = _i == 0 ? FKP_SPLIT_PERSON : FKP_SPLIT_VIDEO;
    fkp_split split;
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, by, 0.1, 5, &split, NULL), FACEKP_OK);
    ck_assert_uint_eq(split.train_count + split.held_count, FACES);
    ck_assert_uint_eq(split.held_count, FACES / 10);
    bool seen[FACES] = {false};
    for (size_t i = 0; i < FACES; i++) {
        ck_assert(!seen[split.faces[i]]);
        seen[split.faces[i]] = true;
        ck_assert(i == 0 || i == split.train_count || split.faces[i] > split.faces[i - 1]);
    }
    for (size_t i = 0; i < split.train_count; i++)
        for (size_t j = split.train_count; j < FACES; j++)
            ck_assert(!same_group(names[split.faces[i]], names[split.faces[j]], by));
    fkp_split_free(&memory, &split);
}
END_TEST

START_TEST(seed_decides) {
    fkp_split a, b, c;
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_PERSON, 0.1, 5, &a, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_PERSON, 0.1, 5, &b, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_PERSON, 0.1, 6, &c, NULL), FACEKP_OK);
    ck_assert_int_eq(memcmp(a.faces, b.faces, FACES * sizeof *a.faces), 0);
    ck_assert_int_ne(memcmp(a.faces, c.faces, FACES * sizeof *a.faces), 0);
    fkp_split_free(&memory, &a);
    fkp_split_free(&memory, &b);
    fkp_split_free(&memory, &c);
}
END_TEST

START_TEST(empty_sides_are_refused) {
    fkp_split split;
    fkp_error error = {0};
    dataset.count = VIDEOS * FRAMES; /* one person */
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_PERSON, 0.1, 5, &split, &error),
                     FACEKP_ERROR_FORMAT);
    ck_assert_ptr_null(split.faces);
    ck_assert_ptr_nonnull(strstr(error.message, "1 people"));
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_VIDEO, 0.1, 5, &split, &error), FACEKP_OK);
    ck_assert_uint_eq(split.held_count, FRAMES);
    fkp_split_free(&memory, &split);
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_VIDEO, 0.99, 5, &split, &error),
                     FACEKP_ERROR_FORMAT);
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_VIDEO, 0.0, 5, &split, &error),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(fkp_split_create(&memory, &dataset, FKP_SPLIT_VIDEO, (double)NAN, 5, &split, &error),
                     FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("split");
    TCase *tests = tcase_create("split");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, groups_are_read_from_names);
    tcase_add_loop_test(tests, no_group_is_on_both_sides, 0, 2);
    tcase_add_test(tests, seed_decides);
    tcase_add_test(tests, empty_sides_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
