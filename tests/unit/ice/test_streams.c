/* SPDX-License-Identifier: MIT
 * Several streams of several components in one agent. */
#include "mini.h"

#include "stun/seal.h"

static struct mini m;
static struct bk_rng rng[2];

/* Two agents with one socket for each component; nothing is signalled yet. */
static void set_up(uint64_t seed, uint16_t streams, uint16_t components) {
    struct bk_checker_config config = mini_config();
    config.streams = streams;
    config.components = components;
    mini_init(&m, seed);
    for (int i = 0; i < 2; i++) {
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, i == 0);
        for (uint16_t s = 0; s < streams; s++) {
            for (uint16_t c = 1; c <= components; c++) {
                char text[32];
                (void)snprintf(text, sizeof text, "192.0.2.%d:%d", i + 1, 5000 + 10 * s + c);
                mini_socket_of(&m, i, text, s, c);
            }
        }
    }
}

static struct bk_ice_pair_info selected(int side, uint16_t stream, uint16_t component) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_selected_of(m.side[side].ice, stream, component, &info), BK_OK);
    assert_int_equal(info.stream, stream);
    assert_int_equal(info.component, component);
    assert_int_equal(info.local.stream, stream);
    assert_int_equal(info.remote.component, component);
    return info;
}

static void every_component_of_every_stream_gets_its_own_pair(void **state) {
    (void)state;
    set_up(1, 3, 2);
    mini_signal(&m);
    mini_run(&m, 2000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_SELECTED);
        assert_int_equal(bk_checker_pairs(m.side[i].ice), 6); /* none across components, 6.1.2.2 */
        for (uint16_t s = 0; s < 3; s++) {
            assert_int_equal(bk_checker_stream_state(m.side[i].ice, s), BK_ICE_SELECTED);
            for (uint16_t c = 1; c <= 2; c++) {
                struct bk_ice_pair_info info = selected(i, s, c);
                assert_int_equal(info.local.addr.port, 5000 + 10 * s + c);
                assert_int_equal(info.remote.addr.port, 5000 + 10 * s + c);
            }
        }
    }
    mini_fini(&m);
}

static void components_that_do_not_exist_are_refused(void **state) {
    (void)state;
    set_up(1, 2, 2);
    struct bk_checker *ice = m.side[0].ice;
    struct bk_ice_pair_info info = {.size = sizeof info};
    static const uint16_t bad[][2] = {{2, 1}, {0, 3}, {65535, 1}, {0, 256}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bk_ice_candidate c = {
            .addr = mini_addr("198.51.100.9:7"), .stream = bad[i][0], .component = bad[i][1]};
        assert_int_equal(bk_checker_add_local_candidate(ice, &c, m.now, NULL), BK_ERR_ARGUMENT);
        assert_int_equal(bk_checker_add_remote_candidate(ice, &c, m.now), BK_ERR_ARGUMENT);
        assert_int_equal(bk_checker_selected_of(ice, bad[i][0], bad[i][1], &info),
                         BK_ERR_NOT_FOUND);
        assert_int_equal(bk_checker_best_valid_of(ice, bad[i][0], bad[i][1], &info),
                         BK_ERR_NOT_FOUND);
    }
    assert_int_equal(bk_checker_stream_state(ice, 2), BK_ICE_IDLE);
    mini_fini(&m);
}

static void a_base_serves_one_component_only(void **state) {
    (void)state;
    set_up(1, 2, 1);
    struct bk_ice_candidate c = {.addr = mini_addr("192.0.2.1:5001"), .stream = 1};
    assert_int_equal(bk_checker_add_local_candidate(m.side[0].ice, &c, m.now, NULL), BK_ERR_EXISTS);
    c.kind = BK_ICE_SRFLX;
    c.base = c.addr;
    c.addr = mini_addr("198.51.100.1:5001");
    assert_int_equal(bk_checker_add_local_candidate(m.side[0].ice, &c, m.now, NULL), BK_ERR_EXISTS);
    c.stream = 0;
    assert_int_equal(bk_checker_add_local_candidate(m.side[0].ice, &c, m.now, NULL), BK_OK);
    mini_fini(&m);
}

