/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <base/rng.h>
#include <punch/note.h>
#include <punch/punch.h>

/* One punch and what its owner sees of it. */
struct owner {
    struct punch *punch;
    struct rng_seeded seed;
    struct bk_time now;
    bool open[PUNCH_SOCKETS_MAX], no_sockets;
    uint32_t checks, opened, closed, notes;
    struct bk_addr last; /* checked */
    uint8_t last_ttl;
    uint16_t seen;          /* by the STUN server */
    struct punch_note note; /* its last one */
};

static const struct bk_ip peer_ip = {BK_IPV4, {203, 0, 113, 2}, 0};

static struct bk_nat_traits nat(enum bk_nat_dep mapping, enum bk_nat_dep filtering,
                                enum bk_nat_ports ports) {
    return (struct bk_nat_traits){
        .translated = BK_YES,
        .udp_blocked = BK_NO,
        .mapping = mapping,
        .filtering = filtering,
        .ports = ports,
        .step = 1,
        .paired = BK_YES,
        .inbound_first = BK_NO,
        .port_mapping = BK_NO,
        .ipv6 = BK_NO,
    };
}

#define CONE nat(BK_NAT_EI, BK_NAT_APD, BK_NAT_PORTS_PRESERVE)
#define SEQ nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_SEQUENTIAL)
#define HARD nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_RANDOM)

static void obey(struct owner *o, const struct punch_action *a) {
    struct bk_addr seen = bk_addr(bk_ipv4(203, 0, 113, 1), o->seen);
    switch (a->kind) {
    case PUNCH_OPEN:
        assert_false(o->open[a->socket]);
        o->open[a->socket] = !o->no_sockets;
        o->opened++;
        punch_bound(o->punch, a->socket, (uint16_t)(40000 + a->socket));
        punch_opened(o->punch, a->socket, o->no_sockets ? BK_ERR_FULL : BK_OK, o->now);
        break;
    case PUNCH_CLOSE:
        assert_true(o->open[a->socket]);
        o->open[a->socket] = false;
        o->closed++;
        break;
    case PUNCH_ASK:
        punch_mapped(o->punch, a->socket, &seen, o->now);
        break;
    case PUNCH_CHECK:
        assert_true(a->socket == PUNCH_SHARED || o->open[a->socket]);
        assert_true(bk_ip_equal(&a->remote.ip, &peer_ip));
        o->last = a->remote;
        o->last_ttl = a->ttl;
        o->checks++;
        break;
    }
}

static void drain(struct owner *o) {
    struct punch_action a;
    while (punch_next_action(o->punch, &a))
        obey(o, &a);
    if (punch_take_note(o->punch, &o->note)) {
        uint8_t bytes[PUNCH_NOTE_LEN];
        struct punch_note same;
        punch_note_put(&o->note, bytes);
        assert_int_equal(punch_note_get(&same, bytes, sizeof bytes), BK_OK);
        o->notes++;
    }
}

static void run(struct owner *o, int64_t ms) {
    struct bk_time end = bk_after(o->now, ms * 1000);
    drain(o);
    while (!bk_before(end, punch_deadline(o->punch))) {
        o->now = bk_later(o->now, punch_deadline(o->punch));
        punch_advance(o->punch, o->now);
        drain(o);
    }
    o->now = end;
    punch_advance(o->punch, o->now);
    drain(o);
}

static void setup(struct owner *o, bool leader, struct bk_nat_traits mine,
                  struct bk_nat_traits theirs) {
    struct punch_config config = punch_config_default;
    *o = (struct owner){.now = test_at_ms(1000), .seen = 50000};
    rng_seed(&o->seed, 7);
    config.leader = leader;
    config.rng = rng_from_seeded(&o->seed);
    assert_int_equal(punch_new(&config, &test_alloc, &o->punch), BK_OK);
    struct bk_addr peer = bk_addr(peer_ip, 60000), mapped = bk_addr(bk_ipv4(203, 0, 113, 1), 50001);
    punch_set_mapped(o->punch, &mapped);
    punch_set_peer(o->punch, &peer, 1);
    punch_set_rtt(o->punch, 80000, 80000);
    punch_set_traits(o->punch, &mine, &theirs, o->now);
}

static uint64_t refused(const struct owner *o) {
    return punch_stats(o->punch)->refused;
}

