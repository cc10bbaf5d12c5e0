/* SPDX-License-Identifier: MIT
 * One agent against a peer played by the test: foreign habits, errors, floods. */
#include "mini.h"

#include "stun/seal.h"

static struct bk_checker *ice;
static struct rng_seeded seed;
static struct bk_rng rng;
static struct bk_time now;
static struct ice_cred peer;         /* the test's credentials */
static struct bk_addr local, remote; /* the agent's socket, the test's socket */
static char traced[65536];
static size_t traced_len;

static void keep_trace(void *ctx, const char *text) {
    (void)ctx;
    size_t len = strlen(text);
    if (traced_len + len + 1 < sizeof traced) {
        memcpy(traced + traced_len, text, len);
        traced_len += len;
        traced[traced_len++] = '\n';
        traced[traced_len] = '\0';
    }
}

static void start(bool controlling) {
    rng_seed(&seed, 42);
    rng = rng_from_seeded(&seed);
    now = test_at_ms(1000);
    local = mini_addr("192.0.2.1:5000");
    remote = mini_addr("198.51.100.1:6000");
    traced_len = 0;
    struct bk_checker_config c = mini_config();
    c.rng = &rng;
    c.controlling = controlling;
    c.trace.line = keep_trace;
    assert_int_equal(bk_checker_new(&c, &test_alloc, &ice), BK_OK);
    struct bk_ice_candidate host = {.kind = BK_ICE_HOST, .addr = local};
    assert_int_equal(bk_checker_add_local_candidate(ice, &host, now, NULL), BK_OK);
    assert_int_equal(ice_cred_set(&peer, "peer", "peerpasswordpeerpassword"), BK_OK);
}

static void signal_peer(void) {
    assert_int_equal(bk_checker_set_remote_credentials(ice, peer.ufrag, peer.pwd, now), BK_OK);
}

static void signal_candidate(const char *addr) {
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = mini_addr(addr)};
    assert_int_equal(bk_checker_add_remote_candidate(ice, &c, now), BK_OK);
}

static void finish(void) {
    bk_checker_check(ice);
    bk_checker_free(ice);
}

static enum bk_err give(const struct bk_addr *from, const uint8_t *data, size_t len) {
    struct bk_datagram d = {.local = local, .remote = *from, .data = data, .len = len};
    enum bk_err err = bk_checker_recv(ice, &d, now);
    bk_checker_check(ice);
    return err;
}

/* What the agent is addressed by, as the peer knows it. */
static struct ice_cred agent_cred(void) {
    struct ice_cred c = {.ufrag = ""};
    assert_int_equal(ice_cred_set(&c, bk_checker_ufrag(ice), bk_checker_pwd(ice)), BK_OK);
    return c;
}

static uint32_t next_txid;

struct wish {
    bool controlling, use_candidate;
    uint32_t nomination;
    uint64_t tie_breaker;
    const char *pwd; /* NULL: the right one */
};

static size_t build(const struct wish *w, uint8_t *buf, size_t cap) {
    struct ice_cred agent = agent_cred();
    if (w->pwd != NULL)
        strcpy(agent.pwd, w->pwd);
    uint8_t txid[STUN_TXID_LEN] = {0};
    next_txid++;
    memcpy(txid, &next_txid, sizeof next_txid);
    struct ice_check_message msg = {.txid = txid,
                                    .local = ice_cred_view(&peer),
                                    .remote = ice_cred_view(&agent),
                                    .priority = ice_priority(BK_ICE_PRFLX, BK_ICE_UDP, 65535, 1),
                                    .role = {w->controlling, w->tie_breaker},
                                    .use_candidate = w->use_candidate,
                                    .nomination = w->nomination};
    size_t len = 0;
    assert_int_equal(ice_build_check(&msg, buf, cap, &len), BK_OK);
    return len;
}

static enum bk_err check_from(const struct bk_addr *from, const struct wish *w) {
    uint8_t buf[1024];
    size_t len = build(w, buf, sizeof buf);
    return give(from, buf, len);
}

struct sent {
    struct bk_datagram d;
    uint8_t data[1500];
    struct stun_msg msg;
};

