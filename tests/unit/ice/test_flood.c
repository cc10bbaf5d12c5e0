/* SPDX-License-Identifier: MIT
 * What an attacker can make an agent do: nothing without the password; and with it, or through
 * signalling, no more than the pace allows (RFC 8445 sections 14.2 and 19.5.1). */
#include "mini.h"

#include "stun/seal.h"

#include <stdio.h>

static struct mini m;
static struct bk_rng rng[2];

/* ---- Pace: candidates may name any victim --------------------------------------------------- */

enum { SECONDS = 20, URGENT = 16 };

struct count {
    uint8_t seen[8192][STUN_TXID_LEN];
    size_t checks;                  /* transactions */
    uint32_t packets[SECONDS * 10]; /* in each tenth of a second */
};

static struct count count;

static void note(const struct bk_datagram *d, int64_t since_us) {
    struct stun_msg msg;
    assert_int_equal(stun_parse(&msg, d->data, d->len), BK_OK);
    count.packets[since_us / 100000]++;
    for (size_t i = 0; i < count.checks; i++) {
        if (memcmp(count.seen[i], msg.txid, STUN_TXID_LEN) == 0)
            return;
    }
    assert_true(count.checks < sizeof count.seen / sizeof count.seen[0]);
    memcpy(count.seen[count.checks++], msg.txid, STUN_TXID_LEN);
}

static struct bk_ice_candidate aimed_at_victim(void) {
    struct bk_ice_candidate c = {.kind = (enum bk_ice_kind)rng_below(&m.rng, 4),
                                 .addr = mini_addr("198.51.100.66:1000"),
                                 .stream = (uint16_t)rng_below(&m.rng, 2),
                                 .priority = 1 + rng_below(&m.rng, UINT32_MAX)};
    c.addr.port = (uint16_t)(1000 + rng_below(&m.rng, 5000));
    for (int i = 0; i < 4; i++)
        c.foundation[i] = (char)('a' + rng_below(&m.rng, 26));
    return c;
}

static void flood(struct bk_checker_config config, uint64_t seed) {
    memset(&count, 0, sizeof count);
    mini_init(&m, seed);
    config.streams = 2;
    rng[0] = rng_from_seeded(&m.agent_seed);
    mini_agent(&m, 0, &rng[0], config, true);
    struct bk_checker *ice = m.side[0].ice;
    mini_socket_of(&m, 0, "192.0.2.1:5000", 0, 1);
    mini_socket_of(&m, 0, "192.0.2.1:5001", 1, 1);
    mini_socket_of(&m, 0, "192.0.2.2:5000", 0, 1);
    assert_int_equal(
        bk_checker_set_remote_credentials(ice, "peer", "peerpasswordpeerpassword", m.now), BK_OK);
    struct bk_time start = m.now;
    for (int ms = 0; ms < SECONDS * 1000; ms += 20) {
        for (uint32_t n = rng_below(&m.rng, 4); n > 0; n--) {
            struct bk_ice_candidate c = aimed_at_victim();
            (void)!bk_checker_add_remote_candidate(ice, &c, m.now);
        }
        if (rng_below(&m.rng, 200) == 0)
            bk_checker_retry(ice, m.now);
        bk_checker_advance(ice, m.now);
        struct bk_datagram d;
        while (bk_checker_next_datagram(ice, &d))
            note(&d, m.now.us - start.us);
        m.now = bk_after(m.now, 20000);
    }
    int64_t slots = (int64_t)SECONDS * 1000000 / config.ta_us;
    assert_in_range(count.checks, 1, slots + config.burst + URGENT + 1);
    for (size_t i = 0; i + 10 <= SECONDS * 10; i++) { /* any second, retransmissions included */
        size_t sum = 0;
        for (size_t k = i; k < i + 10; k++)
            sum += count.packets[k];
        assert_in_range(sum, 0, config.burst + URGENT + 3 * 1000000 / config.ta_us);
    }
    mini_fini(&m);
}

