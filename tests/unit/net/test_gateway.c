/* SPDX-License-Identifier: MIT
 * The kernel's own table is what the answer is compared with. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/gateway.h"

#include <stdio.h>

static struct bk_ip ip(const char *text) {
    struct bk_ip out;
    assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

static void this_machine_is_reached_without_a_router(void **state) {
    (void)state;
    const struct bk_ip v4 = ip("127.0.0.1"), v6 = ip("::1");
    struct bk_ip out = ip("192.0.2.99");
    assert_int_equal(net_gateway_for(&v4, &out), BK_ERR_NOT_FOUND);
    enum bk_err err = net_gateway_for(&v6, &out); /* a machine may be without IPv6 */
    assert_true(err == BK_ERR_NOT_FOUND || err == BK_ERR_UNREACHABLE || err == BK_ERR_UNSUPPORTED);
    assert_true(bk_ip_equal(&out, &(struct bk_ip){.family = BK_IPV4, .bytes = {192, 0, 2, 99}}));
}

static void no_address_has_no_gateway(void **state) {
    (void)state;
    const struct bk_ip none = {.family = BK_FAMILY_NONE};
    struct bk_ip out;
    assert_int_equal(net_gateway_for(&none, &out), BK_ERR_ARGUMENT);
}

/* The only default route of /proc/net/route, if there is exactly one. */
static bool only_default_route(struct bk_ip *out) {
    FILE *file = fopen("/proc/net/route", "r");
    char line[256], name[64];
    unsigned destination, gateway, flags, found = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%63s %8X %8X %X", name, &destination, &gateway, &flags) != 4)
            continue;
        if (destination != 0 || gateway == 0)
            continue;
        uint8_t bytes[4]; /* the file shows the words as this machine holds them */
        memcpy(bytes, &gateway, 4);
        *out = bk_ipv4(bytes[0], bytes[1], bytes[2], bytes[3]);
        found++;
    }
    if (file != NULL)
        fclose(file);
    return found == 1;
}

static void the_internet_is_behind_the_default_route(void **state) {
    (void)state;
    const struct bk_ip far = ip("198.51.100.77");
    struct bk_ip expected, out;
    enum bk_err err = net_gateway_for(&far, &out);
    if (!only_default_route(&expected)) {
        assert_true(err == BK_OK || err == BK_ERR_UNREACHABLE || err == BK_ERR_NOT_FOUND);
        return;
    }
    assert_int_equal(err, BK_OK);
    assert_true(bk_ip_equal(&out, &expected));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_is_reached_without_a_router),
        cmocka_unit_test(no_address_has_no_gateway),
        cmocka_unit_test(the_internet_is_behind_the_default_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