/* RFC 8445 section 5.1.2.1: 256 - component ID; section 5.1.1.3: one foundation for both. */
static void priorities_count_the_component(void **state) {
    (void)state;
    set_up(1, 1, 2);
    const struct bk_ice_candidate *c = m.side[0].cands;
    assert_int_equal(c[0].priority & 0xff, 255);
    assert_int_equal(c[1].priority & 0xff, 254);
    assert_int_equal(c[0].priority >> 8, c[1].priority >> 8);
    assert_string_equal(c[0].foundation, c[1].foundation);
    assert_int_equal(c[1].component, 2);
    mini_fini(&m);
}

static enum bk_ice_pair_state state_of(uint16_t stream, uint16_t component) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    for (size_t i = 0; bk_checker_pair_at(m.side[0].ice, i, &info) == BK_OK; i++) {
        if (info.stream == stream && info.component == component)
            return info.state;
    }
    fail_msg("no such pair");
    return BK_ICE_PAIR_FAILED;
}

/* RFC 8445 section 6.1.2.6: of one foundation in all checklists the pair of the lowest component
 * waits, whatever order candidates came in; 7.2.5.3.3: its success thaws the others in every one.
 */
static void foundations_freeze_and_thaw_across_streams(void **state) {
    (void)state;
    set_up(1, 2, 2);
    mini_signal_credentials(&m, 1);
    for (size_t i = 4; i-- > 0;) /* the last stream and component first */
        assert_int_equal(bk_checker_add_remote_candidate(m.side[0].ice, &m.side[1].cands[i], m.now),
                         BK_OK);
    size_t waiting = 0;
    for (uint16_t s = 0; s < 2; s++) {
        assert_int_equal(state_of(s, 2), BK_ICE_PAIR_FROZEN);
        waiting += state_of(s, 1) == BK_ICE_PAIR_WAITING;
    }
    assert_int_equal(waiting, 1);
    mini_signal_credentials(&m, 0);
    mini_run(&m, 81);
    for (uint16_t s = 0; s < 2; s++) {
        for (uint16_t c = 1; c <= 2; c++)
            assert_int_not_equal(state_of(s, c), BK_ICE_PAIR_FROZEN);
    }
    mini_fini(&m);
}

/* RFC 8445 section 6.1.2.1 and 8.1.2: Completed only with a pair for each component; 7.2.5.4:
 * Failed when one can have none. The other stream goes on. */
static void a_stream_completes_or_fails_by_itself(void **state) {
    (void)state;
    set_up(1, 2, 2);
    mini_signal_credentials(&m, 0);
    mini_signal_credentials(&m, 1);
    mini_signal_candidates(&m, 0);
    for (size_t i = 0; i < 3; i++) /* not stream 1's component 2 */
        (void)!bk_checker_add_remote_candidate(m.side[0].ice, &m.side[1].cands[i], m.now);
    m.side[1].dead[3] = true;
    mini_run(&m, 2000);
    assert_int_equal(bk_checker_stream_state(m.side[0].ice, 0), BK_ICE_SELECTED);
    assert_int_equal(bk_checker_stream_state(m.side[0].ice, 1), BK_ICE_CHECKING);
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_CHECKING);
    bk_checker_end_of_local_candidates(m.side[0].ice, m.now);
    bk_checker_end_of_remote_candidates(m.side[0].ice, m.now);
    mini_run(&m, 60000);
    assert_int_equal(bk_checker_stream_state(m.side[0].ice, 1), BK_ICE_FAILED);
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_SELECTED);
    const struct bk_checker_event *e = NULL, *last = NULL;
    for (size_t n = 0; (e = mini_event(&m, 0, BK_CHECKER_STREAM, n)) != NULL; n++) {
        if (e->stream == 1)
            last = e;
    }
    assert_non_null(last);
    assert_int_equal(last->state, BK_ICE_FAILED);
    mini_fini(&m);
}

static void all_streams_failed_is_failed(void **state) {
    (void)state;
    set_up(1, 2, 1);
    m.side[1].dead[0] = m.side[1].dead[1] = true;
    mini_signal(&m);
    mini_run(&m, 60000);
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_FAILED);
    mini_fini(&m);
}

