/* SPDX-License-Identifier: MIT
 * TCP candidates, RFC 6544: two agents and the connections between them. Agent 0 is at 192.0.2.1,
 * agent 1 at 192.0.2.2. The network opens a connection when an active or simultaneous-open base
 * first sends, delivers after `delay_us`, and breaks connections when told to. */
#include "../test.h"

#include "base/rng.h"
#include "ice/checker.h"

#include <stdio.h>

enum { PACKETS = 256, CONNS = 64, EVENTS = 64 };

struct conn {
    bool open;
    struct bk_addr opener_base, opener_seen, accepter; /* seen: the connection's real address */
    int opener;                                        /* which agent */
};

struct packet {
    bool used, tcp;
    struct bk_time at;
    uint64_t order;
    int to;
    struct bk_addr local, remote; /* as the receiver sees it */
    size_t len;
    uint8_t data[600];
};

static struct {
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    int64_t delay_us;
    struct bk_checker *ice[2];
    struct conn conns[CONNS];
    size_t conn_count, dialled;
    struct packet packets[PACKETS];
    uint64_t order;
    struct bk_checker_event events[2][EVENTS];
    size_t event_count[2];
    size_t tcp_sent[2];
    bool refuse; /* connections cannot be opened */
    bool udp;    /* UDP passes */
    bool stormy; /* what arrives may be for nobody any more */
} w;

static struct bk_addr addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static void set_up(struct bk_checker_config config) {
    memset(&w, 0, sizeof w);
    rng_seed(&w.seed, 5);
    w.rng = rng_from_seeded(&w.seed);
    w.now = test_at_ms(1000);
    w.delay_us = 20000;
    for (int i = 0; i < 2; i++) {
        config.rng = &w.rng;
        config.controlling = i == 0;
        assert_int_equal(bk_checker_new(&config, &test_alloc, &w.ice[i]), BK_OK);
    }
}

static void tear_down(void) {
    for (int i = 0; i < 2; i++)
        bk_checker_free(w.ice[i]);
}

static void candidate(int side, enum bk_ice_transport transport, const char *text,
                      struct bk_ice_candidate *out) {
    struct bk_ice_candidate c = {.transport = transport, .addr = addr(text)};
    assert_int_equal(bk_checker_add_local_candidate(w.ice[side], &c, w.now, out), BK_OK);
}

/* Adds it here and signals it there. */
static void give(int side, enum bk_ice_transport transport, const char *text) {
    struct bk_ice_candidate c;
    candidate(side, transport, text, &c);
    assert_int_equal(bk_checker_add_remote_candidate(w.ice[1 - side], &c, w.now), BK_OK);
}

static void credentials(void) {
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_set_remote_credentials(w.ice[i], bk_checker_ufrag(w.ice[1 - i]),
                                                           bk_checker_pwd(w.ice[1 - i]), w.now),
                         BK_OK);
}

static struct conn *conn_of(int side, const struct bk_addr *local, const struct bk_addr *remote) {
    for (size_t i = 0; i < w.conn_count; i++) {
        struct conn *c = &w.conns[i];
        bool as_opener = c->opener == side && bk_addr_equal(&c->opener_base, local) &&
                         bk_addr_equal(&c->accepter, remote);
        bool as_accepter = c->opener != side && bk_addr_equal(&c->accepter, local) &&
                           bk_addr_equal(&c->opener_seen, remote);
        if (c->open && (as_opener || as_accepter))
            return c;
    }
    return NULL;
}

static struct conn *dial(int side, const struct bk_datagram *d) {
    size_t at = 0;
    while (at < w.conn_count && w.conns[at].open)
        at++;
    assert_true(at < CONNS);
    w.conn_count = at == w.conn_count ? at + 1 : w.conn_count;
    struct conn *c = &w.conns[at];
    w.dialled++;
    c->open = true;
    c->opener = side;
    c->opener_base = d->local;
    c->opener_seen = d->local;
    if (d->local.port == 9)
        c->opener_seen.port = (uint16_t)(40000 + w.dialled);
    c->accepter = d->remote;
    return c;
}

