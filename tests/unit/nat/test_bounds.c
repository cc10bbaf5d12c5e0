/* SPDX-License-Identifier: MIT
 * Full tables, limits per host, floods; and the configuration as text. */
#include "box.h"

#define A1 "198.51.100.1:1000"

static struct bk_addr host(uint8_t last, uint16_t port) {
    return bk_addr(bk_ipv4(192, 168, 1, last), port);
}

static void test_full_table_drops_and_recovers(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.mappings_max = c.sessions_max = 8;
    struct box b;
    box_open(&b, &c);
    for (uint16_t i = 0; i < 8; i++)
        assert_true(box_udp(&b, NAT_INSIDE, host(2, (uint16_t)(100 + i)), at(A1)));
    assert_false(box_udp(&b, NAT_INSIDE, host(2, 200), at(A1)));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    assert_int_equal(nat_get_counters(b.nat)->dropped[NAT_DROP_FULL], 1);
    /* RFC 6888 REQ-9: what is there goes on. */
    assert_true(box_udp(&b, NAT_INSIDE, host(2, 100), at(A1)));
    /* No session left for a new remote of an old mapping either. */
    assert_false(box_udp(&b, NAT_INSIDE, host(2, 100), at("198.51.100.9:9")));
    box_wait_s(&b, 31);
    assert_true(box_udp(&b, NAT_INSIDE, host(2, 200), at(A1)));
    box_close(&b);
}

static void test_one_host_cannot_take_all(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.mappings_per_host_max = 3;
    struct box b;
    box_open(&b, &c);
    for (uint16_t i = 0; i < 3; i++)
        assert_true(box_udp(&b, NAT_INSIDE, host(2, (uint16_t)(100 + i)), at(A1)));
    assert_false(box_udp(&b, NAT_INSIDE, host(2, 103), at(A1)));
    assert_true(box_udp(&b, NAT_INSIDE, host(3, 103), at(A1)));
    box_wait_s(&b, 31);
    for (uint16_t i = 0; i < 3; i++)
        assert_true(box_udp(&b, NAT_INSIDE, host(2, (uint16_t)(200 + i)), at(A1)));
    assert_false(box_udp(&b, NAT_INSIDE, host(2, 203), at(A1)));
    box_close(&b);
}

/* A flood through an open filter passes, but leaves the inside room to work. */
static void test_strangers_cannot_fill_the_sessions(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.mappings_max = 4;
    c.sessions_max = 16;
    struct box b;
    box_open(&b, &c);
    assert_true(box_udp(&b, NAT_INSIDE, host(2, 100), at(A1)));
    struct bk_addr x = b.v.header.flow.src;
    for (uint16_t i = 0; i < 1000; i++)
        assert_true(
            box_udp(&b, NAT_OUTSIDE, bk_addr(bk_ipv4(198, 51, 100, 66), (uint16_t)(1 + i)), x));
    assert_true(box_udp(&b, NAT_INSIDE, host(3, 100), at(A1)));
    assert_true(nat_get_counters(b.nat)->sessions_made <= 13);
    box_close(&b);
}

static void test_table_is_walked_completely(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_AD, NAT_AD);
    struct box b;
    box_open(&b, &c);
    for (uint8_t i = 1; i <= 200; i++)
        assert_true(box_udp(&b, NAT_INSIDE, host(i, 100), at(A1)));
    assert_int_equal(box_mappings(&b), 200);
    nat_reboot(b.nat);
    assert_int_equal(box_mappings(&b), 0);
    box_close(&b);
}

static void *get_nothing(void *ctx, size_t size) {
    int *left = ctx;
    return (*left)-- > 0 ? test_get(NULL, size) : NULL;
}

static void test_no_memory(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    struct rng_seeded seeded;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    for (int allowed = 0; allowed < 11; allowed++) {
        int left = allowed;
        struct bk_alloc alloc = {get_nothing, test_put, &left};
        struct nat *nat = NULL;
        assert_int_equal(nat_new(&c, &rng, &alloc, &nat), BK_ERR_NO_MEMORY);
        assert_null(nat);
    }
    nat_free(NULL);
}