static void events_name_their_stream_and_component(void **state) {
    (void)state;
    set_up(1, 2, 2);
    mini_signal(&m);
    mini_run(&m, 2000);
    bool seen[2][2] = {{false}};
    const struct bk_checker_event *e;
    for (size_t n = 0; (e = mini_event(&m, 1, BK_CHECKER_SELECTED, n)) != NULL; n++) {
        assert_in_range(e->component, 1, 2);
        assert_in_range(e->stream, 0, 1);
        seen[e->stream][e->component - 1] = true;
        struct bk_ice_pair_info info = {.size = sizeof info};
        if (bk_checker_pair(m.side[1].ice, e->pair, &info) == BK_OK) {
            assert_int_equal(info.stream, e->stream);
            assert_int_equal(info.component, e->component);
        }
    }
    assert_true(seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1]);
    mini_fini(&m);
}

/* RFC 8445 section 6.1.4.2: one pace for all, the checklists in turn. */
static void streams_take_turns_at_one_pace(void **state) {
    (void)state;
    struct bk_checker_config config = mini_config();
    config.streams = 2;
    config.burst = 1;
    config.ta_us = 50000;
    mini_init(&m, 1);
    rng[0] = rng_from_seeded(&m.agent_seed);
    mini_agent(&m, 0, &rng[0], config, true);
    struct bk_checker *ice = m.side[0].ice;
    for (uint16_t i = 0; i < 2; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "192.0.2.1:%d", 5000 + i);
        mini_socket_of(&m, 0, text, i, 1);
    }
    assert_int_equal(
        bk_checker_set_remote_credentials(ice, "peer", "peerpasswordpeerpassword", m.now), BK_OK);
    for (uint16_t i = 0; i < 8; i++) { /* eight foundations: all may be checked */
        struct bk_ice_candidate c = {.addr = mini_addr("198.51.100.1:7000"), .stream = i / 4};
        c.addr.ip.bytes[3] = (uint8_t)(1 + i);
        c.foundation[0] = (char)('a' + i);
        assert_int_equal(bk_checker_add_remote_candidate(ice, &c, m.now), BK_OK);
    }
    uint16_t last = 99;
    for (int n = 0; n < 8; n++) {
        struct bk_datagram d;
        assert_true(bk_checker_next_datagram(ice, &d));
        assert_int_not_equal(d.local.port, last);
        last = d.local.port;
        assert_false(bk_checker_next_datagram(ice, &d));
        m.now = bk_after(m.now, config.ta_us);
        bk_checker_advance(ice, m.now);
    }
    mini_fini(&m);
}

/* A restart keeps data flowing on every component, RFC 8445 section 9. */
static void a_restart_moves_every_component(void **state) {
    (void)state;
    set_up(3, 2, 2);
    mini_signal(&m);
    mini_run(&m, 2000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
    for (int i = 0; i < 2; i++)
        assert_true(selected(i, 1, 2).old);
    mini_run(&m, 500);
    mini_signal(&m);
    mini_run(&m, 2000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bk_checker_pairs(m.side[i].ice), 4);
        for (uint16_t c = 0; c < 4; c++)
            assert_false(selected(i, c / 2, (uint16_t)(c % 2 + 1)).old);
    }
    mini_fini(&m);
}

/* The limit takes no component's last pair. */
static void floods_for_one_component_leave_the_others_their_pairs(void **state) {
    (void)state;
    struct bk_checker_config config = mini_config();
    config.streams = 3;
    config.pairs_max = 8;
    config.remotes_max = 200;
    mini_init(&m, 1);
    rng[0] = rng_from_seeded(&m.agent_seed);
    mini_agent(&m, 0, &rng[0], config, true);
    struct bk_checker *ice = m.side[0].ice;
    for (uint16_t s = 0; s < 3; s++) {
        char text[32];
        (void)snprintf(text, sizeof text, "192.0.2.1:%d", 5000 + s);
        mini_socket_of(&m, 0, text, s, 1);
        struct bk_ice_candidate c = {.addr = mini_addr("198.51.100.1:7000"), .stream = s};
        assert_int_equal(bk_checker_add_remote_candidate(ice, &c, m.now), BK_OK);
    }
    for (uint16_t i = 0; i < 150; i++) {
        struct bk_ice_candidate c = {.addr = mini_addr("198.51.100.2:7000"), .stream = 2};
        c.addr.port = (uint16_t)(c.addr.port + i);
        (void)!bk_checker_add_remote_candidate(ice, &c, m.now);
        bk_checker_check(ice);
    }
    assert_int_equal(bk_checker_pairs(ice), 8);
    for (uint16_t s = 0; s < 3; s++)
        (void)state_of(s, 1);
    mini_fini(&m);
}