static void post(int to, const struct bk_addr *local, const struct bk_addr *remote, bool tcp,
                 const struct bk_datagram *d) {
    for (size_t i = 0; i < PACKETS; i++) {
        struct packet *p = &w.packets[i];
        if (p->used)
            continue;
        p->used = true;
        p->tcp = tcp;
        p->at = bk_after(w.now, w.delay_us);
        p->order = w.order++;
        p->to = to;
        p->local = *local;
        p->remote = *remote;
        p->len = d->len;
        memcpy(p->data, d->data, d->len);
        return;
    }
    fail_msg("the network is full");
}

static void send(int side, const struct bk_datagram *d) {
    if (d->protocol != BK_TCP) {
        if (w.udp)
            post(1 - side, &d->remote, &d->local, false, d);
        return;
    }
    w.tcp_sent[side]++;
    struct conn *c = conn_of(side, &d->local, &d->remote);
    if (c == NULL && w.refuse) {
        bk_checker_broken(w.ice[side], &d->local, &d->remote, w.now);
        return;
    }
    if (c == NULL)
        c = dial(side, d);
    if (c->opener == side)
        post(1 - side, &c->accepter, &c->opener_seen, true, d);
    else
        post(1 - side, &c->opener_base, &c->accepter, true, d);
}

static void drain(void) {
    for (int i = 0; i < 2; i++) {
        struct bk_datagram d;
        struct bk_checker_event e;
        while (bk_checker_next_datagram(w.ice[i], &d)) {
            uint8_t copy[600];
            memcpy(copy, d.data, d.len);
            d.data = copy;
            send(i, &d);
        }
        while (bk_checker_next_event(w.ice[i], &e)) {
            assert_true(w.event_count[i] < EVENTS);
            w.events[i][w.event_count[i]++] = e;
        }
        bk_checker_check(w.ice[i]);
    }
}

static struct packet *first_packet(void) {
    struct packet *first = NULL;
    for (size_t i = 0; i < PACKETS; i++) {
        struct packet *p = &w.packets[i];
        if (p->used && (first == NULL || p->at.us < first->at.us ||
                        (p->at.us == first->at.us && p->order < first->order)))
            first = p;
    }
    return first;
}

static void run(int64_t ms) {
    struct bk_time end = bk_after(w.now, ms * 1000);
    drain();
    for (int steps = 0;; steps++) {
        assert_true(steps < 100000);
        struct packet *p = first_packet();
        struct bk_time next = p == NULL ? BK_NEVER : p->at;
        for (int i = 0; i < 2; i++)
            next = bk_earlier(next, bk_checker_deadline(w.ice[i]));
        if (bk_is_never(next) || next.us > end.us)
            break;
        w.now = bk_later(w.now, next);
        if (p != NULL && p->at.us <= w.now.us) {
            struct bk_datagram d = {.local = p->local,
                                    .remote = p->remote,
                                    .data = p->data,
                                    .len = p->len,
                                    .protocol = p->tcp ? BK_TCP : BK_UDP};
            p->used = false;
            enum bk_err err = bk_checker_recv(w.ice[p->to], &d, w.now);
            assert_true(err == BK_OK || w.stormy);
        }
        for (int i = 0; i < 2; i++)
            bk_checker_advance(w.ice[i], w.now);
        drain();
    }
    w.now = end;
}

static struct bk_ice_pair_info selected(int side) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_selected(w.ice[side], &info), BK_OK);
    return info;
}

static size_t told(int side, enum bk_checker_event_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < w.event_count[side]; i++)
        n += w.events[side][i].kind == kind;
    return n;
}