/* The next datagram of this class the agent sends; false: none. Others are dropped. */
static bool next_sent(struct sent *s, enum stun_class cls) {
    while (bk_checker_next_datagram(ice, &s->d)) {
        memcpy(s->data, s->d.data, s->d.len);
        s->d.data = s->data;
        assert_int_equal(stun_parse(&s->msg, s->data, s->d.len), BK_OK);
        if (s->msg.cls == cls)
            return true;
    }
    return false;
}

static size_t answer_to(const struct sent *s, uint16_t code, uint8_t *buf, size_t cap) {
    struct ice_answer_message a = {
        .txid = s->msg.txid, .local = ice_cred_view(&peer), .code = code, .mapped = s->d.local};
    size_t len = 0;
    assert_int_equal(ice_build_answer(&a, buf, cap, &len), BK_OK);
    return len;
}

/* Answers every check the agent has to send. */
static void answer_all(uint16_t code) {
    struct sent s;
    uint8_t buf[1024];
    while (next_sent(&s, STUN_REQUEST)) {
        struct bk_addr from = s.d.remote;
        size_t len = answer_to(&s, code, buf, sizeof buf);
        assert_int_equal(give(&from, buf, len), BK_OK);
    }
}

static uint32_t selected_port(void) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    return bk_checker_selected(ice, &info) == BK_OK ? info.remote.addr.port : 0;
}

/* The agent is controlled and knows two candidates of the peer's: `remote`, and a worse one. */
static struct bk_addr start_with_two_ways(void) {
    start(false);
    signal_peer();
    struct bk_addr worse = mini_addr("198.51.100.2:6002");
    struct bk_ice_candidate c = {.kind = BK_ICE_SRFLX, .addr = worse};
    assert_int_equal(bk_checker_add_remote_candidate(ice, &c, now), BK_OK);
    signal_candidate("198.51.100.1:6000");
    return worse;
}

/* ---- Foreign habits ----------------------------------------------------------------------- */

/* RFC 5245 aggressive nomination: USE-CANDIDATE in every check, the highest priority wins. */
static void aggressive_nomination_ends_on_the_best_pair(void **state) {
    (void)state;
    struct bk_addr worse = start_with_two_ways();
    const struct wish use = {.controlling = true, .use_candidate = true};
    assert_int_equal(check_from(&worse, &use), BK_OK);
    answer_all(0);
    assert_int_equal(selected_port(), 6002);
    for (int i = 0; i < 10; i++) { /* both go on nominating; the better one stays */
        assert_int_equal(check_from(&remote, &use), BK_OK);
        assert_int_equal(check_from(&worse, &use), BK_OK);
        answer_all(0);
        assert_int_equal(selected_port(), 6000);
        now = bk_after(now, 2500000);
        bk_checker_advance(ice, now);
    }
    assert_int_equal(bk_checker_stats(ice)->selections, 2);
    finish();
}

/* RFC 8445 peers nominate once; after a quiet time a worse pair is believed too. */
static void a_plain_peer_may_move_to_a_worse_pair_later(void **state) {
    (void)state;
    struct bk_addr worse = start_with_two_ways();
    const struct wish use = {.controlling = true, .use_candidate = true};
    assert_int_equal(check_from(&remote, &use), BK_OK);
    answer_all(0);
    assert_int_equal(selected_port(), 6000);
    now = bk_after(now, 20000000);
    bk_checker_advance(ice, now);
    answer_all(0);
    assert_int_equal(check_from(&worse, &use), BK_OK);
    answer_all(0);
    assert_int_equal(selected_port(), 6002);
    finish();
}

static void numbered_nominations_survive_reordering(void **state) {
    (void)state;
    start(false);
    signal_peer();
    struct bk_addr other = mini_addr("198.51.100.2:6002");
    signal_candidate("198.51.100.1:6000");
    signal_candidate("198.51.100.2:6002");
    const struct wish second = {.controlling = true, .use_candidate = true, .nomination = 2};
    const struct wish first = {.controlling = true, .use_candidate = true, .nomination = 1};
    assert_int_equal(check_from(&other, &second), BK_OK);
    assert_int_equal(check_from(&remote, &first), BK_OK); /* overtaken on the way */
    answer_all(0);
    assert_int_equal(selected_port(), 6002);
    finish();
}