/* A peer with credentials of its own for each stream, RFC 8839 section 5.4; before and after its
 * restart. */
struct who {
    const char *ufrag[2], *pwd[2];
};
static const struct who first = {{"audi", "vide"},
                                 {"passwordofaudiopassword", "passwordofvideopassword"}};
static const struct who second = {{"newA", "newV"},
                                  {"newpasswordofaudiopassword", "newpasswordofvideopassword"}};

/* Side 0 with two streams; the peer is played by answer_all(). */
static struct bk_checker *beside_a_script(void) {
    struct bk_checker_config config = mini_config();
    config.streams = 2;
    mini_init(&m, 1);
    rng[0] = rng_from_seeded(&m.agent_seed);
    mini_agent(&m, 0, &rng[0], config, true);
    for (uint16_t s = 0; s < 2; s++) {
        char text[32];
        (void)snprintf(text, sizeof text, "192.0.2.1:%d", 5000 + s);
        mini_socket_of(&m, 0, text, s, 1);
    }
    return m.side[0].ice;
}

static void add_remote(uint16_t stream) {
    struct bk_ice_candidate c = {.addr = mini_addr("198.51.100.1:7000"), .stream = stream};
    c.addr.port = (uint16_t)(c.addr.port + stream);
    enum bk_err err = bk_checker_add_remote_candidate(m.side[0].ice, &c, m.now);
    assert_true(err == BK_OK || err == BK_ERR_EXISTS);
}

static enum bk_err set_of(uint16_t stream, const char *ufrag, const char *pwd) {
    return bk_checker_set_remote_credentials_of(m.side[0].ice, stream, ufrag, pwd, m.now);
}

static void set_both(const struct who *who) {
    for (uint16_t s = 0; s < 2; s++)
        assert_int_equal(set_of(s, who->ufrag[s], who->pwd[s]), BK_OK);
}

static bool is_to(const struct wire_span *user, const char *ufrag) {
    size_t len = strlen(ufrag);
    return user->len > len && memcmp(user->data, ufrag, len) == 0 && user->data[len] == ':';
}

/* Plays the peer for all that leaves now: each check must be under its stream's credentials, of
 * `who` or of `former`. Gives a bit for each stream that was checked as `who`. `forged`: answers
 * with the other stream's password. */
static unsigned answer_all(const struct who *who, const struct who *former, bool forged) {
    struct bk_datagram d;
    unsigned seen = 0;
    while (bk_checker_next_datagram(m.side[0].ice, &d)) {
        struct stun_msg msg;
        struct wire_span user;
        uint8_t buf[ICE_MESSAGE_MAX];
        size_t len = 0;
        unsigned s = d.local.port - 5000u;
        assert_in_range(s, 0, 1);
        assert_int_equal(stun_parse(&msg, d.data, d.len), BK_OK);
        if (msg.cls != STUN_REQUEST)
            continue;
        assert_int_equal(stun_get_bytes(&msg, STUN_USERNAME, &user), BK_OK);
        bool now = is_to(&user, who->ufrag[s]);
        const struct who *as = now ? who : former;
        assert_true(as != NULL && is_to(&user, as->ufrag[s]));
        assert_int_equal(stun_check_integrity(&msg, as->pwd[s], strlen(as->pwd[s])), BK_OK);
        seen |= now ? 1u << s : 0;
        struct ice_answer_message a = {.txid = msg.txid,
                                       .local = {as->ufrag[s], as->pwd[forged ? 1 - s : s]},
                                       .mapped = d.local};
        assert_int_equal(ice_build_answer(&a, buf, sizeof buf, &len), BK_OK);
        struct bk_datagram in = {.local = d.local, .remote = d.remote, .data = buf, .len = len};
        assert_int_equal(bk_checker_recv(m.side[0].ice, &in, m.now), forged ? BK_ERR_AUTH : BK_OK);
    }
    bk_checker_check(m.side[0].ice);
    return seen;
}