/* RFC 6544 section 4.2: the direction's three bits, and UDP first. */
static void preferences_follow_rfc_6544_section_4_2(void **state) {
    (void)state;
    static const struct {
        enum bk_ice_kind kind;
        enum bk_ice_transport transport;
        unsigned direction;
    } cases[] = {{BK_ICE_HOST, BK_ICE_TCP_ACTIVE, 6},  {BK_ICE_HOST, BK_ICE_TCP_PASSIVE, 4},
                 {BK_ICE_HOST, BK_ICE_TCP_SO, 2},      {BK_ICE_RELAYED, BK_ICE_TCP_ACTIVE, 6},
                 {BK_ICE_SRFLX, BK_ICE_TCP_SO, 6},     {BK_ICE_SRFLX, BK_ICE_TCP_ACTIVE, 4},
                 {BK_ICE_PRFLX, BK_ICE_TCP_PASSIVE, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t p = bk_checker_tcp_preference(cases[i].kind, cases[i].transport, 65535);
        assert_int_equal(p >> 13, cases[i].direction);
        assert_int_equal(p & 0x1fff, 0x1fff);
    }
    set_up(bk_checker_config_default);
    struct bk_ice_candidate udp, active, passive;
    candidate(0, BK_ICE_UDP, "192.0.2.1:5000", &udp);
    candidate(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9", &active);
    candidate(0, BK_ICE_TCP_PASSIVE, "192.0.2.1:5000", &passive); /* the same port: no clash */
    assert_true(udp.priority > active.priority && active.priority > passive.priority);
    assert_int_equal(active.priority >> 8 & 0xe000, 6 << 13);
    assert_string_not_equal(active.foundation, passive.foundation);
    tear_down();
}

static void active_meets_passive(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    assert_int_equal(bk_checker_pairs(w.ice[1]), 0); /* section 6.2: passive ones wait */
    run(1000);
    assert_int_equal(w.dialled, 1);
    struct bk_ice_pair_info a = selected(0), b = selected(1);
    assert_int_equal(a.local.transport, BK_ICE_TCP_ACTIVE);
    assert_int_equal(a.local.base.port, 9);
    assert_int_equal(a.local.addr.port, 40001); /* what the peer saw: peer-reflexive */
    assert_int_equal(b.remote.transport, BK_ICE_TCP_ACTIVE);
    assert_int_equal(b.remote.kind, BK_ICE_PRFLX);
    assert_int_equal(b.remote.addr.port, 40001);
    assert_int_equal(told(1, BK_CHECKER_REMOTE_PRFLX), 1);
    assert_true(bk_checker_stats(w.ice[0])->retransmissions == 0);
    tear_down();
}

static void a_port_of_zero_is_nine(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    struct bk_ice_candidate c = {.transport = BK_ICE_TCP_ACTIVE, .addr = addr("192.0.2.1:0")}, out;
    assert_int_equal(bk_checker_add_local_candidate(w.ice[0], &c, w.now, &out), BK_OK);
    assert_int_equal(out.addr.port, 9);
    assert_int_equal(out.base.port, 9);
    c.addr = addr("192.0.2.2:0");
    assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &c, w.now), BK_OK);
    c.transport = BK_ICE_TCP_PASSIVE;
    assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &c, w.now), BK_ERR_ARGUMENT);
    tear_down();
}

static void only_fitting_transports_are_paired(void **state) {
    (void)state;
    static const enum bk_ice_transport all[] = {BK_ICE_UDP, BK_ICE_TCP_ACTIVE, BK_ICE_TCP_PASSIVE,
                                                BK_ICE_TCP_SO};
    static const bool want[4][4] = {
        {true, false, false, false},  /* UDP */
        {false, false, true, false},  /* active */
        {false, false, false, false}, /* passive: section 6.2 prunes */
        {false, false, false, true},  /* simultaneous open */
    };
    for (size_t l = 0; l < 4; l++) {
        for (size_t r = 0; r < 4; r++) {
            set_up(bk_checker_config_default);
            struct bk_ice_candidate mine = {.transport = all[l], .addr = addr("192.0.2.1:5000")};
            struct bk_ice_candidate theirs = {.transport = all[r], .addr = addr("192.0.2.2:6000")};
            (void)!bk_checker_add_local_candidate(w.ice[0], &mine, w.now, NULL);
            (void)!bk_checker_add_remote_candidate(w.ice[0], &theirs, w.now);
            assert_int_equal(bk_checker_pairs(w.ice[0]), want[l][r]);
            tear_down();
        }
    }
}

