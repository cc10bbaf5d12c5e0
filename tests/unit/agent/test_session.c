/* SPDX-License-Identifier: MIT
 * Sessions in their variety: streams and components, without trickle, lite, restarts, hidden
 * addresses. */
#include "net.h"

static void two_public(struct net *n, uint64_t seed) {
    net_init(n, seed);
    for (int i = 0; i < 2; i++) {
        net_agent(n, i, net_config(n, i));
        net_base(n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
}

static void every_component_of_every_stream_connects(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 1);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.streams = 3;
        c.components = 2;
        net_agent(&n, i, c);
        for (uint16_t k = 0; k < 6; k++) {
            char text[64];
            snprintf(text, sizeof text, "%s:%u", i == 0 ? "198.51.100.7" : "203.0.113.7",
                     5000u + k);
            net_base_of(&n, i, text, k / 2, (uint16_t)(k % 2 + 1));
        }
        bk_ice_gather(n.side[i].ice, n.now);
    }
    for (int i = 0; i < 2; i++)
        net_signal(&n, i); /* complete descriptions, with a=mid */
    net_run(&n, 3000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CONNECTED), 6);
        assert_int_equal(bk_ice_get_state(n.side[i].ice), BK_ICE_SELECTED);
    }
    for (uint16_t s = 0; s < 3; s++)
        for (uint16_t c = 1; c <= 2; c++)
            assert_int_equal(net_say_on(&n, 0, s, c, "x"), BK_OK);
    assert_int_equal(net_say_on(&n, 0, 3, 1, "x"), BK_ERR_STATE);
    assert_int_equal(net_say_on(&n, 0, 0, 3, "x"), BK_ERR_STATE);
    net_run(&n, 100);
    assert_int_equal(n.side[1].data_count, 6);
    net_fini(&n);
}

static void without_trickle_one_exchange_is_enough(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 2);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.trickle = BK_ICE_NO_TRICKLE;
        net_server(&c, "stun:192.0.2.9");
        net_agent(&n, i, c);
        net_nat(&n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(&n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
        bk_ice_gather(n.side[i].ice, n.now);
    }
    net_run(&n, 100);
    char text[2048];
    size_t len, need;
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
    assert_int_equal(bk_ice_describe(n.side[0].ice, text, sizeof text, &len), BK_OK);
    assert_null(strstr(text, "trickle"));
    assert_non_null(strstr(text, "a=end-of-candidates\r\n"));
    assert_non_null(strstr(text, "raddr 10.0.0.2 rport 5000"));
    assert_int_equal(bk_ice_describe(n.side[0].ice, text, len, &need), BK_ERR_SHORT);
    assert_int_equal(need, len);
    assert_int_equal(bk_ice_describe(n.side[0].ice, text, len + 1, &need), BK_OK);
    for (int i = 0; i < 2; i++)
        net_signal(&n, i);
    net_run(&n, 1000);
    net_assert_talk(&n);
    net_fini(&n);
}

static void lite_only_answers(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 3);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, 1 - i); /* both guess wrong */
        c.lite = i == 1;
        net_server(&c, "stun:192.0.2.9");
        net_agent(&n, i, c);
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    net_start(&n);
    net_run(&n, 3000);
    net_assert_talk(&n);
    assert_int_equal(bk_ice_get_role(n.side[0].ice), BK_ICE_CONTROLLING);
    assert_int_equal(bk_ice_get_role(n.side[1].ice), BK_ICE_CONTROLLED);
    assert_int_equal(net_count(&n, 1, BK_ICE_ON_CANDIDATE), 1);
    net_fini(&n);
}

static void our_restart_keeps_the_data_flowing(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 4);
    net_start(&n);
    net_run(&n, 1000);
    char before[300];
    strcpy(before, bk_ice_ufrag(n.side[0].ice));
    assert_int_equal(bk_ice_restart(n.side[0].ice, n.now), BK_OK);
    assert_string_not_equal(before, bk_ice_ufrag(n.side[0].ice));
    net_assert_talk(&n); /* the old path */
    net_signal(&n, 1);   /* late: from before the restart. It means nothing. */
    net_signal(&n, 0);
    assert_int_equal(bk_ice_get_state(n.side[1].ice) == BK_ICE_FAILED, false);
    net_run(&n, 1);
    assert_int_equal(net_count(&n, 1, BK_ICE_ON_RESTART), 1);
    net_signal(&n, 1);
    net_run(&n, 1000);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_RESTART), 0);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_pair_info p = {.size = sizeof p};
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 2);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_DISCONNECTED), 0);
        assert_int_equal(bk_ice_path(n.side[i].ice, 0, 1, &p), BK_OK);
        assert_false(p.old);
    }
    net_assert_talk(&n);
    net_fini(&n);
}

/* Both want a restart. One has followed the other's, but nobody has been told: its own would make
 * what it follows with the answer to nothing. */