static void pass(int ms) {
    m.now = bk_after(m.now, ms * 1000);
    bk_checker_advance(m.side[0].ice, m.now);
}

/* RFC 8839 section 5.4: ice-ufrag and ice-pwd of a stream. */
static void streams_have_credentials_of_their_own(void **state) {
    (void)state;
    struct bk_checker *ice = beside_a_script();
    for (uint16_t s = 0; s < 2; s++)
        add_remote(s);
    assert_string_equal(bk_checker_remote_ufrag(ice, 0), "");
    set_both(&first);
    assert_string_equal(bk_checker_remote_ufrag(ice, 0), "audi");
    assert_string_equal(bk_checker_remote_ufrag(ice, 1), "vide");
    assert_string_equal(bk_checker_remote_ufrag(ice, 2), "");
    (void)answer_all(&first, NULL, true);
    for (uint16_t s = 0; s < 2; s++)
        assert_int_not_equal(bk_checker_stream_state(ice, s), BK_ICE_SELECTED);
    unsigned seen = 0;
    for (int i = 0; i < 40; i++, pass(50))
        seen |= answer_all(&first, NULL, false);
    assert_int_equal(seen, 3);
    for (uint16_t s = 0; s < 2; s++)
        assert_int_equal(bk_checker_stream_state(ice, s), BK_ICE_SELECTED);
    bk_checker_settle(ice, m.now); /* and consent after it */
    for (seen = 0; seen != 3; pass(500)) {
        assert_int_equal(bk_checker_get_state(ice), BK_ICE_SELECTED);
        seen |= answer_all(&first, NULL, false);
    }
    mini_fini(&m);
}

/* A stream is not checked before its credentials come, whatever the others do; nor does it hold
 * back pairs of theirs with its foundation. A check that came early takes effect with them. */
static void a_stream_waits_for_its_credentials_alone(void **state) {
    (void)state;
    struct bk_checker *ice = beside_a_script();
    uint8_t txid[STUN_TXID_LEN] = {1}, buf[ICE_MESSAGE_MAX];
    struct bk_datagram in = {.local = mini_addr("192.0.2.1:5000"),
                             .remote = mini_addr("198.51.100.1:7000"),
                             .data = buf};
    struct ice_check_message check = {.txid = txid,
                                      .local = {first.ufrag[0], first.pwd[0]},
                                      .remote = {bk_checker_ufrag(ice), bk_checker_pwd(ice)},
                                      .priority = 7};
    assert_int_equal(ice_build_check(&check, buf, sizeof buf, &in.len), BK_OK);
    assert_int_equal(bk_checker_recv(ice, &in, m.now), BK_OK);
    for (uint16_t s = 0; s < 2; s++)
        add_remote(s);
    assert_int_equal(set_of(1, first.ufrag[1], first.pwd[1]), BK_OK);
    for (int i = 0; i < 40; i++, pass(50))
        assert_int_equal(answer_all(&first, NULL, false) & 1, 0);
    assert_int_equal(bk_checker_stream_state(ice, 0), BK_ICE_IDLE);
    assert_int_equal(bk_checker_stream_state(ice, 1), BK_ICE_SELECTED);
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_find_pair(ice, &in.local, &in.remote, &info), BK_OK);
    assert_int_equal(info.checks_received, 0);
    assert_int_equal(set_of(0, first.ufrag[0], first.pwd[0]), BK_OK);
    assert_int_equal(bk_checker_find_pair(ice, &in.local, &in.remote, &info), BK_OK);
    assert_int_equal(info.checks_received, 1);
    for (int i = 0; i < 40; i++, pass(50))
        (void)answer_all(&first, NULL, false);
    assert_int_equal(bk_checker_get_state(ice), BK_ICE_SELECTED);
    mini_fini(&m);
}