static void floods_of_candidates_do_not_quicken_the_pace(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        flood(bk_checker_config_default, seed);
        struct bk_checker_config config = bk_checker_config_default;
        config.retry = false; /* and limits so wide that the pace alone holds it */
        config.remotes_max = config.pairs_max = 1000;
        flood(config, seed);
        assert_in_range(count.checks, 300, 8192);
    }
}

static void huge_credentials_are_refused(void **state) {
    (void)state;
    mini_two_public(&m, 1, rng, mini_config(), true, false);
    char huge[BK_ICE_CRED_MAX + 2];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    struct bk_checker *ice = m.side[0].ice;
    static const char good[] = "passwordpasswordpassword";
    assert_int_equal(bk_checker_set_remote_credentials(ice, huge, good, m.now), BK_ERR_ARGUMENT);
    assert_int_equal(bk_checker_set_remote_credentials(ice, "peer", huge, m.now), BK_ERR_ARGUMENT);
    assert_int_equal(bk_checker_restart(ice, huge, good, m.now), BK_ERR_ARGUMENT);
    assert_int_equal(bk_checker_restart(ice, "good", huge, m.now), BK_ERR_ARGUMENT);
    mini_signal(&m); /* as if nothing had been said */
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    mini_fini(&m);
}

/* ---- Strangers ------------------------------------------------------------------------------ */

/* Everything a checker holds, but the counters and the clock. */
struct image {
    struct bk_checker ice;
    struct ice_pair pairs[100];
    struct ice_cand locals[32], remotes[64];
    struct ice_check checks[132];
    struct ice_answer answers[ICE_ANSWERS_MAX];
    struct bk_checker_event events[64];
    struct ice_early early[16];
    struct ice_comp comp;
};

static void take_image(const struct bk_checker *ice, struct image *out) {
    memset(out, 0, sizeof *out);
    memcpy(&out->ice, ice, sizeof *ice);
    memset(&out->ice.stats, 0, sizeof out->ice.stats);
    out->ice.now = BK_NEVER;
    memcpy(out->pairs, ice->list.pairs, sizeof out->pairs);
    memcpy(out->locals, ice->locals.slots, sizeof out->locals);
    memcpy(out->remotes, ice->remotes.slots, sizeof out->remotes);
    memcpy(out->checks, ice->checks.slots, sizeof out->checks);
    memcpy(out->answers, ice->answers.ring, sizeof out->answers);
    memcpy(out->events, ice->events.ring, sizeof out->events);
    memcpy(out->early, ice->early, sizeof out->early);
    out->comp = ice->comps[0];
}

static size_t forged_check(uint8_t *buf, size_t cap) {
    struct ice_cred ours = {.ufrag = ""}, theirs = {.ufrag = ""};
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&m.rng, txid, sizeof txid);
    strcpy(ours.ufrag, "eve1");
    strcpy(ours.pwd, "evesownpasswordevesown");
    strcpy(theirs.ufrag, bk_checker_ufrag(m.side[0].ice)); /* ufrags are no secret */
    strcpy(theirs.pwd, "notthepasswordnotthepass");
    struct ice_check_message c = {.txid = txid,
                                  .local = ice_cred_view(&ours),
                                  .remote = ice_cred_view(&theirs),
                                  .priority = UINT32_MAX,
                                  .role = {rng_below(&m.rng, 2) == 0, UINT64_MAX},
                                  .use_candidate = true,
                                  .nomination = UINT32_MAX};
    size_t len = 0;
    assert_int_equal(ice_build_check(&c, buf, cap, &len), BK_OK);
    return len;
}

/* An answer to a check that is under way: its transaction id may have been seen, its key not. */
static size_t forged_answer(uint8_t *buf, size_t cap) {
    static const uint16_t codes[] = {0, 487, 400};
    const struct ice_checks *checks = &m.side[0].ice->checks;
    struct ice_cred eve = {.ufrag = "eve1", .pwd = "notthepasswordnotthepass"};
    uint8_t none[STUN_TXID_LEN] = {0};
    const uint8_t *txid =
        checks->top == 0 ? none : checks->slots[rng_below(&m.rng, checks->top)].txid;
    struct ice_answer_message a = {.txid = txid,
                                   .local = ice_cred_view(&eve),
                                   .code = codes[rng_below(&m.rng, 3)],
                                   .mapped = mini_addr("198.51.100.66:6")};
    size_t len = 0;
    assert_int_equal(ice_build_answer(&a, buf, cap, &len), BK_OK);
    return len;
}