static void a_nomination_waits_for_our_own_check(void **state) {
    (void)state;
    start(false);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    const struct wish use = {.controlling = true, .use_candidate = true};
    assert_int_equal(check_from(&remote, &use), BK_OK);
    assert_int_equal(selected_port(), 0);
    answer_all(0);
    assert_int_equal(selected_port(), 6000);
    finish();
}

/* ---- Errors ------------------------------------------------------------------------------- */

static void requests_are_told_apart_before_they_are_answered(void **state) {
    (void)state;
    start(false);
    signal_peer();
    uint8_t buf[1024];
    struct sent s;
    const struct wish plain = {.controlling = true};
    const struct wish forged = {.controlling = true, .pwd = "wrongpasswordwrongpassword"};
    while (next_sent(&s, STUN_REQUEST))
        continue;
    assert_int_equal(check_from(&remote, &forged), BK_ERR_AUTH);
    assert_false(next_sent(&s, STUN_ERROR)); /* silence */
    size_t len = build(&plain, buf, sizeof buf);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(give(&remote, buf, cut), BK_OK);
    /* any changed byte breaks it; without the FINGERPRINT, the last 8, a request is still signed */
    for (size_t i = 0; i < len - 8; i++) {
        buf[i] ^= 1;
        assert_int_not_equal(give(&remote, buf, len), BK_OK);
        buf[i] ^= 1;
    }
    assert_false(next_sent(&s, STUN_SUCCESS));
    assert_int_equal(give(&remote, buf, len), BK_OK);
    assert_true(next_sent(&s, STUN_SUCCESS));
    const uint8_t other[] = {0x40, 1, 2, 3}; /* QUIC */
    assert_int_equal(give(&remote, other, sizeof other), BK_ERR_NOT_OURS);
    finish();
}

/* Under the agent's credentials `to`, from the peer's `from`. */
static enum bk_err check_between(const struct bk_addr *path, const struct ice_cred *from,
                                 const struct ice_cred *to) {
    uint8_t buf[1024], txid[STUN_TXID_LEN] = {0};
    next_txid++;
    memcpy(txid, &next_txid, sizeof next_txid);
    struct ice_check_message msg = {.txid = txid,
                                    .local = ice_cred_view(from),
                                    .remote = ice_cred_view(to),
                                    .priority = 1,
                                    .role = {.controlling = true}};
    size_t len = 0;
    assert_int_equal(ice_build_check(&msg, buf, sizeof buf, &len), BK_OK);
    return give(path, buf, len);
}

static bool is_answered(void) {
    struct sent s;
    return next_sent(&s, STUN_SUCCESS);
}

/* The peer has restarted, and its description has not come yet: libwebrtc's new sockets check at
 * once, under its new name and our present one. */
static void a_new_path_of_a_restart_not_told_of_is_not_answered(void **state) {
    (void)state;
    const struct bk_addr fresh = mini_addr("198.51.100.1:6002");
    const struct wish use = {.controlling = true, .use_candidate = true};
    struct ice_cred next = {.ufrag = ""}, agent;
    start(false);
    agent = agent_cred();
    assert_int_equal(ice_cred_set(&next, "next", "nextpasswordnextpassword"), BK_OK);
    assert_int_equal(check_between(&fresh, &next, &agent), BK_OK);
    assert_true(is_answered()); /* RFC 8445 section 7.3: whose name it is cannot be known yet */
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    assert_int_equal(check_from(&remote, &use), BK_OK);
    answer_all(0);
    assert_int_equal(selected_port(), 6000);
    const struct bk_addr other = mini_addr("198.51.100.1:6003");
    assert_int_equal(check_between(&other, &next, &agent), BK_OK);
    assert_false(is_answered());
    assert_int_equal(bk_checker_stats(ice)->stale_ufrag, 1);
    assert_int_equal(check_between(&remote, &next, &agent), BK_OK); /* libnice keeps its socket */
    assert_true(is_answered());
    finish();
}

