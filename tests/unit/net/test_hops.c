/* SPDX-License-Identifier: MIT
 * What can be said on any machine; tests/system/test_nat_linux.py has routers. */
#include "../test.h"
#include "net/hops.h"

static void loopback_has_no_routers(void **state) {
    (void)state;
    struct bk_ip hops[NET_HOPS_MAX];
    size_t count = 99;
    const struct bk_addr to = {bk_ipv4(127, 0, 0, 1), 9};
    enum bk_err err = net_hops_towards(&to, hops, &count);
    if (err == BK_ERR_UNSUPPORTED)
        skip(); /* only Linux tells: src/net/hops_posix.c */
    assert_int_equal(err, BK_OK);
    assert_int_equal(count, 0); /* though the machine itself refuses each of them */
    for (size_t i = 0; i < NET_HOPS_MAX; i++)
        assert_int_equal(hops[i].family, BK_FAMILY_NONE);
}

static void other_addresses_are_refused(void **state) {
    (void)state;
    struct bk_ip hops[NET_HOPS_MAX];
    size_t count;
    const struct bk_addr none = {0}, portless = {bk_ipv4(127, 0, 0, 1), 0};
    enum bk_err err = net_hops_towards(&none, hops, &count);
    assert_true(err == BK_ERR_ARGUMENT || err == BK_ERR_UNSUPPORTED);
    err = net_hops_towards(&portless, hops, &count);
    assert_true(err == BK_ERR_ARGUMENT || err == BK_ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_has_no_routers),
        cmocka_unit_test(other_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