static void a_restart_nobody_was_told_of_is_not_followed_by_another(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 14);
    net_start(&n);
    net_run(&n, 1000);
    assert_int_equal(bk_ice_restart(n.side[0].ice, n.now), BK_OK);
    net_signal(&n, 0);
    assert_int_equal(bk_ice_restart(n.side[1].ice, n.now), BK_OK);
    net_run(&n, 1);
    assert_int_equal(net_count(&n, 1, BK_ICE_ON_RESTART), 1);
    net_signal(&n, 1);
    net_run(&n, 1000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 2);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_RESTART), 0);
    net_assert_talk(&n);
    net_fini(&n);
}

/* RFC 8840 section 4.4: a fragment has the sections that it is about, and a=mid says which. */
static void a_section_is_known_by_its_name_and_not_by_its_place(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 15);
    struct bk_ice_config c = net_config(&n, 0);
    c.streams = 2;
    net_agent(&n, 0, c);
    net_base_of(&n, 0, "198.51.100.7:5000", 0, 1);
    net_base_of(&n, 0, "198.51.100.7:5001", 1, 1);
    bk_ice_gather(n.side[0].ice, n.now);
    static const char head[] = "a=ice-ufrag:peer\r\na=ice-pwd:peerpasswordpeerpassword\r\n"
                               "a=ice-options:trickle\r\n";
    static const char *const rest[] = {"m=audio 9 RTP/AVP 0\r\na=mid:x\r\nm=video 9 RTP/AVP 0\r\n"
                                       "a=mid:y\r\n",
                                       "m=video 9 RTP/AVP 0\r\na=candidate:1 1 UDP 2130706431 "
                                       "203.0.113.9 7001 typ host\r\na=mid:y\r\n"};
    for (size_t i = 0; i < 2; i++) {
        char text[400];
        int len = snprintf(text, sizeof text, "%s%s", head, rest[i]);
        assert_int_equal(bk_ice_set_remote(n.side[0].ice, text, (size_t)len, n.now), BK_OK);
    }
    struct bk_ice_pair_info p = {.size = sizeof p};
    assert_int_equal(bk_ice_pair_at(n.side[0].ice, 0, &p), BK_OK);
    assert_int_equal(p.remote.addr.port, 7001);
    assert_int_equal(p.stream, 1);
    assert_int_equal(bk_ice_pair_at(n.side[0].ice, 1, &p), BK_ERR_NOT_FOUND);
    net_fini(&n);
}

/* Browsers say whose candidate it is; one from before a restart must not be checked. */
static void candidates_of_another_generation_are_ignored(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 5);
    net_signal(&n, 1);
    char line[SDP_LINE_MAX];
    snprintf(line, sizeof line, "candidate:1 1 udp 2130706431 203.0.113.9 7000 typ host ufrag %s",
             bk_ice_ufrag(n.side[1].ice));
    assert_int_equal(bk_ice_add_remote_candidate(n.side[0].ice, 0, line, n.now), BK_OK);
    assert_int_equal(bk_ice_add_remote_candidate(n.side[0].ice, 0, line, n.now), BK_ERR_EXISTS);
    assert_int_equal(bk_ice_add_remote_candidate(
                         n.side[0].ice, 0,
                         "a=candidate:1 1 udp 2130706431 203.0.113.9 7001 typ host ufrag stranger",
                         n.now),
                     BK_ERR_UNSUPPORTED);
    assert_int_equal(bk_ice_add_remote_candidate(n.side[0].ice, 0, "candidate:1 1 udp", n.now),
                     BK_ERR_MALFORMED);
    net_fini(&n);
}

static void nothing_is_taken_from_a_broken_description(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 6);
    static const struct {
        const char *text;
        enum bk_err err;
    } cases[] = {
        {"", BK_ERR_NOT_FOUND},
        {"a=ice-ufrag:abcd\r\n", BK_ERR_NOT_FOUND},
        {"a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n", BK_ERR_MALFORMED},
        {"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 udp x\r\n",
         BK_ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(
            bk_ice_set_remote(n.side[0].ice, cases[i].text, strlen(cases[i].text), n.now),
            cases[i].err);
    static char huge[SDP_TEXT_MAX + 1];
    assert_int_equal(bk_ice_set_remote(n.side[0].ice, huge, sizeof huge, n.now), BK_ERR_TOO_LONG);
    net_signal(&n, 1); /* no restart: nothing had been taken */
    net_run(&n, 10);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_RESTART), 0);
    net_fini(&n);
}

static void a_whole_offer_of_a_browser_is_read(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 7);
    static const char offer[] =
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
        "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-options:trickle\r\n"
        "a=candidate:1 1 udp 2122260223 203.0.113.9 54400 typ host generation 0\r\n"
        "a=mid:0\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:EsAw\r\n"
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=mid:1\r\n"
        "a=candidate:1 1 udp 2122260223 203.0.113.10 54401 typ host generation 0\r\n";
    assert_int_equal(bk_ice_set_remote(n.side[0].ice, offer, sizeof offer - 1, n.now), BK_OK);
    bk_ice_gather(n.side[0].ice, n.now);
    struct bk_ice_pair_info p = {.size = sizeof p};
    assert_int_equal(bk_ice_pair_at(n.side[0].ice, 0, &p), BK_OK);
    assert_int_equal(p.remote.addr.port, 54400);
    assert_int_equal(bk_ice_pair_at(n.side[0].ice, 1, &p), BK_ERR_NOT_FOUND);
    net_fini(&n);
}