/* We are controlled, the new generation's pair has succeeded, and the peer does not nominate. */
static struct ice_cred restarted_without_nomination(bool renominates) {
    const struct wish use = {.controlling = true, .use_candidate = true};
    start(false);
    bk_checker_set_renominate(ice, renominates, now);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    assert_int_equal(check_from(&remote, &use), BK_OK);
    answer_all(0);
    const struct ice_cred old = agent_cred();
    assert_int_equal(bk_checker_restart(ice, NULL, NULL, now), BK_OK);
    assert_int_equal(ice_cred_set(&peer, "next", "nextpasswordnextpassword"), BK_OK);
    signal_peer();
    signal_candidate("198.51.100.1:6002");
    answer_all(0);
    assert_int_equal(selected_port(), 6000);
    return old;
}

/* Answers a check of the agent's on the path of either generation. */
static void answer_either(const struct sent *s, const struct ice_cred *old_peer) {
    const struct ice_cred present = peer;
    uint8_t buf[1024];
    if (s->d.remote.port == remote.port)
        peer = *old_peer;
    size_t len = answer_to(s, 0, buf, sizeof buf);
    peer = present;
    assert_int_equal(give(&s->d.remote, buf, len), BK_OK);
}

/* For seconds, both generations answer; was the last check on the old path answered? */
static bool linger(const struct ice_cred *old, int seconds) {
    struct ice_cred old_peer = {.ufrag = ""};
    assert_int_equal(ice_cred_set(&old_peer, "peer", "peerpasswordpeerpassword"), BK_OK);
    bool answered = false;
    for (int i = 0; i < seconds; i++) {
        struct sent s;
        now = bk_after(now, 1000000);
        bk_checker_advance(ice, now);
        while (next_sent(&s, STUN_REQUEST))
            answer_either(&s, &old_peer);
        assert_int_equal(check_between(&remote, &old_peer, old), BK_OK);
        answered = is_answered();
    }
    return answered;
}

static void an_old_path_that_keeps_a_restart_from_ending_is_given_up(void **state) {
    (void)state;
    const struct ice_cred old = restarted_without_nomination(false);
    assert_true(linger(&old, 7));
    assert_int_equal(selected_port(), 6000);
    assert_false(linger(&old, 2));
    assert_int_equal(selected_port(), 6002);
    struct bk_ice_pair_info pair = {.size = sizeof pair}; /* what comes there is still the peer's */
    assert_int_equal(bk_checker_find_pair(ice, &local, &remote, &pair), BK_OK);
    assert_true(pair.old && pair.checks_received > 0);
    const struct bk_addr fresh = mini_addr("198.51.100.1:6002");
    const struct wish use = {.controlling = true, .use_candidate = true};
    bk_checker_retry(ice, now);
    assert_int_equal(check_from(&fresh, &use), BK_OK);
    assert_int_equal(bk_checker_find_pair(ice, &local, &remote, &pair), BK_ERR_NOT_FOUND);
    finish();
}

static void a_peer_that_renominates_has_time(void **state) {
    (void)state;
    const struct ice_cred old = restarted_without_nomination(true);
    assert_true(linger(&old, 25));
    assert_int_equal(selected_port(), 6000);
    finish();
}

