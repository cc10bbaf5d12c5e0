/* SPDX-License-Identifier: MIT
 * Peers whose streams have credentials of their own, RFC 8839 section 5.4: whose each check is. */
#include "net.h"

#include "stun/seal.h"

static struct net n;
static size_t restarts;

#define PWD_S "passwordofthesessionitself"
#define PWD_A "passwordofaudiopassword"
#define PWD_V "passwordofvideopassword"
#define AUDIO "m=audio 7000 ICE/SDP\r\na=candidate:1 1 udp 2130706431 203.0.113.7 7000 typ host\r\n"
#define VIDEO "m=video 7001 ICE/SDP\r\na=candidate:2 1 udp 2130706430 203.0.113.8 7001 typ host\r\n"
#define OF_AUDIO "a=ice-ufrag:audi\r\na=ice-pwd:" PWD_A "\r\n"
#define OF_VIDEO "a=ice-ufrag:vide\r\na=ice-pwd:" PWD_V "\r\n"

/* One agent of two streams; nobody answers. */
static struct bk_ice *alone(void) {
    net_init(&n, 1);
    restarts = 0;
    struct bk_ice_config c = net_config(&n, 0);
    c.streams = 2;
    net_agent(&n, 0, c);
    net_base_of(&n, 0, "198.51.100.7:5000", 0, 1);
    net_base_of(&n, 0, "198.51.100.7:5001", 1, 1);
    bk_ice_gather(n.side[0].ice, n.now);
    return n.side[0].ice;
}

static void set(const char *text) {
    assert_int_equal(bk_ice_set_remote(n.side[0].ice, text, strlen(text), n.now), BK_OK);
}

/* Is this check for the stream it leaves from? */
static void look(const struct bk_datagram *d, const char *ufrag, const char *pwd) {
    struct stun_msg msg;
    struct wire_span user;
    assert_int_equal(stun_parse(&msg, d->data, d->len), BK_OK);
    assert_int_equal(stun_get_bytes(&msg, STUN_USERNAME, &user), BK_OK);
    assert_true(user.len > strlen(ufrag) && user.data[strlen(ufrag)] == ':');
    assert_memory_equal(user.data, ufrag, strlen(ufrag));
    assert_int_equal(stun_check_integrity(&msg, pwd, strlen(pwd)), BK_OK);
}

/* What leaves in a while: checks of both streams, each under these. */
static void expect(const char *ufrag_0, const char *pwd_0, const char *ufrag_1, const char *pwd_1) {
    struct bk_ice *ice = n.side[0].ice;
    struct bk_datagram d;
    struct bk_ice_event e;
    size_t count[2] = {0};
    for (int i = 0; i < 40; i++) {
        while (bk_ice_next_datagram(ice, &d)) {
            unsigned s = d.local.port - 5000u;
            assert_in_range(s, 0, 1);
            look(&d, s == 0 ? ufrag_0 : ufrag_1, s == 0 ? pwd_0 : pwd_1);
            count[s]++;
        }
        while (bk_ice_next_event(ice, &e))
            restarts += e.kind == BK_ICE_ON_RESTART;
        n.now = bk_after(n.now, 50000);
        bk_ice_advance(ice, n.now);
    }
    assert_true(count[0] > 0 && count[1] > 0);
}

static void streams_have_their_own(void **state) {
    (void)state;
    alone();
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    expect("audi", PWD_A, "vide", PWD_V);
    net_fini(&n);
}

static void a_streams_own_come_before_the_sessions(void **state) {
    (void)state;
    alone();
    set("v=0\r\na=ice-ufrag:sess\r\na=ice-pwd:" PWD_S "\r\n" AUDIO VIDEO OF_VIDEO);
    expect("sess", PWD_S, "vide", PWD_V);
    net_fini(&n);
    alone(); /* each of the two for itself */
    set("v=0\r\na=ice-pwd:" PWD_S "\r\n" AUDIO "a=ice-ufrag:audi\r\n" VIDEO OF_VIDEO);
    expect("audi", PWD_S, "vide", PWD_V);
    net_fini(&n);
}

