/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "run/demux.h"
#include "wire/stun.h"

static struct demux demux;
static uint32_t found[DEMUX_OFFERS];

static int set_up(void **state) {
    static struct rng_seeded seed;
    (void)state;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    demux_init(&demux, &rng, &test_alloc);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    demux_fini(&demux);
    return 0;
}

static void join(uint32_t agent, const char *ufrag) {
    assert_int_equal(demux_join(&demux, agent), BK_OK);
    assert_int_equal(demux_name(&demux, agent, ufrag, strlen(ufrag)), BK_OK);
}

static struct bk_datagram between(uint16_t local, uint16_t remote, const void *data, size_t len) {
    return (struct bk_datagram){.local = bk_addr(bk_ipv4(127, 0, 0, 1), local),
                                .remote = bk_addr(bk_ipv4(127, 0, 0, 1), remote),
                                .data = data,
                                .len = len};
}

/* The one agent a datagram is offered to; DEMUX_NOBODY: none. */
static int one(const struct bk_datagram *in) {
    size_t n = demux_find(&demux, in, found);
    assert_true(n <= 1);
    return n == 0 ? DEMUX_NOBODY : (int)found[0];
}

/* A message from one port to another; `user` NULL: no USERNAME. */
static struct bk_datagram stun(uint8_t *buf, enum stun_class cls, uint8_t id, const char *user) {
    uint8_t txid[STUN_TXID_LEN] = {id};
    size_t len;
    struct stun_builder b = stun_start(buf, STUN_MESSAGE_MAX, cls, STUN_BINDING, txid);
    if (user != NULL)
        stun_put_bytes(&b, STUN_USERNAME, user, strlen(user));
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    return between(1000, 2000, buf, len);
}

static void a_request_finds_its_agent_by_name(void **state) {
    uint8_t buf[STUN_MESSAGE_MAX];
    (void)state;
    join(0, "aaaa");
    join(1, "bbbb");
    struct bk_datagram in = stun(buf, STUN_REQUEST, 1, "bbbb:zzzz");
    assert_int_equal(one(&in), 1);
    in = stun(buf, STUN_REQUEST, 1, "aaaa:zzzz");
    assert_int_equal(one(&in), 0);
    in = stun(buf, STUN_REQUEST, 1, "aaa:zzzz");
    assert_int_equal(one(&in), DEMUX_NOBODY);
    in = stun(buf, STUN_REQUEST, 1, "aaaa");
    assert_int_equal(one(&in), DEMUX_NOBODY);
    in = stun(buf, STUN_REQUEST, 1, NULL);
    assert_int_equal(one(&in), DEMUX_NOBODY);
    in = stun(buf, STUN_REQUEST, 1, "aaaa:zzzz");
    in.len -= 4; /* cut off */
    assert_int_equal(one(&in), DEMUX_NOBODY);
}

static void former_names_are_heard_until_there_are_too_many(void **state) {
    uint8_t buf[STUN_MESSAGE_MAX];
    static const char *const names[] = {"n0", "n1", "n2", "n3", "n4"};
    (void)state;
    join(3, names[0]);
    assert_int_equal(demux_name(&demux, 3, names[0], 2), BK_OK); /* the same again: nothing new */
    for (int i = 1; i < 5; i++)
        assert_int_equal(demux_name(&demux, 3, names[i], 2), BK_OK);
    for (int i = 0; i < 5; i++) {
        char user[] = "n0:peer";
        user[1] = (char)('0' + i);
        struct bk_datagram in = stun(buf, STUN_REQUEST, 1, user);
        assert_int_equal(one(&in), i == 0 ? DEMUX_NOBODY : 3);
    }
    demux_leave(&demux, 3);
    struct bk_datagram in = stun(buf, STUN_REQUEST, 1, "n4:peer");
    assert_int_equal(one(&in), DEMUX_NOBODY);
}

static void agents_of_one_name_are_all_offered_it(void **state) {
    uint8_t buf[STUN_MESSAGE_MAX];
    (void)state;
    for (uint32_t i = 0; i < 20; i++)
        join(i, "same");
    struct bk_datagram in = stun(buf, STUN_REQUEST, 1, "same:peer");
    assert_int_equal(demux_find(&demux, &in, found), DEMUX_OFFERS);
    for (uint32_t i = 0; i < 19; i++)
        demux_leave(&demux, i);
    assert_int_equal(one(&in), 19);
}

/* RFC 8489 section 6.3.3: thousands of agents, one STUN server, one port. */
static void a_response_finds_who_asked(void **state) {
    uint8_t buf[STUN_MESSAGE_MAX];
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        join(i, "name");
        struct bk_datagram out = stun(buf, STUN_REQUEST, (uint8_t)i, NULL);
        demux_sent(&demux, i, &out);
        demux_sent(&demux, i, &out); /* a retransmission */
    }
    for (uint32_t i = 0; i < 10; i++) {
        struct bk_datagram in = stun(buf, i % 2 == 0 ? STUN_SUCCESS : STUN_ERROR, (uint8_t)i, NULL);
        assert_int_equal(one(&in), (int)i);
    }
    /* Not ours: who sent there last may look at it. */
    struct bk_datagram in = stun(buf, STUN_SUCCESS, 200, NULL);
    assert_int_equal(one(&in), 9);
    in.remote.port++;
    assert_int_equal(one(&in), DEMUX_NOBODY);
}