static void another_agents_request_is_not_ours(void **state) {
    (void)state;
    start(false);
    uint8_t buf[1024];
    struct ice_cred other = {.ufrag = "someone", .pwd = "passwordpasswordpassword"};
    struct ice_check_message msg = {
        .txid = buf, .local = ice_cred_view(&peer), .remote = ice_cred_view(&other), .priority = 1};
    uint8_t txid[STUN_TXID_LEN] = {1};
    msg.txid = txid;
    size_t len = 0;
    assert_int_equal(ice_build_check(&msg, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(give(&remote, buf, len), BK_ERR_NOT_OURS);
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    assert_int_equal(stun_finish(&b, &len), BK_OK); /* a plain STUN request: for a server */
    assert_int_equal(give(&remote, buf, len), BK_ERR_NOT_OURS);
    b = stun_start(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, txid);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(give(&remote, buf, len), BK_ERR_NOT_OURS);
    b = stun_start(buf, sizeof buf, STUN_SUCCESS, TURN_ALLOCATE, txid);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(give(&remote, buf, len), BK_ERR_NOT_OURS);
    finish();
}

static void signed_nonsense_gets_an_error_answer(void **state) {
    (void)state;
    start(false);
    signal_peer();
    uint8_t buf[512];
    size_t len = 0;
    uint16_t code = 0;
    struct sent s;
    struct ice_cred agent = agent_cred();
    char username[64] = "";
    strcat(strcat(username, agent.ufrag), ":peer");
    for (int k = 0; k < 2; k++) {
        uint8_t txid[STUN_TXID_LEN] = {9, (uint8_t)k};
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
        stun_put_bytes(&b, STUN_USERNAME, username, strlen(username));
        if (k == 0) /* RFC 8489 section 6.3.1: an unknown required attribute */
            stun_put_bytes(&b, 0x7eee, "?", 1);
        stun_put_integrity(&b, agent.pwd, strlen(agent.pwd)); /* k == 1: no PRIORITY */
        stun_put_fingerprint(&b);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        assert_int_equal(give(&remote, buf, len), k == 0 ? BK_OK : BK_ERR_MALFORMED);
        assert_true(next_sent(&s, STUN_ERROR));
        assert_int_equal(stun_get_error(&s.msg, &code, NULL), BK_OK);
        assert_int_equal(code, k == 0 ? 420 : 400);
        assert_int_equal(stun_check_integrity(&s.msg, agent.pwd, strlen(agent.pwd)), BK_OK);
    }
    finish();
}

static void an_answer_by_another_way_fails_the_pair(void **state) {
    (void)state;
    start(true);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    struct sent s;
    uint8_t buf[512];
    assert_true(next_sent(&s, STUN_REQUEST));
    struct bk_addr elsewhere = mini_addr("198.51.100.1:6001");
    size_t len = answer_to(&s, 0, buf, sizeof buf);
    assert_int_equal(give(&elsewhere, buf, len), BK_OK);
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_pair_at(ice, 0, &info), BK_OK);
    assert_int_equal(info.state, BK_ICE_PAIR_FAILED);
    assert_int_equal(info.last_failure, BK_ICE_FAILURE_ASYMMETRIC);
    finish();
}

static void a_refusal_fails_the_pair_but_not_a_forged_one(void **state) {
    (void)state;
    start(true);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    struct sent s;
    uint8_t buf[512];
    assert_true(next_sent(&s, STUN_REQUEST));
    struct ice_cred stranger = {.ufrag = "peer", .pwd = "strangerstrangerstranger"};
    struct ice_answer_message forged = {
        .txid = s.msg.txid, .local = ice_cred_view(&stranger), .code = 400};
    size_t len = 0;
    assert_int_equal(ice_build_answer(&forged, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(give(&remote, buf, len), BK_ERR_AUTH);
    len = answer_to(&s, 400, buf, sizeof buf);
    assert_int_equal(give(&remote, buf, len), BK_OK);
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_pair_at(ice, 0, &info), BK_OK);
    assert_int_equal(info.last_failure, BK_ICE_FAILURE_REFUSED);
    finish();
}

static void a_late_answer_has_the_pair_checked_again(void **state) {
    (void)state;
    start(true);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    answer_all(0);
    struct sent probe;
    (void)bk_checker_probe(ice, now);
    assert_true(next_sent(&probe, STUN_REQUEST));
    now = bk_after(now, 400000);
    for (int i = 0; i < 4; i++) {
        bk_checker_advance(ice, now);
        now = bk_after(now, 200000);
    }
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_pair_at(ice, 0, &info), BK_OK);
    assert_int_equal(info.last_failure, BK_ICE_FAILURE_PROBE);
    struct sent s;
    while (next_sent(&s, STUN_REQUEST))
        continue;
    uint8_t buf[512];
    size_t len = answer_to(&probe, 0, buf, sizeof buf);
    assert_int_equal(give(&remote, buf, len), BK_OK);
    assert_true(next_sent(&s, STUN_REQUEST)); /* at once */
    finish();
}

/* ---- Floods ------------------------------------------------------------------------------- */

static struct bk_addr nth_addr(unsigned n) {
    return bk_addr(bk_ipv4(198, 18, (uint8_t)(n >> 8), (uint8_t)n), 7000);
}

static void early_checks_are_bounded(void **state) {
    (void)state;
    start(false);
    const struct wish plain = {.controlling = true};
    for (unsigned i = 0; i < 1000; i++) {
        struct bk_addr from = nth_addr(i);
        assert_int_equal(check_from(&from, &plain), BK_OK);
        struct sent s;
        assert_true(next_sent(&s, STUN_SUCCESS)); /* answered all the same */
    }
    assert_int_equal(bk_checker_stats(ice)->early_full, 1000 - 16);
    const struct wish use = {.controlling = true, .use_candidate = true};
    struct bk_addr extra = nth_addr(2000);
    assert_int_equal(check_from(&extra, &use), BK_ERR_FULL);
    assert_false(is_answered());
    signal_peer();
    assert_int_equal(bk_checker_pairs(ice), 16);
    finish();
}

static void peer_reflexive_candidates_are_bounded_and_renewed(void **state) {
    (void)state;
    start(false);
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    answer_all(0);
    const struct wish plain = {.controlling = true};
    struct sent s;
    for (unsigned i = 0; i < 500; i++) {
        struct bk_addr from = nth_addr(i);
        assert_int_equal(check_from(&from, &plain), BK_OK);
        while (next_sent(&s, STUN_REQUEST))
            continue;
    }
    assert_int_equal(bk_checker_pairs(ice), 17);
    assert_int_equal(bk_checker_stats(ice)->prflx_full, 500 - 16);
    const struct wish use = {.controlling = true, .use_candidate = true};
    struct bk_addr extra = nth_addr(600);
    assert_int_equal(check_from(&extra, &plain), BK_OK);
    assert_true(is_answered());
    assert_int_equal(check_from(&extra, &use), BK_ERR_FULL); /* success would be a promise */
    assert_false(is_answered());
    for (int i = 0; i < 200; i++) { /* they all fail; then new ones take their place */
        now = bk_after(now, 100000);
        bk_checker_advance(ice, now);
        while (next_sent(&s, STUN_REQUEST))
            continue;
    }
    struct bk_addr late = mini_addr("198.18.200.1:7000");
    assert_int_equal(check_from(&late, &plain), BK_OK);
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_find_pair(ice, &local, &late, &info), BK_OK);
    finish();
}