static void hear(struct owner *o, struct punch_note n) {
    punch_note_recv(o->punch, &n, o->now);
    drain(o);
}

/* The follower is the hard one and opens 256 mappings. */
static const struct punch_note birthday = {
    .step = 1,
    .attempt = 1,
    .method = BK_ORACLE_BIRTHDAY_ONE,
    .reached = 1,
    .sockets = {1, 256},
    .ports = {1024, 1},
    .aim = {{BK_IPV4, {203, 0, 113, 2}, 0}, 60000},
};

static struct punch_note with_step(uint8_t step) {
    struct punch_note n = birthday;
    n.step = step;
    return n;
}

static void test_a_follower_does_what_the_leader_says(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, HARD, CONE);
    punch_start(o.punch, 1, o.now);
    run(&o, 1000);
    assert_true(bk_is_never(punch_deadline(o.punch)));
    assert_int_equal(o.checks + o.opened + o.notes, 0);
    hear(&o, birthday);
    run(&o, 10000);
    assert_int_equal(refused(&o), 0);
    assert_int_equal(o.opened, 256);
    assert_int_equal(o.checks, 512); /* and once more */
    assert_int_equal(o.last.port, 60000);
    assert_true(o.note.spent && o.note.step == 1 && o.note.aim.port == 0);
    run(&o, 60000); /* the leader says nothing any more */
    assert_int_equal(o.closed, 256);
    assert_true(bk_is_never(punch_deadline(o.punch)));
    punch_free(o.punch);
}

static void test_lies_are_refused(void **state) {
    (void)state;
    struct punch_note lies[9];
    for (size_t i = 0; i < 9; i++)
        lies[i] = with_step(2);
    lies[0].aim.ip = bk_ipv4(203, 0, 113, 9); /* a third party */
    lies[1].method = BK_ORACLE_TCP;           /* not ours */
    lies[2].method = BK_ORACLE_FAN;           /* impossible: our ports are random */
    lies[3].sockets[1] = PUNCH_SOCKETS_MAX;
    lies[4].ports[0] = 2049;
    lies[5].window = 2049;
    lies[6].step = 1; /* the same step with other words */
    lies[6].reached = 0;
    lies[7].min = 2; /* a range that ends before it begins */
    lies[7].max = 1;
    lies[8].reached = 2;
    struct owner o;
    setup(&o, false, HARD, CONE);
    punch_start(o.punch, 1, o.now);
    hear(&o, birthday);
    for (size_t i = 0; i < 8; i++) {
        hear(&o, lies[i]);
        if (refused(&o) != i + 1)
            fail_msg("lie %zu was believed", i);
    }
    hear(&o, birthday); /* once more is no lie */
    assert_int_equal(refused(&o), 8);
    run(&o, 10000);
    const struct punch_step *steps;
    assert_int_equal(punch_steps(o.punch, &steps), 1);
    hear(&o, with_step(3));
    hear(&o, with_step(2)); /* back */
    assert_int_equal(refused(&o), 9);
    assert_int_equal(punch_steps(o.punch, &steps), 2);
    punch_free(o.punch);
}

static void test_a_flood_costs_the_budget_at_most(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, HARD, CONE);
    punch_start(o.punch, 1, o.now);
    for (uint8_t step = 1; step < 255; step++) {
        hear(&o, with_step(step));
        run(&o, 2000);
    }
    assert_true(o.checks <= punch_config_default.packets_max);
    assert_true(refused(&o) >= 254 - PUNCH_STEPS_MAX);
    assert_int_equal(o.opened, o.closed + punch_stats(o.punch)->sockets);
    run(&o, 60000);
    assert_int_equal(o.opened, o.closed);
    punch_free(o.punch);
}

