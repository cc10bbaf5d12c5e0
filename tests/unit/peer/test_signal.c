/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "peer/signal.h"
#include "peer/signal_nat.h"

static struct signal sample(void) {
    struct signal s = {.type = SIGNAL_DESCRIBE, .version = 3, .ack = 2};
    struct signal_description *d = &s.description;
    memset(s.session, 0x5a, sizeof s.session);
    d->has_offer = true;
    memset(d->offer.key.bytes, 0x11, PEER_KEY_LEN);
    d->offer.purpose = SIGNAL_PURPOSE_PING;
    d->offer.has_secret = true;
    memset(d->offer.secret, 0x22, TICKET_SECRET_LEN);
    d->offer.tag_offerer = 0x01020304;
    d->offer.tag_answerer = 0xfffefdfc;
    d->generation = 200;
    strcpy(d->ufrag, "uFrG");
    strcpy(d->pwd, "a-password-of-enough-length");
    for (size_t i = 0; i < 3; i++) {
        struct bk_ice_candidate *c = &d->candidates[d->candidate_count++];
        c->kind = (enum bk_ice_kind)i;
        c->priority = 1000 + (uint32_t)i;
        strcpy(c->foundation, "f1");
        c->addr = bk_addr(bk_ipv4(192, 0, 2, (uint8_t)i), 4000);
    }
    d->candidates[2].addr.ip = bk_ipv6((const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8});
    d->end_of_candidates = true;
    d->udp = SIGNAL_UDP_BLOCKED;
    d->mapping = SIGNAL_MAPPING_VARIES;
    return s;
}

static void test_round_trip(void **state) {
    (void)state;
    struct signal in = sample(), out;
    uint8_t buf[SIGNAL_LEN_MAX];
    size_t len;
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(signal_decode(&out, buf, len), BK_OK);
    assert_int_equal(out.version, 3);
    assert_int_equal(out.ack, 2);
    assert_memory_equal(out.session, in.session, sizeof in.session);
    assert_true(peer_key_equal(&out.description.offer.key, &in.description.offer.key));
    assert_memory_equal(out.description.offer.secret, in.description.offer.secret, 16);
    assert_int_equal(out.description.offer.tag_answerer, 0xfffefdfc);
    assert_int_equal(out.description.generation, 200);
    assert_string_equal(out.description.ufrag, "uFrG");
    assert_string_equal(out.description.pwd, "a-password-of-enough-length");
    assert_int_equal(out.description.candidate_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(
            bk_addr_equal(&out.description.candidates[i].addr, &in.description.candidates[i].addr));
        assert_int_equal(out.description.candidates[i].priority, 1000 + i);
        assert_string_equal(out.description.candidates[i].foundation, "f1");
    }
    assert_true(out.description.end_of_candidates);
    assert_false(out.description.relay_only);
    assert_int_equal(out.description.udp, SIGNAL_UDP_BLOCKED);
    assert_int_equal(out.description.mapping, SIGNAL_MAPPING_VARIES);
}

/* No prefix of a message is a message, except where an attribute ends and the rest is optional. */
/* What peers tell each other of their NATs and of the step they are at. */
static void test_hard_nat(void **state) {
    (void)state;
    struct signal in = sample(), out;
    struct signal_description *d = &in.description;
    uint8_t buf[SIGNAL_LEN_MAX];
    size_t len;
    d->has_nat = d->has_punch = true;
    d->nat = (struct bk_nat_traits){.mapping = BK_NAT_APD,
                                    .filtering = BK_NAT_AD,
                                    .ports = BK_NAT_PORTS_SEQUENTIAL,
                                    .step = -2,
                                    .foreign_per_s = 1.5,
                                    .port_min = 1024,
                                    .port_max = 2047,
                                    .port_count = 512,
                                    .inbound_first = BK_YES,
                                    .udp_lifetime_us = 30 * BK_US_PER_S,
                                    .external = bk_ipv4(198, 51, 100, 7)};
    d->punch = (struct punch_note){.step = 2, .attempt = 200, .method = BK_ORACLE_FAN, .window = 9};
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(signal_decode(&out, buf, len), BK_OK);
    assert_true(out.description.has_nat && out.description.has_punch);
    assert_true(signal_nat_equal(&out.description.nat, &d->nat));
    assert_int_equal(out.description.nat.step, -2);
    assert_int_equal(out.description.nat.udp_lifetime_us, 30 * BK_US_PER_S);
    assert_int_equal(out.description.punch.method, BK_ORACLE_FAN);
    assert_int_equal(out.description.punch.window, 9);
    d->nat.port_min = 3000; /* more than port_max */
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(signal_decode(&out, buf, len), BK_ERR_MALFORMED);
}

static void test_truncation(void **state) {
    (void)state;
    struct signal in = sample(), out = {.version = 99};
    uint8_t buf[SIGNAL_LEN_MAX];
    size_t len, accepted = 0;
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, buf, cut);
        accepted += signal_decode(&out, exact, cut) == BK_OK;
        free(exact);
    }
    assert_int_equal(accepted, 4); /* behind ICE, and behind each of the three candidates */
}

static void test_refused(void **state) {
    (void)state;
    struct signal in = sample(), out;
    uint8_t buf[SIGNAL_LEN_MAX];
    size_t len;
    in.version = 0;
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(signal_decode(&out, buf, len), BK_ERR_MALFORMED);
    in = sample();
    assert_int_equal(signal_encode(&in, buf, sizeof buf, &len), BK_OK);
    buf[0] = 77;
    assert_int_equal(signal_decode(&out, buf, len), BK_ERR_MALFORMED);
    assert_int_equal(signal_encode(&in, buf, 60, &len), BK_ERR_TOO_LONG);
}

static void test_sealing(void **state) {
    (void)state;
    struct rng_seeded seeded;
    struct identity alice, bob, eve;
    struct signal in = sample(), out;
    uint8_t buf[SIGNAL_LEN_MAX];
    size_t len;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    identity_make(&alice, &rng);
    identity_make(&bob, &rng);
    identity_make(&eve, &rng);
    assert_int_equal(signal_seal(&in, &alice, bob.relay_key, &rng, buf, &len), BK_OK);
    assert_true(signal_is_signal(buf, len));
    assert_int_equal(signal_open(&out, &bob, alice.relay_key, buf, len), BK_OK);
    assert_int_equal(out.version, in.version);
    assert_int_equal(signal_open(&out, &bob, eve.relay_key, buf, len), BK_ERR_AUTH);
    assert_int_equal(signal_open(&out, &eve, alice.relay_key, buf, len), BK_ERR_AUTH);
    buf[len - 1] ^= 1;
    assert_int_equal(signal_open(&out, &bob, alice.relay_key, buf, len), BK_ERR_AUTH);
    buf[1] = 9; /* a version from the future */
    assert_int_equal(signal_open(&out, &bob, alice.relay_key, buf, len), BK_ERR_NOT_OURS);
    assert_int_equal(signal_open(&out, &bob, alice.relay_key, buf, 20), BK_ERR_NOT_OURS);
    buf[1] = 1;
    assert_int_equal(signal_open(&out, &bob, alice.relay_key, buf, 20), BK_ERR_SHORT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hard_nat),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sealing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