static void signalled_candidates_are_bounded(void **state) {
    (void)state;
    start(true);
    signal_peer();
    enum bk_err last = BK_OK;
    for (unsigned i = 0; i < 1000; i++) {
        struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = nth_addr(i)};
        last = bk_checker_add_remote_candidate(ice, &c, now);
        bk_checker_check(ice);
    }
    assert_int_equal(last, BK_ERR_FULL);
    assert_int_equal(bk_checker_pairs(ice), 64);
    static const char *const bad[] = {"0.0.0.0:5",      "224.0.0.1:5", "255.255.255.255:5",
                                      "198.51.100.1:0", "[::]:5",      "[ff02::1]:5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = mini_addr(bad[i])};
        assert_int_equal(bk_checker_add_remote_candidate(ice, &c, now), BK_ERR_ARGUMENT);
    }
    assert_int_equal(bk_checker_stats(ice)->candidates_refused, 6);
    finish();
}

/* A peer cannot make us send to services on our own machine. */
static void a_loopback_candidate_is_never_checked(void **state) {
    (void)state;
    start(true);
    signal_peer();
    signal_candidate("127.0.0.1:53");
    struct sent s;
    assert_false(next_sent(&s, STUN_REQUEST));
    assert_int_equal(bk_checker_pairs(ice), 0);
    finish();
}