static void names_hide_addresses(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 8);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.mdns = true;
        net_server(&c, "stun:192.0.2.9");
        net_agent(&n, i, c);
        net_base(&n, i, i == 0 ? "10.0.0.2:5000" : "10.0.0.3:6000");
    }
    net_run(&n, 1); /* names are published */
    assert_int_equal(n.requests[BK_ICE_PUBLISH], 2);
    n.server_dead = true;
    net_start(&n);
    net_run(&n, 1000);
    for (int i = 0; i < 2; i++) {
        const struct bk_ice_event *e = net_event(&n, i, BK_ICE_ON_CANDIDATE, 0);
        assert_null(strstr(e->text, "10.0.0."));
        assert_non_null(strstr(e->text, ".local "));
    }
    assert_int_equal(n.requests[BK_ICE_RESOLVE], 2);
    net_assert_talk(&n);
    net_fini(&n);
}

static void public_policy_hides_the_inside(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 9);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.policy = BK_ICE_PUBLIC;
        net_server(&c, "stun:192.0.2.9");
        net_agent(&n, i, c);
        net_nat(&n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(&n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
    }
    net_start(&n);
    net_run(&n, 1000);
    for (int i = 0; i < 2; i++) {
        char text[2048];
        size_t len;
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 1);
        assert_int_equal(bk_ice_describe(n.side[i].ice, text, sizeof text, &len), BK_OK);
        assert_null(strstr(text, "10.0."));
    }
    net_assert_talk(&n);
    net_fini(&n);
}

/* RFC 8445 section 14.2: what is not the default is proposed, and the higher counts. */
static void pacing_is_agreed_upon(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 11);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.ta_us = i == 0 ? 120000 : 50000;
        net_agent(&n, i, c);
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    char text[2048];
    size_t len;
    assert_int_equal(bk_ice_describe(n.side[0].ice, text, sizeof text, &len), BK_OK);
    assert_non_null(strstr(text, "a=ice-pacing:120\r\n"));
    assert_int_equal(bk_ice_describe(n.side[1].ice, text, sizeof text, &len), BK_OK);
    assert_null(strstr(text, "a=ice-pacing"));
    net_signal(&n, 0);
    for (int i = 0; i < 30; i++) { /* a burst leaves at once, the rest in steps of Ta */
        snprintf(text, sizeof text, "candidate:%d 1 udp %d 203.0.113.99 %d typ host", i, 1000 - i,
                 7000 + i);
        assert_int_equal(bk_ice_add_remote_candidate(n.side[1].ice, 0, text, n.now), BK_OK);
    }
    bk_ice_gather(n.side[1].ice, n.now);
    net_run(&n, 10);
    size_t before = n.side[1].sent;
    n.side[1].dead[0] = true;
    net_run(&n, 150); /* no repetition yet */
    assert_in_range(n.side[1].sent - before, 1, 2);
    net_fini(&n);
}

static bool udp_blocked(const struct bk_addr *from, const struct bk_addr *to) {
    (void)from;
    return to->port != 3478;
}

static void failure_waits_for_patience_and_has_a_reason(void **state) {
    (void)state;
    static struct net n;
    two_public(&n, 10);
    n.blocked = udp_blocked;
    net_start(&n);
    net_run(&n, 39000);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_FAILED), 0);
    net_run(&n, 10000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 1);
        assert_true(strlen(net_event(&n, i, BK_ICE_ON_FAILED, 0)->text) > 10);
    }
    n.blocked = NULL; /* not final */
    for (int i = 0; i < 2; i++)
        bk_ice_network_changed(n.side[i].ice, n.now);
    net_run(&n, 3000);
    net_assert_talk(&n);
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_component_of_every_stream_connects),
        cmocka_unit_test(without_trickle_one_exchange_is_enough),
        cmocka_unit_test(lite_only_answers),
        cmocka_unit_test(our_restart_keeps_the_data_flowing),
        cmocka_unit_test(a_restart_nobody_was_told_of_is_not_followed_by_another),
        cmocka_unit_test(a_section_is_known_by_its_name_and_not_by_its_place),
        cmocka_unit_test(candidates_of_another_generation_are_ignored),
        cmocka_unit_test(nothing_is_taken_from_a_broken_description),
        cmocka_unit_test(a_whole_offer_of_a_browser_is_read),
        cmocka_unit_test(names_hide_addresses),
        cmocka_unit_test(public_policy_hides_the_inside),
        cmocka_unit_test(pacing_is_agreed_upon),
        cmocka_unit_test(failure_waits_for_patience_and_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