static void test_a_follower_cannot_move_its_aim(void **state) {
    (void)state;
    struct owner o;
    setup(&o, true, CONE, SEQ);
    punch_start(o.punch, 1, o.now);
    run(&o, 10);
    assert_int_equal(o.note.method, BK_ORACLE_PREDICT);
    assert_int_equal(o.note.reached, 1);
    assert_int_equal(o.note.aim.port, 50001);
    struct punch_note n = {.step = 1,
                           .attempt = 1,
                           .method = BK_ORACLE_PREDICT,
                           .reached = 1,
                           .window = o.note.window,
                           .aim = {bk_ipv4(203, 0, 113, 8), 41000},
                           .stride = 1};
    hear(&o, n); /* somebody else */
    assert_int_equal(refused(&o), 1);
    n.aim.ip = peer_ip;
    n.step = 2; /* the leader knows nothing of it */
    hear(&o, n);
    assert_int_equal(refused(&o), 2);
    n.step = 1;
    hear(&o, n);
    run(&o, 50);
    assert_int_equal(refused(&o), 2);
    assert_int_equal(o.last.port, 41000 + o.note.window - 1);
    n.aim.port = 1234;
    hear(&o, n); /* twice is once too often */
    assert_int_equal(refused(&o), 3);
    punch_free(o.punch);
}

static void test_a_leader_gives_up_when_nothing_is_left(void **state) {
    (void)state;
    struct owner o;
    setup(&o, true, CONE, CONE);
    punch_start(o.punch, 1, o.now);
    run(&o, 390);
    assert_int_equal(o.notes, 0); /* the checker's time */
    run(&o, 60000);
    const struct punch_step *steps;
    assert_int_equal(punch_steps(o.punch, &steps), 2); /* both at once, then one of them first */
    assert_true(punch_is_over(o.punch));
    assert_int_equal(o.note.method, BK_ORACLE_RELAY);
    assert_int_equal(o.opened, o.closed);
    assert_true(bk_is_never(punch_deadline(o.punch)));
    punch_free(o.punch);
}

static void test_a_follower_is_told_when_it_is_over(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, CONE, CONE);
    punch_start(o.punch, 3, o.now);
    assert_false(punch_is_over(o.punch));
    hear(&o, (struct punch_note){.step = 1, .attempt = 3, .method = BK_ORACLE_RELAY});
    assert_true(punch_is_over(o.punch));
    punch_free(o.punch);
}

static void test_a_note_may_come_before_the_start(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, HARD, CONE);
    hear(&o, birthday);
    assert_int_equal(o.opened, 0);
    punch_start(o.punch, 1, o.now);
    run(&o, 100);
    assert_true(o.checks > 10);
    punch_free(o.punch);
}

static void test_what_worked_comes_first_next_time(void **state) {
    (void)state;
    struct owner o;
    struct bk_nat_traits unknown = {.translated = BK_YES};
    setup(&o, true, CONE, HARD);
    punch_start(o.punch, 1, o.now);
    run(&o, 400);
    assert_int_equal(o.note.method, BK_ORACLE_BIRTHDAY_ONE);
    punch_stop(o.punch, true, PUNCH_SHARED, o.now);
    drain(&o);
    const struct punch_step *steps;
    assert_int_equal(punch_steps(o.punch, &steps), 1);
    assert_true(steps[0].hit && steps[0].took_us == 400000 && steps[0].packets == o.checks);
    punch_set_traits(o.punch, &unknown, &unknown, o.now); /* another network, perhaps */
    punch_start(o.punch, 2, o.now);
    run(&o, 10);
    assert_int_equal(o.note.attempt, 2);
    assert_int_equal(o.note.method, BK_ORACLE_BIRTHDAY_ONE);
    punch_free(o.punch);
}

static void test_a_hit_closes_all_sockets_but_one(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, HARD, CONE);
    punch_start(o.punch, 1, o.now);
    hear(&o, birthday);
    run(&o, 200);
    assert_true(o.opened > 64);
    punch_stop(o.punch, true, 17, o.now);
    drain(&o);
    assert_int_equal(o.closed, o.opened - 1);
    assert_true(o.open[17]);
    assert_int_equal(punch_stats(o.punch)->sockets, 0);
    assert_true(punch_is_over(o.punch));
    punch_free(o.punch);
}

static void test_without_sockets_a_step_ends_at_once(void **state) {
    (void)state;
    struct owner o;
    setup(&o, false, HARD, CONE);
    o.no_sockets = true;
    punch_start(o.punch, 1, o.now);
    hear(&o, birthday);
    run(&o, 100);
    assert_true(o.note.spent);
    assert_int_equal(o.checks, 0);
    punch_free(o.punch);
}

