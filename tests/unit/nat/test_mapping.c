/* SPDX-License-Identifier: MIT
 * The rarer mapping behaviours, behaviours per protocol, limits by port, what happens to a full
 * box, faults, and what a configuration says of itself. */
#include "box.h"

#include <bodkin/nat_traits.h>
#include <stdio.h>

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define A2 "198.51.100.1:2000"
#define B1 "198.51.100.2:1000"

enum { SYN = NAT_TCP_SYN, ACK = NAT_TCP_ACK, FIN = NAT_TCP_FIN, RST = NAT_TCP_RST };

static struct bk_addr tcp_out(struct box *b, const char *src, const char *dst, uint8_t flags) {
    assert_true(box_tcp(b, NAT_INSIDE, at(src), at(dst), flags));
    return b->v.header.flow.src;
}

/* NetPiculet: a new connection to the same remote gets a new mapping, even from the same port. */
static void test_connection_dependent(void **state) {
    (void)state;
    static const enum nat_dep mappings[] = {NAT_APD, NAT_DEP_CONNECTION};
    for (size_t i = 0; i < 2; i++) {
        struct nat_config c = box_config(mappings[i], NAT_APD);
        c.ports = NAT_PORT_RANDOM;
        struct box b;
        box_open(&b, &c);
        struct bk_addr first = tcp_out(&b, IN, A1, SYN);
        assert_true(box_tcp(&b, NAT_OUTSIDE, at(A1), first, SYN | ACK));
        assert_true(same(tcp_out(&b, IN, A1, ACK), first));
        assert_false(same(tcp_out(&b, IN, B1, SYN), first)); /* as with APDM */
        assert_true(box_tcp(&b, NAT_OUTSIDE, at(A1), first, RST));
        struct bk_addr second = tcp_out(&b, IN, A1, SYN);
        assert_int_equal(same(second, first), mappings[i] == NAT_APD);
        assert_true(same(tcp_out(&b, IN, A1, ACK), second));
        box_close(&b);
    }
}

static void test_time_dependent(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_DEP_TIME, NAT_APD);
    c.ports = NAT_PORT_RANDOM;
    c.mapping_epoch_us = 10 * BK_US_PER_S;
    struct box b;
    box_open(&b, &c);
    b.now = test_at_ms(100000);
    struct bk_addr x = box_out(&b, IN, A1);
    box_wait_s(&b, 9);
    assert_true(same(box_out(&b, IN, A2), x));
    box_wait_s(&b, 2);
    struct bk_addr y = box_out(&b, IN, B1);
    assert_false(same(y, x));
    assert_true(same(box_out(&b, IN, A1), x)); /* what has begun goes on */
    assert_true(box_in(&b, A1, x) && box_in(&b, B1, y));
    box_close(&b);
}

/* NetPiculet: two NATs side by side, and the flow's hash decides. */
static void test_hash_of_the_flow(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_DEP_HASH, NAT_APD);
    c.external[1] = bk_ipv4(203, 0, 113, 2);
    c.external_count = 2;
    struct box b;
    struct bk_addr seen[2];
    memset(seen, 0, sizeof seen);
    box_open(&b, &c);
    for (uint16_t port = 1; port < 40; port++) {
        struct bk_addr to = at(A1);
        to.port = port;
        assert_true(box_udp(&b, NAT_INSIDE, at(IN), to));
        struct bk_addr x = b.v.header.flow.src;
        struct bk_addr *known = &seen[x.ip.bytes[3] - 1];
        assert_true(known->port == 0 || same(*known, x)); /* one per NAT */
        *known = x;
        assert_true(box_udp(&b, NAT_OUTSIDE, to, x));
    }
    assert_true(seen[0].port != 0 && seen[1].port != 0);
    assert_int_equal(box_mappings(&b), 2);
    box_close(&b);
}

