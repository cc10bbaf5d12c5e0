/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "net/interfaces.h"
#include "server/discovery.h"

/* A host's addresses in the kernel's order. */
static const struct {
    const char *ip;
    bool loopback, point_to_point;
} host[] = {
    {"127.0.0.1", true, false},    {"192.168.1.2", false, false}, {"198.51.100.9", false, true},
    {"203.0.113.1", false, false}, {"203.0.113.2", false, false}, {"203.0.113.3", false, false},
    {"2001:db8::1", false, false}, {"2001:db8::2", false, false}, {"fe80::1", false, false},
};

static const struct {
    const char *name, *named[3], *listen[3], *want[4]; /* want: two of IPv4, two of IPv6 */
} cases[] = {
    {"everything: two global addresses",
     {NULL},
     {NULL},
     {"203.0.113.1", "203.0.113.2", NULL, NULL}},
    {"a wildcard is everything", {NULL}, {"::"}, {"203.0.113.1", "203.0.113.2", NULL, NULL}},
    {"the IPv4 wildcard, too", {NULL}, {"0.0.0.0"}, {"203.0.113.1", "203.0.113.2", NULL, NULL}},
    {"one named listener is one address", {NULL}, {"10.0.0.1"}, {"10.0.0.1", NULL, NULL, NULL}},
    {"two named listeners are two, of any scope",
     {NULL},
     {"127.0.0.1", "127.0.0.2"},
     {"127.0.0.1", "127.0.0.2", NULL, NULL}},
    {"the same twice is one", {NULL}, {"10.0.0.1", "10.0.0.1"}, {"10.0.0.1", NULL, NULL, NULL}},
    {"--stun-address goes first",
     {"10.0.0.8", "10.0.0.9"},
     {"127.0.0.1"},
     {"10.0.0.8", "10.0.0.9", NULL, NULL}},
    {"one --stun-address is a way to say: no second",
     {"203.0.113.1"},
     {NULL},
     {"203.0.113.1", NULL, NULL, NULL}},
    {"families apart",
     {"2001:db8::1", "2001:db8::2"},
     {NULL},
     {"203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"}},
    {"listening on IPv6 only", {NULL}, {"2001:db8::1"}, {NULL, NULL, "2001:db8::1", NULL}},
};

static void list(struct server_listen *to, const char *const texts[3]) {
    memset(to, 0, sizeof *to);
    for (size_t i = 0; i < 3 && texts[i] != NULL; i++)
        assert_int_equal(bk_ip_parse(texts[i], &to->ips[to->count++]), BK_OK);
}

static bool is_wanted(const char *want, const struct bk_ip *got) {
    struct bk_ip ip = {.family = BK_FAMILY_NONE};
    if (want != NULL)
        assert_int_equal(bk_ip_parse(want, &ip), BK_OK);
    return bk_ip_equal(&ip, got);
}

static void the_two_addresses_of_each_family(void **state) {
    enum { OWN = sizeof host / sizeof *host };
    struct net_interface own[OWN] = {{.index = 0}};
    (void)state;
    for (size_t i = 0; i < OWN; i++) {
        own[i].loopback = host[i].loopback;
        own[i].point_to_point = host[i].point_to_point;
        assert_int_equal(bk_ip_parse(host[i].ip, &own[i].ip), BK_OK);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stun_discovery_config config = stun_discovery_config_default;
        struct server_listen named, listen;
        list(&named, cases[i].named);
        list(&listen, cases[i].listen);
        discovery_pick(&named, &listen, own, OWN, &config);
        for (size_t k = 0; k < 4; k++)
            if (!is_wanted(cases[i].want[k], &config.ips[k / 2][k % 2]))
                fail_msg("%s: address %zu", cases[i].name, k);
    }
}

static void outside_addresses_go_with_their_inside_ones(void **state) {
    struct stun_discovery_config config = stun_discovery_config_default;
    struct server_listen named = {.count = 2}, listen = {.count = 0};
    (void)state;
    named.ips[0] = bk_ipv4(10, 0, 0, 4);
    named.ips[1] = bk_ipv4(10, 0, 0, 5);
    named.outside[1] = bk_ipv4(203, 0, 113, 5);
    discovery_pick(&named, &listen, NULL, 0, &config);
    assert_int_equal(config.outside[0][0].family, BK_FAMILY_NONE);
    assert_true(bk_ip_equal(&config.outside[0][1], &named.outside[1]));
    assert_true(bk_ip_equal(&config.ips[0][1], &named.ips[1]));
}

static void the_reason_is_told(void **state) {
    (void)state;
    assert_string_equal(discovery_text(STUN_DISCOVERY_FULL), "complete");
    assert_non_null(strstr(discovery_text(STUN_DISCOVERY_PORTS), "one address only"));
    assert_non_null(strstr(discovery_text(STUN_DISCOVERY_NOTHING), "one port only"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_addresses_of_each_family),
        cmocka_unit_test(outside_addresses_go_with_their_inside_ones),
        cmocka_unit_test(the_reason_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