static void simultaneous_open_meets_its_like(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    give(0, BK_ICE_TCP_SO, "192.0.2.1:5000");
    give(1, BK_ICE_TCP_SO, "192.0.2.2:6000");
    credentials();
    run(1000);
    assert_int_equal(selected(0).local.addr.port, 5000);
    assert_int_equal(selected(1).local.addr.port, 6000);
    tear_down();
}

static void udp_is_preferred_and_tcp_is_kept(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    w.udp = true;
    credentials();
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(0, BK_ICE_UDP, "192.0.2.1:5000");
    give(1, BK_ICE_UDP, "192.0.2.2:6000");
    run(2000);
    assert_int_equal(selected(0).local.transport, BK_ICE_UDP);
    assert_int_equal(selected(1).local.transport, BK_ICE_UDP);
    w.udp = false;
    run(200);
    (void)bk_checker_probe(w.ice[0], w.now);
    (void)bk_checker_probe(w.ice[1], w.now);
    run(3000);
    assert_int_equal(selected(0).local.transport, BK_ICE_TCP_ACTIVE);
    assert_int_equal(selected(1).local.transport, BK_ICE_TCP_PASSIVE);
    tear_down();
}

/* RFC 8489 section 6.2.2: one transmission, Ti to wait; and the pairs of its foundation do not wait
 * with it. */
static void a_check_is_sent_once_and_holds_nobody_back(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    struct bk_ice_candidate mine = {.transport = BK_ICE_TCP_ACTIVE, .addr = addr("192.0.2.1:9")};
    assert_int_equal(bk_checker_add_local_candidate(w.ice[0], &mine, w.now, NULL), BK_OK);
    for (uint16_t i = 0; i < 2; i++) {
        struct bk_ice_candidate c = {
            .transport = BK_ICE_TCP_PASSIVE, .addr = addr("198.51.100.1:6000"), .foundation = "x"};
        c.addr.port = (uint16_t)(c.addr.port + i);
        assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &c, w.now), BK_OK);
    }
    bk_checker_end_of_local_candidates(w.ice[0], w.now);
    bk_checker_end_of_remote_candidates(w.ice[0], w.now);
    struct bk_datagram d;
    size_t sent = 0;
    for (int ms = 0; ms < 39000; ms += 100) {
        while (bk_checker_next_datagram(w.ice[0], &d))
            sent++;
        if (ms == 300)
            assert_int_equal(sent, 1); /* the second is frozen, */
        if (ms == 1500)
            assert_int_equal(sent, 2); /* but not for 39.5 s */
        assert_int_equal(bk_checker_get_state(w.ice[0]), BK_ICE_CHECKING);
        w.now = bk_after(w.now, 100000);
        bk_checker_advance(w.ice[0], w.now);
    }
    assert_int_equal(sent, 2);
    w.now = bk_after(w.now, 3000000);
    bk_checker_advance(w.ice[0], w.now);
    assert_int_equal(bk_checker_get_state(w.ice[0]), BK_ICE_FAILED);
    tear_down();
}

static void a_refused_connection_fails_its_pair_at_once_and_is_tried_again(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    w.refuse = true;
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    run(10);
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_pair_at(w.ice[0], 0, &info), BK_OK);
    assert_int_equal(info.state, BK_ICE_PAIR_FAILED);
    assert_int_equal(info.last_failure, BK_ICE_FAILURE_BROKEN);
    w.refuse = false;
    run(20000);
    assert_int_equal(selected(0).local.transport, BK_ICE_TCP_ACTIVE);
    tear_down();
}