/* RFC 7857 sections 5 and 6. */
static void test_tcp_may_differ(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.tcp_mapping = NAT_APD;
    c.tcp_filtering = NAT_AD;
    c.tcp_ports = NAT_PORT_SEQUENTIAL;
    c.port_min = 7000;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_int_equal(x.port, 5000);
    assert_true(same(box_out(&b, IN, B1), x));
    assert_true(box_in(&b, "198.51.100.9:9", x));
    x = tcp_out(&b, IN, A1, SYN);
    assert_int_equal(x.port, 7000);
    assert_int_equal(tcp_out(&b, IN, A2, SYN).port, 7001);
    assert_true(box_tcp(&b, NAT_OUTSIDE, at(A2), x, SYN));
    assert_false(box_tcp(&b, NAT_OUTSIDE, at(B1), x, SYN));
    assert_int_equal(b.v.drop, NAT_DROP_FILTERED);
    box_close(&b);
}

static void test_only_some_ports_pass(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    assert_int_equal(nat_config_set(&c, "udp", "53,443"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp", "blocked"), BK_OK);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, "198.51.100.1:443");
    assert_false(box_udp(&b, NAT_INSIDE, at(IN), at("198.51.100.1:3478")));
    assert_int_equal(b.v.drop, NAT_DROP_BLOCKED);
    assert_false(box_in(&b, "198.51.100.1:3478", x)); /* the filter is open, the policy is not */
    assert_true(box_in(&b, "198.51.100.1:53", x));
    assert_false(box_tcp(&b, NAT_INSIDE, at(IN), at("198.51.100.1:443"), SYN));
    box_close(&b);
}

static void test_a_full_box_can_evict(void **state) {
    (void)state;
    static const enum nat_full full[] = {NAT_FULL_DROP, NAT_FULL_EVICT_OLDEST,
                                         NAT_FULL_EVICT_RANDOM};
    for (size_t i = 0; i < 3; i++) {
        struct nat_config c = box_config(NAT_EI, NAT_APD);
        c.mappings_max = 4;
        c.sessions_max = 8;
        c.full = full[i];
        struct box b;
        box_open(&b, &c);
        for (uint16_t n = 0; n < 4; n++) {
            struct bk_addr src = at(IN);
            src.port = (uint16_t)(6000 + n);
            assert_true(box_udp(&b, NAT_INSIDE, src, at(A1)));
            b.now.us++;
        }
        assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.2:6000"), at(B1)));
        assert_int_equal(nat_get_counters(b.nat)->mappings_evicted, 0); /* it needs no new one */
        bool passed = box_udp(&b, NAT_INSIDE, at(IN), at(A1));
        assert_int_equal(passed, full[i] != NAT_FULL_DROP);
        assert_int_equal(box_mappings(&b), 4);
        if (full[i] == NAT_FULL_EVICT_OLDEST)
            assert_false(box_in(&b, A1, at("203.0.113.1:6000")));
        box_close(&b);
    }
}

/* RFC 5508 REQ-8, RFC 6888 REQ-11. */
static void test_the_inside_may_be_told(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.refusal = NAT_REFUSAL_ADMIN;
    struct box b;
    box_open(&b, &c);
    nat_exhaust(b.nat, true);
    assert_false(box_udp(&b, NAT_INSIDE, at(IN), at(A1)));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    assert_int_equal(b.v.answer, NAT_ANSWER_ADMIN_PROHIBITED);
    nat_exhaust(b.nat, false);
    struct bk_addr x = box_out(&b, IN, A1);
    nat_block_udp(b.nat, true);
    assert_false(box_in(&b, A1, x)); /* the outside hears nothing */
    assert_int_equal(b.v.action, NAT_DROP);
    box_close(&b);
    c.refusal = NAT_REFUSAL_HOST;
    box_open(&b, &c);
    nat_exhaust(b.nat, true);
    assert_false(box_udp(&b, NAT_INSIDE, at(IN), at(A1)));
    assert_int_equal(b.v.answer, NAT_ANSWER_HOST_UNREACHABLE);
    box_close(&b);
}

static void test_eviction_on_request(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    b.now.us++;
    struct bk_addr y = box_out(&b, "192.168.1.3:5001", A1);
    assert_int_equal(nat_evict(b.nat, NAT_EVICT_OLDEST, 1), 1);
    assert_false(box_in(&b, A1, x));
    assert_true(box_in(&b, A1, y));
    assert_int_equal(nat_evict(b.nat, NAT_EVICT_RANDOM, 5), 1);
    assert_int_equal(box_mappings(&b), 0);
    assert_int_equal(nat_get_counters(b.nat)->mappings_evicted, 2);
    box_close(&b);
}

/* RFC 7857 section 7: strangers that an open filter lets in do not keep a mapping alive. */
static void test_strangers_do_not_refresh(void **state) {
    (void)state;
    for (int refresh = 0; refresh < 2; refresh++) {
        struct nat_config c = box_config(NAT_EI, NAT_EI);
        c.refresh_strangers = refresh != 0;
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1);
        for (int i = 0; i < 2; i++) {
            box_wait_s(&b, 20);
            bool passed = box_in(&b, B1, x);
            assert_int_equal(passed, i == 0 || refresh);
        }
        box_close(&b);
    }
}

static void test_names_of_the_27_types(void **state) {
    (void)state;
    struct nat_config c, by_name;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        const char *name = nat_type27(i, &c);
        assert_int_equal(nat_preset(name, &by_name), BK_OK);
        assert_true(c.mapping == by_name.mapping && c.ports == by_name.ports &&
                    c.filtering == by_name.filtering);
        const char *mapping = nat_dep_text(c.mapping), *filtering = nat_dep_text(c.filtering);
        assert_memory_equal(name, mapping, strlen(mapping));
        assert_string_equal(name + strlen(name) - strlen(filtering), filtering);
        assert_int_equal(name[strlen(mapping) + 1] == 'P', c.ports != NAT_PORT_RANDOM);
    }
    assert_null(nat_type27(NAT_TYPES27, &c));
    assert_string_equal(nat_type27(2, &c), "EI-PP-APD");
    assert_string_equal(nat_type27(24, &c), "APD-RD-EI");
}

