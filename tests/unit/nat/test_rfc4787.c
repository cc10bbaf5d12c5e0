/* SPDX-License-Identifier: MIT
 * RFC 4787 section 12, requirement by requirement, on the preset that follows it ("full-cone"), and
 * what a box that does not follow does instead. The fragments of REQ-14 are in test_fragment.c. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define A2 "198.51.100.1:2000"
#define B1 "198.51.100.2:1000"

/* "A NAT MUST have an Endpoint-Independent Mapping behavior." */
static void test_req1_mapping(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_true(same(box_out(&b, IN, A2), x) && same(box_out(&b, IN, B1), x));
    box_close(&b);
    c.mapping = NAT_APD;
    box_open(&b, &c);
    assert_false(same(box_out(&b, IN, A1), box_out(&b, IN, A2)));
    box_close(&b);
}

static void test_req2_paired_pooling(void **state) {
    (void)state;
    for (int arbitrary = 0; arbitrary < 2; arbitrary++) {
        struct nat_config c = box_preset("full-cone");
        c.pooling = arbitrary ? NAT_POOL_ARBITRARY : NAT_POOL_PAIRED;
        c.external[1] = bk_ipv4(203, 0, 113, 2);
        c.external_count = 2;
        struct box b;
        bool both = false;
        box_open(&b, &c);
        struct bk_addr first = box_out(&b, IN, A1), src = at(IN);
        for (src.port = 5001; src.port < 5020; src.port++) {
            assert_true(box_udp(&b, NAT_INSIDE, src, at(A1)));
            both = both || !bk_ip_equal(&b.v.header.flow.src.ip, &first.ip);
        }
        assert_int_equal(both, arbitrary);
        box_close(&b);
    }
}

/* "MUST NOT have a Port assignment behavior of Port overloading"; option: overload. */
static void test_req3_no_overloading(void **state) {
    (void)state;
    for (int overload = 0; overload < 2; overload++) {
        struct nat_config c = box_preset("full-cone");
        c.overload = overload ? NAT_OVERLOAD_REMOTE : NAT_OVERLOAD_OFF;
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, "192.168.1.2:5000", A1);
        assert_int_equal(same(box_out(&b, "192.168.1.3:5000", B1), x), overload);
        box_close(&b);
    }
}

static void test_req3a_port_class(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    c.port_class = true;
    struct box b;
    box_open(&b, &c);
    (void)box_out(&b, "192.168.1.2:80", A1);
    assert_in_range(box_out(&b, "192.168.1.3:80", A1).port, 1, 1023);
    (void)box_out(&b, "192.168.1.2:8000", A1);
    assert_in_range(box_out(&b, "192.168.1.3:8000", A1).port, 1024, 65535);
    box_close(&b);
    c.port_class = false;
    box_open(&b, &c);
    (void)box_out(&b, "192.168.1.2:80", A1);
    assert_in_range(box_out(&b, "192.168.1.3:80", A1).port, 1024, 65535);
    box_close(&b);
}

static void test_req4_parity(void **state) {
    (void)state;
    unsigned odd = 0;
    for (int parity = 0; parity < 2; parity++) {
        struct nat_config c = box_preset("full-cone");
        c.port_parity = parity != 0;
        struct box b;
        box_open(&b, &c);
        for (uint16_t n = 0; n < 32; n += 2) {
            struct bk_addr first = at(IN), second = at("192.168.1.3:5000");
            first.port = second.port = (uint16_t)(5000 + n);
            assert_true(box_udp(&b, NAT_INSIDE, first, at(A1)));
            assert_true(box_udp(&b, NAT_INSIDE, second, at(A1)));
            odd += b.v.header.flow.src.port % 2;
        }
        assert_int_equal(odd == 0, parity);
        odd = 0;
        box_close(&b);
    }
}

/* "MUST NOT expire in less than two minutes ..., five minutes or more is RECOMMENDED." */
static void test_req5_timer(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_int_equal(box_life_s(&b), 300);
    box_wait_s(&b, 299);
    assert_true(box_in(&b, A1, x));
    box_close(&b);
    c.udp_first_us = 10 * BK_US_PER_S; /* 5b: configurable; carriers go down to 10 s */
    box_open(&b, &c);
    x = box_out(&b, IN, A1);
    box_wait_s(&b, 10);
    assert_false(box_in(&b, A1, x));
    box_close(&b);
}

/* "For specific destination ports in the well-known port range ... shorter UDP mapping timers." */
static void test_req5a_well_known_ports(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    c.udp_well_known_us = 15 * BK_US_PER_S;
    struct box b;
    box_open(&b, &c);
    (void)box_out(&b, IN, "198.51.100.1:53");
    assert_int_equal(box_life_s(&b), 15);
    (void)box_out(&b, IN, "198.51.100.1:1024");
    assert_int_equal(box_life_s(&b), 300);
    box_close(&b);
}