static void answers_are_bounded_between_two_drains(void **state) {
    (void)state;
    start(false);
    signal_peer();
    const struct wish plain = {.controlling = true};
    for (unsigned i = 0; i < 100; i++) {
        enum bk_err want = i < ICE_ANSWERS_MAX ? BK_OK : BK_ERR_FULL;
        assert_int_equal(check_from(&remote, &plain), want);
    }
    assert_int_equal(bk_checker_stats(ice)->answers_full, 100 - ICE_ANSWERS_MAX);
    finish();
}

static void a_replayed_check_triggers_one_check_at_a_time(void **state) {
    (void)state;
    start(false);
    signal_peer();
    uint8_t buf[1024];
    const struct wish plain = {.controlling = true};
    size_t len = build(&plain, buf, sizeof buf);
    size_t checks = 0;
    struct sent s;
    for (unsigned i = 0; i < 1000; i++) { /* one second */
        assert_int_equal(give(&remote, buf, len), BK_OK);
        now = bk_after(now, 1000);
        while (bk_checker_next_datagram(ice, &s.d))
            checks += s.d.len > 0 && s.d.data[0] == 0 && s.d.data[1] == 1;
    }
    assert_in_range(checks, 2, 25); /* no more than one per half RTO */
    finish();
}

static void a_full_event_queue_loses_events_not_state(void **state) {
    (void)state;
    start(true);
    signal_peer();
    for (unsigned i = 0; i < 64; i++) {
        struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = nth_addr(i)};
        assert_int_equal(bk_checker_add_remote_candidate(ice, &c, now), BK_OK);
    }
    for (int i = 0; i < 200; i++) {
        now = bk_after(now, 10000);
        bk_checker_advance(ice, now);
        answer_all(0);
    }
    assert_true(bk_checker_stats(ice)->events_lost > 0);
    assert_int_equal(bk_checker_get_state(ice), BK_ICE_SELECTED);
    finish();
}

static void passwords_are_never_traced(void **state) {
    (void)state;
    start(true);
    char first[64], second[64];
    strcpy(first, bk_checker_pwd(ice));
    signal_peer();
    signal_candidate("198.51.100.1:6000");
    answer_all(0);
    assert_int_equal(bk_checker_restart(ice, NULL, NULL, now), BK_OK);
    strcpy(second, bk_checker_pwd(ice));
    assert_non_null(strstr(traced, "pair 1 -> succeeded, rtt 0.0 ms"));
    assert_null(strstr(traced, first));
    assert_null(strstr(traced, second));
    assert_null(strstr(traced, peer.pwd));
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggressive_nomination_ends_on_the_best_pair),
        cmocka_unit_test(a_plain_peer_may_move_to_a_worse_pair_later),
        cmocka_unit_test(numbered_nominations_survive_reordering),
        cmocka_unit_test(a_nomination_waits_for_our_own_check),
        cmocka_unit_test(requests_are_told_apart_before_they_are_answered),
        cmocka_unit_test(a_new_path_of_a_restart_not_told_of_is_not_answered),
        cmocka_unit_test(an_old_path_that_keeps_a_restart_from_ending_is_given_up),
        cmocka_unit_test(a_peer_that_renominates_has_time),
        cmocka_unit_test(another_agents_request_is_not_ours),
        cmocka_unit_test(signed_nonsense_gets_an_error_answer),
        cmocka_unit_test(an_answer_by_another_way_fails_the_pair),
        cmocka_unit_test(a_refusal_fails_the_pair_but_not_a_forged_one),
        cmocka_unit_test(a_late_answer_has_the_pair_checked_again),
        cmocka_unit_test(early_checks_are_bounded),
        cmocka_unit_test(peer_reflexive_candidates_are_bounded_and_renewed),
        cmocka_unit_test(signalled_candidates_are_bounded),
        cmocka_unit_test(a_loopback_candidate_is_never_checked),
        cmocka_unit_test(answers_are_bounded_between_two_drains),
        cmocka_unit_test(a_replayed_check_triggers_one_check_at_a_time),
        cmocka_unit_test(a_full_event_queue_loses_events_not_state),
        cmocka_unit_test(passwords_are_never_traced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