/* As our own descriptions have it. */
static void a_mid_without_media_lines_begins_a_stream(void **state) {
    (void)state;
    alone();
    set("a=ice-ufrag:sess\r\na=ice-pwd:" PWD_S "\r\n"
        "a=mid:0\r\na=candidate:1 1 udp 2130706431 203.0.113.7 7000 typ host\r\n"
        "a=mid:1\r\na=candidate:1 1 udp 2130706431 203.0.113.7 7001 typ host\r\n" OF_VIDEO);
    expect("sess", PWD_S, "vide", PWD_V);
    net_fini(&n);
}

/* Of bundled streams one says it for all. */
static void a_stream_without_any_has_the_first_ones(void **state) {
    (void)state;
    alone();
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO);
    expect("audi", PWD_A, "audi", PWD_A);
    net_fini(&n);
}

/* RFC 8839 section 4.4.1.1.1. */
static void one_streams_new_ones_are_a_restart(void **state) {
    (void)state;
    struct bk_ice *ice = alone();
    char before[300];
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    set("v=0\r\n" AUDIO OF_AUDIO); /* nothing is said of the other */
    expect("audi", PWD_A, "vide", PWD_V);
    assert_int_equal(restarts, 0);
    strcpy(before, bk_ice_ufrag(ice));
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO "a=ice-ufrag:newV\r\na=ice-pwd:" PWD_S "\r\n");
    assert_string_not_equal(before, bk_ice_ufrag(ice));
    expect("audi", PWD_A, "newV", PWD_S);
    assert_int_equal(restarts, 1);
    net_fini(&n);
}

/* A late description from before our restart means nothing; the next one is the answer. */
static void descriptions_from_before_our_restart_are_known(void **state) {
    (void)state;
    struct bk_ice *ice = alone();
    struct bk_datagram d;
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    expect("audi", PWD_A, "vide", PWD_V);
    assert_int_equal(bk_ice_restart(ice, n.now), BK_OK);
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    set("v=0\r\n" AUDIO OF_AUDIO);
    bk_ice_advance(ice, n.now);
    assert_false(bk_ice_next_datagram(ice, &d));
    set("v=0\r\n" AUDIO "a=ice-ufrag:newA\r\na=ice-pwd:" PWD_S "\r\n" VIDEO
        "a=ice-ufrag:newV\r\na=ice-pwd:" PWD_V "\r\n");
    expect("newA", PWD_S, "newV", PWD_V);
    assert_int_equal(restarts, 0);
    net_fini(&n);
}

/* The browsers' extension, with a stream's own fragment. */
static void a_candidate_is_of_its_streams_generation(void **state) {
    (void)state;
    struct bk_ice *ice = alone();
    static const char *const lines[2] = {
        "candidate:5 1 udp 2130706431 203.0.113.9 7000 typ host ufrag audi",
        "candidate:5 1 udp 2130706431 203.0.113.9 7001 typ host ufrag vide"};
    set("v=0\r\n" AUDIO OF_AUDIO VIDEO OF_VIDEO);
    for (uint16_t s = 0; s < 2; s++) {
        assert_int_equal(bk_ice_add_remote_candidate(ice, 1 - s, lines[s], n.now),
                         BK_ERR_UNSUPPORTED);
        assert_int_equal(bk_ice_add_remote_candidate(ice, s, lines[s], n.now), BK_OK);
    }
    assert_int_equal(bk_ice_restart(ice, n.now), BK_OK);
    for (uint16_t s = 0; s < 2; s++)
        assert_int_equal(bk_ice_add_remote_candidate(ice, s, lines[s], n.now), BK_ERR_UNSUPPORTED);
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_have_their_own),
        cmocka_unit_test(a_streams_own_come_before_the_sessions),
        cmocka_unit_test(a_mid_without_media_lines_begins_a_stream),
        cmocka_unit_test(a_stream_without_any_has_the_first_ones),
        cmocka_unit_test(one_streams_new_ones_are_a_restart),
        cmocka_unit_test(descriptions_from_before_our_restart_are_known),
        cmocka_unit_test(a_candidate_is_of_its_streams_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
