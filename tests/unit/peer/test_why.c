/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "peer/why.h"

static const struct {
    const char *name;
    struct why_facts facts;
    enum why why;
} cases[] = {
    {"at first", {.any_pair = true}, WHY_CHECKING},
    {"asked here wins", {.relay_only_here = true, .udp_blocked_here = true}, WHY_ASKED_HERE},
    {"asked there", {.relay_only_there = true}, WHY_ASKED_THERE},
    {"blocked here", {.udp_blocked_here = true}, WHY_UDP_HERE},
    {"blocked there", {.udp_blocked_there = true}, WHY_UDP_THERE},
    {"blocked on both", {.udp_blocked_here = true, .udp_blocked_there = true}, WHY_UDP_BOTH},
    {"symmetric, but checks run", {.mapping_varies_here = true, .any_pair = true}, WHY_CHECKING},
    {"symmetric here",
     {.mapping_varies_here = true, .any_pair = true, .checks_over = true},
     WHY_MAPPING_HERE},
    {"symmetric there",
     {.mapping_varies_there = true, .any_pair = true, .checks_over = true},
     WHY_MAPPING_THERE},
    {"symmetric both",
     {.mapping_varies_here = true,
      .mapping_varies_there = true,
      .any_pair = true,
      .checks_over = true},
     WHY_MAPPING_BOTH},
    {"no answer", {.any_pair = true, .checks_over = true}, WHY_NO_ANSWER},
    {"nothing to check", {.checks_over = true}, WHY_NO_CANDIDATES},
    {"it was direct", {.was_direct = true, .any_pair = true, .checks_over = true}, WHY_WENT_SILENT},
};

static void test_why(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (why_relayed(&cases[i].facts) != cases[i].why)
            fail_msg("%s: \"%s\"", cases[i].name, why_text(why_relayed(&cases[i].facts)));
}

static void test_every_reason_has_words(void **state) {
    (void)state;
    for (int i = 0; i < WHY_COUNT; i++) {
        assert_non_null(why_text((enum why)i));
        assert_non_null(why_word((enum why)i));
        assert_null(strchr(why_word((enum why)i), ' '));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_why),
        cmocka_unit_test(test_every_reason_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