static void a_broken_connection_kills_its_pair_and_the_active_side_reconnects(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    run(1000);
    w.conns[0].open = false;
    memset(w.packets, 0, sizeof w.packets);
    bk_checker_broken(w.ice[0], &w.conns[0].opener_base, &w.conns[0].accepter, w.now);
    bk_checker_broken(w.ice[1], &w.conns[0].accepter, &w.conns[0].opener_seen, w.now);
    drain();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(told(i, BK_CHECKER_PAIR_DIED), 1);
        assert_int_not_equal(bk_checker_get_state(w.ice[i]), BK_ICE_SELECTED);
    }
    assert_int_equal(bk_checker_pairs(w.ice[1]), 0); /* nobody can open it again from here */
    run(5000);
    assert_int_equal(w.dialled, 2);
    assert_int_equal(selected(1).remote.addr.port, 40002);
    tear_down();
}

static void messages_of_the_other_protocol_do_not_count(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    struct bk_datagram d;
    assert_true(bk_checker_next_datagram(w.ice[0], &d));
    assert_int_equal(d.protocol, BK_TCP);
    uint8_t copy[600];
    memcpy(copy, d.data, d.len);
    struct bk_datagram in = {.local = d.remote, .remote = addr("192.0.2.1:40001")};
    in.data = copy;
    in.len = d.len;
    in.protocol = BK_UDP;
    assert_int_equal(bk_checker_recv(w.ice[1], &in, w.now), BK_ERR_NOT_FOUND);
    in.protocol = BK_TCP;
    assert_int_equal(bk_checker_recv(w.ice[1], &in, w.now), BK_OK);
    assert_true(bk_checker_next_datagram(w.ice[1], &d)); /* the answer, on the connection */
    assert_int_equal(d.protocol, BK_TCP);
    assert_int_equal(d.remote.port, 40001);
    tear_down();
}

/* Who listens on all addresses reports the wildcard one, over TCP as over UDP. */
static void a_check_that_came_to_the_wildcard_address_is_answered_from_the_base(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    struct bk_datagram d;
    assert_true(bk_checker_next_datagram(w.ice[0], &d));
    uint8_t copy[600];
    memcpy(copy, d.data, d.len);
    struct bk_datagram in = {.local = addr("0.0.0.0:6000"),
                             .remote = addr("192.0.2.1:40001"),
                             .data = copy,
                             .len = d.len,
                             .protocol = BK_TCP};
    assert_int_equal(bk_checker_recv(w.ice[1], &in, w.now), BK_OK);
    assert_true(bk_checker_next_datagram(w.ice[1], &d));
    struct bk_addr base = addr("192.0.2.2:6000");
    assert_true(bk_addr_equal(&d.local, &base));
    tear_down();
}

static void active_bases_may_be_shared_by_components(void **state) {
    (void)state;
    struct bk_checker_config config = bk_checker_config_default;
    config.components = 2;
    set_up(config);
    credentials();
    for (uint16_t c = 1; c <= 2; c++) {
        struct bk_ice_candidate a = {
            .transport = BK_ICE_TCP_ACTIVE, .addr = addr("192.0.2.1:9"), .component = c};
        struct bk_ice_candidate p = {
            .transport = BK_ICE_TCP_PASSIVE, .addr = addr("192.0.2.2:6000"), .component = c};
        p.addr.port = (uint16_t)(6000 + c);
        struct bk_ice_candidate out;
        assert_int_equal(bk_checker_add_local_candidate(w.ice[0], &a, w.now, &out), BK_OK);
        assert_int_equal(bk_checker_add_remote_candidate(w.ice[1], &out, w.now), BK_OK);
        assert_int_equal(bk_checker_add_local_candidate(w.ice[1], &p, w.now, &out), BK_OK);
        assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &out, w.now), BK_OK);
    }
    run(2000);
    for (int i = 0; i < 2; i++) {
        for (uint16_t c = 1; c <= 2; c++) {
            struct bk_ice_pair_info info = {.size = sizeof info};
            assert_int_equal(bk_checker_selected_of(w.ice[i], 0, c, &info), BK_OK);
            assert_int_equal((i == 0 ? info.remote : info.local).addr.port, 6000 + c);
        }
    }
    tear_down();
}