static void test_traits(void **state) {
    (void)state;
    struct bk_nat_traits t;
    struct nat_config c;
    assert_int_equal(nat_preset("APD-PC-AD", &c), BK_OK);
    c.port_step = -2;
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external_count = 1;
    nat_traits_of(&c, &t);
    assert_true(t.translated == BK_YES && t.udp_blocked == BK_NO && t.paired == BK_YES);
    assert_true(t.mapping == BK_NAT_APD && t.filtering == BK_NAT_AD);
    assert_true(t.ports == BK_NAT_PORTS_SEQUENTIAL && t.step == -2);
    assert_true(bk_ip_equal(&t.external, &c.external[0]));
    assert_int_equal(nat_preset("map-e", &c), BK_OK);
    nat_traits_of(&c, &t);
    assert_true(t.port_count == 240 && t.port_min == 4096 + 0x340 && t.port_max == 0xf34f);
    assert_int_equal(nat_preset("cgn", &c), BK_OK);
    nat_traits_of(&c, &t);
    assert_true(t.port_count == 512 && t.mappings_max == 2048 && t.filtering == BK_NAT_EI);
    assert_true(t.hairpin == BK_NAT_HAIRPIN_EXTERNAL && t.udp_lifetime_us == 35 * BK_US_PER_S);
    assert_int_equal(nat_preset("udp-blocked", &c), BK_OK);
    nat_traits_of(&c, &t);
    assert_true(t.udp_blocked == BK_YES && t.mapping == BK_NAT_DEP_UNKNOWN);
    assert_int_equal(nat_preset("open", &c), BK_OK);
    nat_traits_of(&c, &t);
    assert_true(t.translated == BK_NO && t.filtering == BK_NAT_EI);
}