/* REQ-6 and 6a: by packets from inside (MUST), from outside (MAY). */
static void test_req6_refresh(void **state) {
    (void)state;
    static const enum nat_refresh refresh[] = {NAT_REFRESH_OUT, NAT_REFRESH_IN, NAT_REFRESH_BOTH};
    for (size_t i = 0; i < 3; i++) {
        struct nat_config c = box_preset("full-cone");
        c.refresh = refresh[i];
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1);
        box_wait_s(&b, 100);
        (void)box_out(&b, IN, A1);
        assert_int_equal(box_life_s(&b), refresh[i] == NAT_REFRESH_IN ? 200 : 300);
        box_wait_s(&b, 100);
        assert_true(box_in(&b, A1, x));
        static const int64_t left[] = {200, 300, 300};
        assert_int_equal(box_life_s(&b), left[i]);
        box_close(&b);
    }
}

/* "Be able to translate and forward traffic between all internal nodes and all external nodes whose
 * IP addresses numerically conflict": which side a packet came from counts, not its address. */
static void test_req7_conflicting_addresses(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, "192.168.1.2:7000");
    assert_true(box_in(&b, "192.168.1.2:7000", x));
    assert_true(same(b.v.header.flow.dst, at(IN)));
    assert_true(same(b.v.header.flow.src, at("192.168.1.2:7000")));
    box_close(&b);
}

static void test_req8_filtering(void **state) {
    (void)state;
    static const enum nat_dep filtering[] = {NAT_EI, NAT_AD, NAT_APD};
    for (size_t i = 0; i < 3; i++) {
        struct nat_config c = box_preset("full-cone");
        c.filtering = filtering[i];
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1);
        assert_int_equal(box_in(&b, A2, x), filtering[i] != NAT_APD);
        assert_int_equal(box_in(&b, B1, x), filtering[i] == NAT_EI);
        box_close(&b);
    }
}

/* REQ-9a: "External source IP address and port". */
static void test_req9_hairpin(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1), y = box_out(&b, "192.168.1.3:6000", A1);
    assert_true(box_udp(&b, NAT_INSIDE, at(IN), y));
    assert_true(b.v.action == NAT_HAIRPIN && same(b.v.header.flow.src, x));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.3:6000")));
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.3:6000"), x)); /* and the answer */
    box_close(&b);
}

static void test_req10_no_alg_by_default(void **state) {
    (void)state;
    const char *name;
    struct nat_config c;
    for (size_t i = 0; (name = nat_preset_name(i, NULL)) != NULL; i++) {
        assert_int_equal(nat_preset(name, &c), BK_OK);
        assert_true(c.alg == NAT_ALG_OFF || strcmp(name, "fortinet-like") == 0);
    }
}

/* "MUST have deterministic behavior": neither a clash nor a full box changes what there is. */
static void test_req11_deterministic(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    c.mappings_max = c.sessions_max = 8;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_false(box_in(&b, B1, at("203.0.113.1:5001"))); /* comes before the one from inside */
    assert_true(same(box_out(&b, "192.168.1.2:5001", B1), at("203.0.113.1:5001")));
    struct bk_addr y = box_out(&b, "192.168.1.3:5000", A1);
    for (uint16_t port = 1; port < 30; port++) {
        struct bk_addr src = at("192.168.1.4:1");
        src.port = port;
        (void)box_udp(&b, NAT_INSIDE, src, at(A1));
    }
    assert_true(same(box_out(&b, IN, A1), x));
    assert_true(same(box_out(&b, "192.168.1.3:5000", A1), y));
    box_close(&b);
}

/* REQ-12 and 12a: whoever sends it, an ICMP message ends nothing; option: icmp-errors. */
static void test_req12_icmp_ends_nothing(void **state) {
    (void)state;
    for (int kill = 0; kill < 2; kill++) {
        struct nat_config c = box_preset("full-cone");
        c.icmp_errors = kill ? NAT_ICMP_ERRORS_KILL : NAT_ICMP_ERRORS_TRANSLATE;
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1), to = x;
        to.port = 0;
        struct nat_header e = {.flow = {.proto = NAT_ICMP, .src = at("192.0.2.7:0"), .dst = to},
                               .icmp = NAT_ICMP_ERROR,
                               .inner = {.proto = NAT_UDP, .src = x, .dst = at(A1)}};
        assert_true(box_pass(&b, NAT_OUTSIDE, &e));
        assert_true(same(b.v.header.inner.src, at(IN)));
        assert_int_equal(box_in(&b, A1, x), !kill);
        box_close(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_req1_mapping),
        cmocka_unit_test(test_req2_paired_pooling),
        cmocka_unit_test(test_req3_no_overloading),
        cmocka_unit_test(test_req3a_port_class),
        cmocka_unit_test(test_req4_parity),
        cmocka_unit_test(test_req5_timer),
        cmocka_unit_test(test_req5a_well_known_ports),
        cmocka_unit_test(test_req6_refresh),
        cmocka_unit_test(test_req7_conflicting_addresses),
        cmocka_unit_test(test_req8_filtering),
        cmocka_unit_test(test_req9_hairpin),
        cmocka_unit_test(test_req10_no_alg_by_default),
        cmocka_unit_test(test_req11_deterministic),
        cmocka_unit_test(test_req12_icmp_ends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