static void one_of_two_bases_with_the_same_address_is_removed(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    struct bk_ice_candidate out;
    candidate(0, BK_ICE_UDP, "192.0.2.1:5000", &out);
    candidate(0, BK_ICE_TCP_PASSIVE, "192.0.2.1:5000", &out);
    struct bk_addr base = addr("192.0.2.1:5000");
    assert_int_equal(bk_checker_remove_base(w.ice[0], &base, BK_TCP, w.now), BK_OK);
    assert_int_equal(bk_checker_remove_base(w.ice[0], &base, BK_TCP, w.now), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_checker_remove_local(w.ice[0], &base, w.now), BK_OK);
    tear_down();
}

/* RFC 8445 section 7.3: a check on a connection may be there before the peer's credentials. */
static void an_early_check_on_a_connection_is_kept(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    struct bk_checker *active = w.ice[0], *passive = w.ice[1];
    assert_int_equal(bk_checker_set_remote_credentials(active, bk_checker_ufrag(passive),
                                                       bk_checker_pwd(passive), w.now),
                     BK_OK);
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    run(500);
    assert_int_equal(bk_checker_pairs(passive), 0);
    assert_int_equal(bk_checker_set_remote_credentials(passive, bk_checker_ufrag(active),
                                                       bk_checker_pwd(active), w.now),
                     BK_OK);
    run(200); /* no repetition of the check was needed */
    assert_int_equal(selected(1).local.transport, BK_ICE_TCP_PASSIVE);
    assert_int_equal(w.dialled, 1);
    tear_down();
}

/* RFC 8445 section 9: the new generation is checked over the connection that is there. */
static void a_restart_needs_no_new_connection(void **state) {
    (void)state;
    set_up(bk_checker_config_default);
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    run(1000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_restart(w.ice[i], NULL, NULL, w.now), BK_OK);
    assert_true(selected(0).old && selected(1).old);
    credentials();
    struct bk_ice_candidate c = {.transport = BK_ICE_TCP_PASSIVE, .addr = addr("192.0.2.2:6000")};
    assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &c, w.now), BK_OK);
    run(1000);
    assert_false(selected(0).old || selected(1).old);
    assert_int_equal(w.dialled, 1);
    assert_int_equal(bk_checker_pairs(w.ice[1]), 1);
    tear_down();
}

/* The limit takes a protocol's last pair as little as a kind's. */
static void floods_of_udp_leave_the_tcp_pair(void **state) {
    (void)state;
    struct bk_checker_config config = bk_checker_config_default;
    config.pairs_max = 10;
    set_up(config);
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(0, BK_ICE_UDP, "192.0.2.1:5000");
    struct bk_ice_candidate c = {.transport = BK_ICE_TCP_PASSIVE,
                                 .addr = addr("198.51.100.1:6000"),
                                 .priority = 1}; /* the least there is */
    assert_int_equal(bk_checker_add_remote_candidate(w.ice[0], &c, w.now), BK_OK);
    for (uint16_t i = 0; i < 60; i++) {
        c.transport = BK_ICE_UDP;
        c.priority = UINT32_MAX - i;
        c.addr.port = (uint16_t)(7000 + i);
        (void)!bk_checker_add_remote_candidate(w.ice[0], &c, w.now);
    }
    struct bk_ice_pair_info info = {.size = sizeof info};
    bool found = false;
    for (size_t i = 0; bk_checker_pair_at(w.ice[0], i, &info) == BK_OK; i++)
        found |= info.local.transport == BK_ICE_TCP_ACTIVE;
    assert_true(found);
    assert_int_equal(bk_checker_pairs(w.ice[0]), 10);
    tear_down();
}

/* Both ends learn of it, one a little later; what was on its way is lost. */
static void break_connection(struct conn *c) {
    if (!c->open)
        return;
    c->open = false;
    for (size_t i = 0; i < PACKETS; i++) {
        struct packet *p = &w.packets[i];
        p->used = p->used && !(p->tcp && (bk_addr_equal(&p->local, &c->accepter) ||
                                          bk_addr_equal(&p->remote, &c->accepter)));
    }
    struct conn gone = *c;
    bk_checker_broken(w.ice[gone.opener], &gone.opener_base, &gone.accepter, w.now);
    run(rng_below(&w.rng, 300));
    bk_checker_broken(w.ice[1 - gone.opener], &gone.accepter, &gone.opener_seen, w.now);
}

