/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "node/survey.h"

static struct bk_ip ip(const char *text) {
    struct bk_ip out = {.family = BK_FAMILY_NONE};
    if (text[0] != '\0')
        assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

/* One hop past the last router with an address of no public network. */
static void the_ttl_passes_the_outermost_nat(void **state) {
    static const struct {
        const char *hops[4];
        uint8_t ttl;
    } rows[] = {
        {{"192.168.1.1", "9.9.9.9", "", ""}, 2},
        {{"192.168.1.1", "100.64.0.1", "9.9.9.9", ""}, 3},
        {{"192.168.1.1", "", "10.1.1.1", "9.9.9.9"}, 4},
        {{"192.168.1.1", "", "", ""}, 2},
        {{"9.9.9.9", "8.8.8.8", "", ""}, 0}, /* no NAT that the routers tell of */
        {{"", "", "", ""}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_ip hops[4];
        for (size_t k = 0; k < 4; k++)
            hops[k] = ip(rows[i].hops[k]);
        assert_int_equal(survey_opener_ttl(hops, 4), rows[i].ttl);
    }
    assert_int_equal(survey_opener_ttl(NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_ttl_passes_the_outermost_nat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