static void test_every_option_takes_its_own_words(void **state) {
    (void)state;
    const char *name;
    char values[300];
    size_t count = 0;
    for (; (name = nat_option(count, values, sizeof values)) != NULL; count++) {
        struct nat_config c = nat_config_default;
        assert_true(strlen(values) > 0 && strlen(values) < sizeof values - 1);
        assert_int_equal(nat_config_set(&c, name, "no such word"), BK_ERR_ARGUMENT);
        bool words = strchr(values, ',') != NULL && strncmp(values, "a number", 8) != 0 &&
                     strstr(values, "such as") == NULL;
        for (char *word = values, *end; words && word != NULL; word = end) {
            end = strstr(word, ", ");
            if (end != NULL) {
                *end = '\0';
                end += 2;
            }
            assert_int_equal(nat_config_set(&c, name, word), BK_OK);
        }
    }
    assert_true(count > 50);
    struct nat_config c = nat_config_default;
    assert_int_equal(nat_config_set(&c, "udp-first", "0.25"), BK_OK);
    assert_int_equal(c.udp_first_us, 250000);
    assert_int_equal(nat_config_set(&c, "port-step", "-3"), BK_OK);
    assert_int_equal(c.port_step, -3);
    static const char *const wrong[][2] = {{"udp-first", "1."},
                                           {"udp-first", ".5"},
                                           {"udp-first", "0.1234567"},
                                           {"udp", "53,"},
                                           {"udp", "53,x"},
                                           {"udp", "0"},
                                           {"udp", "1,2,3,4,5,6,7,8,9"},
                                           {"port-step", "--1"},
                                           {"port-step", ""}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(nat_config_set(&c, wrong[i][0], wrong[i][1]), BK_ERR_ARGUMENT);
}

/* Does the text name it, in backquotes? A list of names has one pair of quotes each. */
static bool names(const char *text, const char *name) {
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "`%s`", name);
    return strstr(text, quoted) != NULL;
}

static void test_the_manual_names_everything(void **state) {
    (void)state;
    static char text[65536];
    FILE *file = fopen(TEST_DATA "/../../docs/nat-model.md", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    const char *name;
    char values[300];
    for (size_t i = 0; (name = nat_option(i, values, sizeof values)) != NULL; i++) {
        if (!names(text, name))
            fail_msg("docs/nat-model.md lacks the option %s", name);
        bool words = strspn(values, "abcdefghijklmnopqrstuvwxyz-, ") == strlen(values) &&
                     strchr(values, ',') != NULL && strstr(values, "number") == NULL &&
                     strstr(name, "tcp-") == NULL && strstr(name, "icmp-") == NULL;
        for (char *word = strtok(values, ", "); words && word != NULL; word = strtok(NULL, ", "))
            if (!names(text, word))
                fail_msg("docs/nat-model.md lacks the word %s of %s", word, name);
    }
    for (size_t i = 0; (name = nat_preset_name(i, NULL)) != NULL; i++) {
        if (!names(text, name))
            fail_msg("docs/nat-model.md lacks the preset %s", name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_dependent),
        cmocka_unit_test(test_time_dependent),
        cmocka_unit_test(test_hash_of_the_flow),
        cmocka_unit_test(test_tcp_may_differ),
        cmocka_unit_test(test_only_some_ports_pass),
        cmocka_unit_test(test_a_full_box_can_evict),
        cmocka_unit_test(test_the_inside_may_be_told),
        cmocka_unit_test(test_eviction_on_request),
        cmocka_unit_test(test_strangers_do_not_refresh),
        cmocka_unit_test(test_names_of_the_27_types),
        cmocka_unit_test(test_traits),
        cmocka_unit_test(test_every_option_takes_its_own_words),
        cmocka_unit_test(test_the_manual_names_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
