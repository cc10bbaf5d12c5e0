/* SPDX-License-Identifier: MIT
 * Whose URLs are followed. */
#include "../test.h"
#include "node/upnp_igd.h"

static void the_address_of_a_url(void **state) {
    (void)state;
#ifdef BODKIN_UPNP
    static const struct {
        const char *url, *host; /* NULL: refused */
    } cases[] = {
        {"http://192.168.1.1:5000/rootDesc.xml", "192.168.1.1"},
        {"http://192.168.1.1/", "192.168.1.1"},
        {"http://192.168.1.1", "192.168.1.1"},
        {"http://[2001:db8::1]:5000/x", "2001:db8::1"},
        {"http://[fe80::1%25eth0]/x", "fe80::1"},
        {"http://router.example/x", NULL},
        {"https://192.168.1.1/", NULL},
        {"http://192.168.1.1@evil.example/", NULL},
        {"http://192.168.1.1:80@evil.example/", NULL},
        {"http://", NULL},
        {"http://[", NULL},
        {"", NULL},
        {"http://11111111111111111111111111111111111111111111111111111111111111111111111111/",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_ip ip, expected;
        enum bk_err err = upnp_url_host(cases[i].url, &ip);
        assert_int_equal(err == BK_OK, cases[i].host != NULL);
        if (cases[i].host == NULL)
            continue;
        assert_int_equal(bk_ip_parse(cases[i].host, &expected), BK_OK);
        assert_true(bk_ip_equal(&ip, &expected));
    }
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_address_of_a_url)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
