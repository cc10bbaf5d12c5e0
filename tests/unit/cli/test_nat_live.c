/* SPDX-License-Identifier: MIT
 * The checklist on the terminal. */
#include "../test.h"
#include "cli/nat_live.h"
#include "nat_records.h"

static char lines[16384];

static size_t lines_of(const struct bk_nat_record *r, size_t columns, size_t lines_max) {
    struct text t = text_in(lines, sizeof lines);
    size_t n = nat_live_lines(r, columns, lines_max, &t), counted = 0;
    for (const char *c = lines; *c != '\0'; c++)
        counted += *c == '\n' ? 1 : 0;
    assert_int_equal(n, counted); /* or the cursor would go astray */
    assert_true(n <= lines_max);
    return n;
}

static void known_unclear_and_pending_look_different(void **state) {
    (void)state;
    struct bk_nat_record r;
    memset(&r, 0, sizeof r);
    finds(&r, BK_NAT_MAPPING, BK_NAT_EI);
    cannot_tell(&r, BK_NAT_FILTERING, BK_NAT_REASON_NO_SUPPORT);
    r.findings[BK_NAT_HAIRPIN].status = BK_NAT_PENDING;
    cannot_tell(&r, BK_NAT_PARITY, BK_NAT_REASON_NOT_APPLICABLE);
    assert_int_equal(lines_of(&r, 40, 24), 4);
    static const char first[] = "\342\234\223 mapping          endpoint-independent:\n"; /* cut */
    assert_memory_equal(lines, first, sizeof first - 1);
    assert_non_null(strstr(lines, "\n? filtering        cannot tell"));
    assert_non_null(strstr(lines, "\n\302\267 hairpin\n"));
    assert_non_null(strstr(lines, "\n- port parity      does not apply\n"));
}

static void a_low_terminal_shows_what_is_known_last(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    r.findings[BK_NAT_UPNP].status = BK_NAT_PENDING;
    assert_int_equal(lines_of(&r, 79, 4), 4);
    assert_null(strstr(lines, "UPnP"));
    assert_non_null(strstr(lines, "NAT-PMP"));
    assert_null(strstr(lines, "filtering"));
    assert_int_equal(lines_of(&r, 79, 1), 1);
    assert_int_equal(lines_of(&r, 1, 24), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_unclear_and_pending_look_different),
        cmocka_unit_test(a_low_terminal_shows_what_is_known_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