/* Without MESSAGE-INTEGRITY: a request, an answer, an indication. */
static size_t unsigned_message(uint8_t *buf, size_t cap) {
    static const enum stun_class classes[] = {STUN_REQUEST, STUN_SUCCESS, STUN_ERROR,
                                              STUN_INDICATION};
    char user[BK_ICE_CRED_MAX + 8];
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&m.rng, txid, sizeof txid);
    (void)snprintf(user, sizeof user, "%s:eve1", bk_checker_ufrag(m.side[0].ice));
    struct stun_builder b = stun_start(buf, cap, classes[rng_below(&m.rng, 4)], STUN_BINDING, txid);
    stun_put_bytes(&b, STUN_USERNAME, user, strlen(user));
    stun_put_u32(&b, STUN_PRIORITY, UINT32_MAX);
    stun_put_flag(&b, STUN_USE_CANDIDATE);
    stun_put_fingerprint(&b);
    size_t len = 0;
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    return len;
}

/* A real packet with one bit turned, before its FINGERPRINT. */
static size_t damaged(uint8_t *buf, size_t cap) {
    const struct mini_packet *p = mini_first_packet(&m);
    if (p == NULL || p->len > cap || p->len < 28)
        return unsigned_message(buf, cap);
    memcpy(buf, p->data, p->len);
    size_t bit = rng_below(&m.rng, (uint32_t)(8 * (p->len - 8)));
    buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    return p->len;
}

static size_t noise(uint8_t *buf, size_t cap) {
    size_t len = rng_below(&m.rng, 200);
    assert_true(len <= cap);
    rng_fill(&m.rng, buf, len);
    buf[0] &= rng_below(&m.rng, 2) == 0 ? 0x01 : 0xff;
    return len;
}

static struct image before, after;

static void attack(void) {
    static size_t (*const kinds[])(uint8_t * buf, size_t cap) = {forged_check, forged_answer,
                                                                 unsigned_message, damaged, noise};
    uint8_t buf[1500];
    size_t len = kinds[rng_below(&m.rng, 5)](buf, sizeof buf);
    struct bk_datagram d = {.local = m.side[0].base[0], .data = buf, .len = len};
    d.remote = rng_below(&m.rng, 2) == 0 ? m.side[1].base[0] : mini_addr("198.51.100.66:6");
    d.protocol = rng_below(&m.rng, 8) == 0 ? BK_TCP : BK_UDP;
    take_image(m.side[0].ice, &before);
    enum bk_err err = bk_checker_recv(m.side[0].ice, &d, m.now);
    take_image(m.side[0].ice, &after);
    bool indication = err == BK_OK; /* a keepalive on a known pair: it says nothing */
    assert_true(indication || err == BK_ERR_AUTH || err == BK_ERR_NOT_OURS || err == BK_ERR_SHORT ||
                err == BK_ERR_MALFORMED);
    if (!indication)
        assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(before.ice.list.count, after.ice.list.count);
    assert_memory_equal(before.pairs, after.pairs, sizeof before.pairs);
    assert_memory_equal(before.checks, after.checks, sizeof before.checks);
}

static void what_is_not_signed_changes_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        mini_two_public(&m, seed, rng, bk_checker_config_default, true, (seed & 1) != 0);
        m.loss_permille = 200;
        if ((seed & 2) != 0)
            attack();
        mini_signal(&m);
        for (int i = 0; i < 300; i++) {
            mini_run(&m, rng_below(&m.rng, 20));
            attack();
        }
        m.loss_permille = 0;
        mini_run(&m, 60000);
        mini_assert_connected(&m);
        mini_fini(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floods_of_candidates_do_not_quicken_the_pace),
        cmocka_unit_test(huge_credentials_are_refused),
        cmocka_unit_test(what_is_not_signed_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