static void the_ring_forgets_the_oldest_request(void **state) {
    uint8_t buf[STUN_MESSAGE_MAX];
    (void)state;
    join(0, "a");
    join(1, "b");
    struct bk_datagram first = stun(buf, STUN_REQUEST, 250, NULL);
    demux_sent(&demux, 0, &first);
    for (uint32_t i = 0; i < 5000; i++) {
        struct bk_datagram out = stun(buf, STUN_REQUEST, 0, NULL);
        memcpy(buf + 8, &i, sizeof i);
        demux_sent(&demux, 1, &out);
    }
    struct bk_datagram in = stun(buf, STUN_SUCCESS, 250, NULL);
    assert_int_equal(one(&in), 1); /* by its addresses: agent 1 sent there last */
    assert_true(demux.txns.count <= demux.ring_len);
}

static void data_go_to_who_sent_there(void **state) {
    (void)state;
    join(0, "a");
    join(1, "b");
    struct bk_datagram d = between(1000, 2000, "data", 4), e = between(1000, 2001, "data", 4);
    assert_int_equal(one(&d), DEMUX_NOBODY);
    demux_sent(&demux, 0, &d);
    demux_sent(&demux, 1, &e);
    assert_int_equal(one(&d), 0);
    assert_int_equal(one(&e), 1);
    demux_sent(&demux, 1, &d); /* both have it now: the last sender gets it */
    assert_int_equal(one(&d), 1);
    demux_sent(&demux, 0, &d);
    assert_int_equal(one(&d), 0);
    demux_leave(&demux, 0);
    assert_int_equal(one(&d), DEMUX_NOBODY);
    demux_sent(&demux, 1, &d);
    assert_int_equal(one(&d), 1);
    demux_leave(&demux, 1);
    assert_int_equal(one(&d), DEMUX_NOBODY);
    assert_int_equal(one(&e), DEMUX_NOBODY);
    assert_int_equal(demux.route_map.count, 0);
}

static void routes_of_an_agent_are_bounded_and_those_in_use_stay(void **state) {
    struct bk_datagram used = between(1000, 1, "data", 4);
    (void)state;
    join(0, "a");
    demux_sent(&demux, 0, &used);
    for (uint32_t i = 2; i < 3 * DEMUX_ROUTES; i++) {
        struct bk_datagram d = between(1000, (uint16_t)i, "data", 4);
        demux_sent(&demux, 0, &d);
        assert_int_equal(one(&used), 0);
        assert_int_equal(demux.agents[0].route_count,
                         i < DEMUX_ROUTES ? i : (uint32_t)DEMUX_ROUTES);
    }
    assert_int_equal(demux.route_map.count, DEMUX_ROUTES);
    assert_true(demux.route_cap <= 2 * DEMUX_ROUTES);
}

enum { AGENTS = 64, STEPS = 30000 };

/* Whatever comes and goes: a datagram finds the last live agent that sent on its addresses. */
static void the_last_sender_is_found_after_any_sequence(void **state) {
    static bool live[AGENTS];
    static int owner[40];
    struct rng_seeded seed;
    (void)state;
    rng_seed(&seed, 5);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (size_t i = 0; i < 40; i++)
        owner[i] = DEMUX_NOBODY;
    for (int step = 0; step < STEPS; step++) {
        uint32_t agent = rng_below(&rng, AGENTS), to = rng_below(&rng, 40);
        struct bk_datagram d = between(1000, (uint16_t)(to + 1), "data", 4);
        if (!live[agent]) {
            join(agent, "x");
            live[agent] = true;
        } else if (rng_below(&rng, 20) == 0) {
            demux_leave(&demux, agent);
            live[agent] = false;
            for (size_t i = 0; i < 40; i++)
                owner[i] = owner[i] == (int)agent ? DEMUX_NOBODY : owner[i];
        } else {
            demux_sent(&demux, agent, &d);
            owner[to] = (int)agent;
        }
        assert_int_equal(one(&d), owner[to]);
    }
    for (uint32_t i = 0; i < AGENTS; i++)
        if (live[i])
            demux_leave(&demux, i);
    assert_int_equal(demux.route_map.count, 0);
    assert_int_equal(demux.names.count, 0);
    assert_int_equal(demux.joined, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_request_finds_its_agent_by_name),
        TEST(former_names_are_heard_until_there_are_too_many),
        TEST(agents_of_one_name_are_all_offered_it),
        TEST(a_response_finds_who_asked),
        TEST(the_ring_forgets_the_oldest_request),
        TEST(data_go_to_who_sent_there),
        TEST(routes_of_an_agent_are_bounded_and_those_in_use_stay),
        TEST(the_last_sender_is_found_after_any_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