static void test_openers_are_shy_of_boxes_that_early_packets_spoil(void **state) {
    (void)state;
    struct owner o;
    struct bk_nat_traits delicate = CONE;
    delicate.inbound_first = BK_YES;
    setup(&o, false, HARD, delicate);
    punch_set_ttl(o.punch, 3);
    punch_start(o.punch, 1, o.now);
    hear(&o, birthday);
    run(&o, 200);
    assert_true(o.checks > 10);
    assert_int_equal(o.last_ttl, 3);
    struct punch_note spent = birthday;
    spent.spent = true;
    run(&o, 5000);
    hear(&o, spent);
    run(&o, 2000); /* those that come after the probes may go all the way */
    assert_int_equal(o.last_ttl, 0);
    punch_free(o.punch);
}

static void test_who_gave_up_goes_on_when_more_is_known(void **state) {
    (void)state;
    struct owner o, other;
    setup(&o, true, HARD, HARD);
    setup(&other, false, HARD, HARD);
    punch_start(o.punch, 1, o.now);
    punch_start(other.punch, 1, o.now);
    run(&o, 10);
    assert_true(punch_is_over(o.punch));
    assert_int_equal(o.note.method, BK_ORACLE_RELAY);
    hear(&other, o.note);
    assert_true(punch_is_over(other.punch));
    struct bk_nat_traits mine = CONE, theirs = HARD; /* we have moved to another network */
    punch_set_traits(o.punch, &mine, &theirs, o.now);
    punch_set_traits(other.punch, &theirs, &mine, o.now);
    run(&o, 10);
    assert_int_equal(o.note.method, BK_ORACLE_BIRTHDAY_ONE);
    o.note.aim.ip = peer_ip; /* in this test both see the same peer */
    hear(&other, o.note);
    assert_int_equal(refused(&other), 0);
    assert_false(punch_is_over(other.punch));
    run(&other, 100);
    assert_true(other.checks > 10);
    punch_free(o.punch);
    punch_free(other.punch);
}

/* Blocks of 232 ports, from which one STUN answer shows ours. */
static void test_the_block_that_a_stun_server_saw_is_told(void **state) {
    (void)state;
    static const struct {
        uint16_t first, seen, min, max;
    } rows[] = {
        {1024, 1300, 1256, 1487},
        {1024, 1930, 1720, 1930}, /* the last one is short */
        {0, 100, 1024, 65535},    /* nobody's port is 0: that cannot be right */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct owner o;
        struct bk_nat_traits mine = HARD;
        mine.port_min = rows[i].first;
        mine.port_max = 1930;
        mine.port_count = 232;
        setup(&o, false, mine, CONE);
        o.seen = rows[i].seen;
        punch_start(o.punch, 1, o.now);
        struct punch_note n = birthday;
        n.method = BK_ORACLE_BLOCK;
        hear(&o, n);
        run(&o, 500);
        assert_int_equal(o.note.min, rows[i].min);
        assert_int_equal(o.note.max, rows[i].max);
        punch_free(o.punch);
    }
}

static void test_configurations_are_checked(void **state) {
    (void)state;
    struct punch *p;
    struct punch_config bad = punch_config_default;
    assert_int_equal(punch_new(&bad, &test_alloc, &p), BK_ERR_ARGUMENT); /* no randomness */
    punch_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_follower_does_what_the_leader_says),
        cmocka_unit_test(test_lies_are_refused),
        cmocka_unit_test(test_a_flood_costs_the_budget_at_most),
        cmocka_unit_test(test_a_follower_cannot_move_its_aim),
        cmocka_unit_test(test_a_leader_gives_up_when_nothing_is_left),
        cmocka_unit_test(test_a_follower_is_told_when_it_is_over),
        cmocka_unit_test(test_a_note_may_come_before_the_start),
        cmocka_unit_test(test_what_worked_comes_first_next_time),
        cmocka_unit_test(test_a_hit_closes_all_sockets_but_one),
        cmocka_unit_test(test_without_sockets_a_step_ends_at_once),
        cmocka_unit_test(test_openers_are_shy_of_boxes_that_early_packets_spoil),
        cmocka_unit_test(test_who_gave_up_goes_on_when_more_is_known),
        cmocka_unit_test(test_the_block_that_a_stun_server_saw_is_told),
        cmocka_unit_test(test_configurations_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