/* After any storm: one pair, the same on both sides, over UDP if there is any. */
static void storm(uint64_t seed, bool with_udp) {
    struct bk_checker_config config = bk_checker_config_default;
    config.doubt_us = (seed & 1) != 0 ? 1000000 : 0;
    set_up(config);
    rng_seed(&w.seed, seed);
    w.stormy = true;
    credentials();
    give(0, BK_ICE_TCP_ACTIVE, "192.0.2.1:9");
    give(1, BK_ICE_TCP_PASSIVE, "192.0.2.2:6000");
    give(1, BK_ICE_TCP_ACTIVE, "192.0.2.2:9");
    give(0, BK_ICE_TCP_PASSIVE, "192.0.2.1:6000");
    give(0, BK_ICE_UDP, "192.0.2.1:5000");
    give(1, BK_ICE_UDP, "192.0.2.2:5000");
    for (int step = 0; step < 30; step++) {
        w.refuse = rng_below(&w.rng, 3) == 0;
        w.udp = rng_below(&w.rng, 3) == 0;
        if (rng_below(&w.rng, 3) == 0)
            bk_checker_settle(w.ice[rng_below(&w.rng, 2)], w.now);
        if (rng_below(&w.rng, 3) == 0)
            (void)bk_checker_probe(w.ice[rng_below(&w.rng, 2)], w.now);
        if (w.conn_count > 0 && rng_below(&w.rng, 2) == 0)
            break_connection(&w.conns[rng_below(&w.rng, (uint32_t)w.conn_count)]);
        run(rng_below(&w.rng, 4) == 0 ? 30000 : rng_below(&w.rng, 1500));
        w.event_count[0] = w.event_count[1] = 0;
    }
    w.refuse = false;
    w.udp = with_udp;
    for (int i = 0; i < 8; i++) {
        run(30000);
        w.event_count[0] = w.event_count[1] = 0;
    }
    struct bk_ice_pair_info a = selected(0), b = selected(1);
    assert_true(bk_addr_equal(&a.remote.addr, &b.local.addr));
    assert_true(bk_addr_equal(&b.remote.addr, &a.local.addr));
    assert_int_equal(a.local.transport == BK_ICE_UDP, with_udp);
    tear_down();
}

static void calm_after_a_storm_means_one_pair(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        storm(seed, false);
        storm(seed, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences_follow_rfc_6544_section_4_2),
        cmocka_unit_test(active_meets_passive),
        cmocka_unit_test(a_port_of_zero_is_nine),
        cmocka_unit_test(only_fitting_transports_are_paired),
        cmocka_unit_test(simultaneous_open_meets_its_like),
        cmocka_unit_test(udp_is_preferred_and_tcp_is_kept),
        cmocka_unit_test(a_check_is_sent_once_and_holds_nobody_back),
        cmocka_unit_test(a_refused_connection_fails_its_pair_at_once_and_is_tried_again),
        cmocka_unit_test(a_broken_connection_kills_its_pair_and_the_active_side_reconnects),
        cmocka_unit_test(messages_of_the_other_protocol_do_not_count),
        cmocka_unit_test(a_check_that_came_to_the_wildcard_address_is_answered_from_the_base),
        cmocka_unit_test(active_bases_may_be_shared_by_components),
        cmocka_unit_test(one_of_two_bases_with_the_same_address_is_removed),
        cmocka_unit_test(an_early_check_on_a_connection_is_kept),
        cmocka_unit_test(a_restart_needs_no_new_connection),
        cmocka_unit_test(floods_of_udp_leave_the_tcp_pair),
        cmocka_unit_test(calm_after_a_storm_means_one_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