static void other_credentials_need_a_restart(void **state) {
    (void)state;
    struct bk_checker *ice = beside_a_script();
    assert_int_equal(set_of(0, first.ufrag[0], first.pwd[0]), BK_OK);
    assert_int_equal(set_of(0, first.ufrag[0], first.pwd[0]), BK_OK);
    assert_int_equal(set_of(0, first.ufrag[0], first.pwd[1]), BK_ERR_STATE);
    assert_int_equal(set_of(2, first.ufrag[0], first.pwd[0]), BK_ERR_ARGUMENT);
    assert_int_equal(set_of(1, "abc", first.pwd[0]), BK_ERR_ARGUMENT);
    assert_string_equal(bk_checker_remote_ufrag(ice, 1), "");
    /* for all: the others agree, or nothing is set */
    assert_int_equal(bk_checker_set_remote_credentials(ice, first.ufrag[1], first.pwd[1], m.now),
                     BK_ERR_STATE);
    assert_string_equal(bk_checker_remote_ufrag(ice, 1), "");
    assert_int_equal(bk_checker_set_remote_credentials(ice, first.ufrag[0], first.pwd[0], m.now),
                     BK_OK);
    assert_string_equal(bk_checker_remote_ufrag(ice, 1), first.ufrag[0]);
    assert_int_equal(set_of(1, first.ufrag[0], first.pwd[0]), BK_OK);
    assert_int_equal(set_of(1, first.ufrag[1], first.pwd[1]), BK_ERR_STATE);
    assert_int_equal(bk_checker_restart(ice, NULL, NULL, m.now), BK_OK);
    assert_string_equal(bk_checker_remote_ufrag(ice, 0), "");
    assert_int_equal(set_of(1, first.ufrag[1], first.pwd[1]), BK_OK);
    mini_fini(&m);
}

/* RFC 8445 section 9: old pairs keep their consent under their stream's old credentials. */
static void a_restart_keeps_each_streams_old_credentials(void **state) {
    (void)state;
    struct bk_checker *ice = beside_a_script();
    for (uint16_t s = 0; s < 2; s++)
        add_remote(s);
    set_both(&first);
    for (int i = 0; i < 40; i++, pass(50))
        (void)answer_all(&first, NULL, false);
    for (int round = 0; round < 2; round++) {
        const struct who *old = round == 0 ? &first : &second;
        const struct who *now = round == 0 ? &second : &first;
        bk_checker_settle(ice, m.now);
        assert_int_equal(bk_checker_restart(ice, NULL, NULL, m.now), BK_OK);
        bk_checker_settle(ice, m.now);
        for (unsigned seen = 0; seen != 3; pass(500)) {
            assert_int_equal(bk_checker_get_state(ice), BK_ICE_SELECTED);
            seen |= answer_all(old, NULL, false);
        }
        for (uint16_t s = 0; s < 2; s++)
            add_remote(s);
        set_both(now);
        for (int i = 0; i < 100; i++, pass(50))
            (void)answer_all(now, old, false);
        for (uint16_t s = 0; s < 2; s++)
            assert_false(selected(0, s, 1).old);
        assert_int_equal(bk_checker_pairs(ice), 2);
    }
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_component_of_every_stream_gets_its_own_pair),
        cmocka_unit_test(components_that_do_not_exist_are_refused),
        cmocka_unit_test(a_base_serves_one_component_only),
        cmocka_unit_test(priorities_count_the_component),
        cmocka_unit_test(foundations_freeze_and_thaw_across_streams),
        cmocka_unit_test(a_stream_completes_or_fails_by_itself),
        cmocka_unit_test(all_streams_failed_is_failed),
        cmocka_unit_test(events_name_their_stream_and_component),
        cmocka_unit_test(streams_take_turns_at_one_pace),
        cmocka_unit_test(a_restart_moves_every_component),
        cmocka_unit_test(floods_for_one_component_leave_the_others_their_pairs),
        cmocka_unit_test(streams_have_credentials_of_their_own),
        cmocka_unit_test(a_stream_waits_for_its_credentials_alone),
        cmocka_unit_test(other_credentials_need_a_restart),
        cmocka_unit_test(a_restart_keeps_each_streams_old_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