static void test_presets_are_right(void **state) {
    (void)state;
    const char *summary;
    size_t count = 0;
    for (const char *name; (name = nat_preset_name(count, &summary)) != NULL; count++) {
        struct nat_config c;
        const char *field = NULL;
        assert_int_equal(nat_preset(name, &c), BK_OK);
        assert_true(strlen(summary) > 10);
        c.external[0] = bk_ipv4(203, 0, 113, 1);
        c.external_count = 1;
        assert_int_equal(nat_config_check(&c, &field), BK_OK);
    }
    assert_true(count >= 7);
    struct nat_config c;
    assert_int_equal(nat_preset("no such box", &c), BK_ERR_NOT_FOUND);
}

static void test_options_as_text(void **state) {
    (void)state;
    struct nat_config c = nat_config_default;
    assert_int_equal(nat_config_set(&c, "mapping", "APDM"), BK_OK);
    assert_int_equal(nat_config_set(&c, "Filtering", "adf"), BK_OK);
    assert_int_equal(nat_config_set(&c, "ports", "sequential"), BK_OK);
    assert_int_equal(nat_config_set(&c, "port-range", "20480-21503"), BK_OK);
    assert_int_equal(nat_config_set(&c, "hairpin", "internal"), BK_OK);
    assert_int_equal(nat_config_set(&c, "unsolicited", "reject"), BK_OK);
    assert_int_equal(nat_config_set(&c, "refresh", "out"), BK_OK);
    assert_int_equal(nat_config_set(&c, "udp", "blocked"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp-pickup", "off"), BK_OK);
    assert_int_equal(nat_config_set(&c, "ipv6", "block"), BK_OK);
    assert_int_equal(nat_config_set(&c, "udp-first", "10"), BK_OK);
    assert_int_equal(nat_config_set(&c, "sessions", "99"), BK_OK);
    assert_true(c.mapping == NAT_APD && c.filtering == NAT_AD && c.ports == NAT_PORT_SEQUENTIAL);
    assert_true(c.port_min == 20480 && c.port_max == 21503 && c.hairpin == NAT_HAIRPIN_INTERNAL);
    assert_true(c.unsolicited == NAT_UNSOLICITED_REJECT && c.refresh == NAT_REFRESH_OUT);
    assert_true(c.udp_blocked && !c.tcp_pickup && c.ipv6 == NAT_MODE_BLOCK);
    assert_true(c.udp_first_us == 10 * BK_US_PER_S && c.sessions_max == 99);
    assert_int_equal(nat_config_set(&c, "colour", "red"), BK_ERR_NOT_FOUND);
    const char *const wrong[][2] = {{"mapping", "APDF"},   {"port-range", "5"},
                                    {"port-range", "9-5"}, {"port-range", "0-5"},
                                    {"udp-first", "1s"},   {"sessions", "99999999999"},
                                    {"sessions", ""}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(nat_config_set(&c, wrong[i][0], wrong[i][1]), BK_ERR_ARGUMENT);
}

static void test_check_names_the_field(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    const char *field = NULL;
    assert_int_equal(nat_config_check(&c, &field), BK_OK);
    c.external_count = 0;
    assert_int_equal(nat_config_check(&c, &field), BK_ERR_ARGUMENT);
    assert_string_equal(field, "external");
    c = box_config(NAT_EI, NAT_EI);
    c.sessions_max = c.mappings_max - 1;
    assert_int_equal(nat_config_check(&c, &field), BK_ERR_ARGUMENT);
    assert_string_equal(field, "sessions_max");
    c = box_config(NAT_EI, NAT_EI);
    c.udp_first_us = 0;
    assert_int_equal(nat_config_check(&c, &field), BK_ERR_ARGUMENT);
    assert_string_equal(field, "timers");
    c = box_config(NAT_EI, NAT_EI);
    c.port_min = 0;
    assert_int_equal(nat_config_check(&c, &field), BK_ERR_ARGUMENT);
    assert_string_equal(field, "port_min");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_table_drops_and_recovers),
        cmocka_unit_test(test_one_host_cannot_take_all),
        cmocka_unit_test(test_strangers_cannot_fill_the_sessions),
        cmocka_unit_test(test_table_is_walked_completely),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_presets_are_right),
        cmocka_unit_test(test_options_as_text),
        cmocka_unit_test(test_check_names_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
