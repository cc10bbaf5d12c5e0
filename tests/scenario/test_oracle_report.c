/* SPDX-License-Identifier: MIT
 * docs/oracle.md is what the program says now. */
#include "../unit/test.h"

#include "sim/oracle_population.h"
#include "sim/oracle_report.h"

#include <stdio.h>

struct reading {
    FILE *file;
    unsigned line;
};

static void compare(void *ctx, const char *text) {
    struct reading *r = ctx;
    char wanted[ORACLE_LINE_MAX + 2];
    r->line++;
    if (fgets(wanted, sizeof wanted, r->file) == NULL)
        fail_msg("docs/oracle.md ends before line %u; run: bodkin sim oracle --markdown", r->line);
    wanted[strcspn(wanted, "\n")] = '\0';
    if (strcmp(wanted, text) != 0)
        fail_msg("docs/oracle.md:%u is \"%s\", and should be \"%s\"; run: bodkin sim oracle "
                 "--markdown > docs/oracle.md",
                 r->line, wanted, text);
}

static void test_document_is_what_the_oracle_says(void **state) {
    (void)state;
    struct reading r = {.file = fopen(TEST_DATA "/../../docs/oracle.md", "r")};
    assert_non_null(r.file);
    oracle_report(compare, &r);
    assert_int_equal(fgetc(r.file), EOF);
    (void)fclose(r.file);
    assert_true(r.line > 378);
}

/* Computed independently, from the same classes, with the share of the three things multiplied. */
static void test_bounds_of_populations(void **state) {
    (void)state;
    static const struct {
        char population;
        double percent[8];
    } rows[] = {
        {'H', {77.5, 79.5, 85.3, 85.3, 91.4, 91.4, 91.5, 95.7}},
        {'G', {65.4, 66.3, 70.7, 76.2, 90.8, 91.0, 91.4, 94.2}},
        {'M', {52.0, 52.0, 52.0, 68.8, 89.2, 89.4, 90.9, 90.9}},
        {'X', {24.5, 25.0, 25.0, 38.7, 81.2, 81.4, 81.8, 84.9}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double last = 0;
        for (size_t level = 0; oracle_level(level) != NULL; level++) {
            double got = 100 * oracle_population_bound(rows[i].population, level);
            double off = got - rows[i].percent[level];
            /* the first row there takes boxes that early packets spoil for rarer than we do */
            if (off > 0.6 || off < (level == 0 ? -3 : -0.6))
                fail_msg("%c, %s: %.2f instead of %.2f", rows[i].population, oracle_level(level),
                         got, rows[i].percent[level]);
            assert_true(got >= last);
            last = got;
        }
    }
}

static void test_weights_are_whole(void **state) {
    (void)state;
    const char *title, *source;
    char letter;
    for (size_t i = 0; (letter = oracle_population(i, &title, &source)) != '\0'; i++) {
        struct oracle_class c;
        double sum = 0;
        for (size_t j = 0; oracle_population_class(letter, j, &c); j++)
            sum += c.weight;
        assert_true(sum > 0.999999 && sum < 1.000001);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_is_what_the_oracle_says),
        cmocka_unit_test(test_bounds_of_populations),
        cmocka_unit_test(test_weights_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
