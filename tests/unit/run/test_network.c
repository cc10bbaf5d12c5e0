/* SPDX-License-Identifier: MIT
 * The network changes while agents are connected, in a network namespace of the test's own. */
/* unshare() is Linux's. */
#define _GNU_SOURCE
#include "duo.h"
#include <sched.h>
#include <stdio.h>

static struct duo duo;

static int ip(const char *command) {
    char line[128];
    snprintf(line, sizeof line, "ip %s 2>/dev/null", command);
    return system(line); /* NOLINT(cert-env33-c): the test's own words */
}

/* false: not permitted, or no such tool. */
static bool make_namespace(void) {
    return unshare(CLONE_NEWNET) == 0 && ip("link set lo up") == 0 &&
           ip("link add left type veth peer name right") == 0 && ip("link set left up") == 0 &&
           ip("link set right up") == 0 && ip("addr add 10.7.0.1/24 dev left") == 0;
}

static bool is_on(const struct duo_side *s, uint8_t last) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    const struct bk_ip want = bk_ipv4(10, 7, 0, last);
    return s->ice != NULL && bk_ice_path(s->ice, 0, 1, &info) == BK_OK &&
           bk_ip_equal(&info.local.base.ip, &want) && bk_ip_equal(&info.remote.addr.ip, &want);
}

static bool both_have_moved(const struct duo *d) {
    return is_on(&d->sides[0], 2) && is_on(&d->sides[1], 2);
}

static int with_second;

static void count_candidates(struct duo_side *s, const struct bk_ice_event *event) {
    (void)s;
    with_second += event->kind == BK_ICE_ON_CANDIDATE && strstr(event->text, "10.7.0.2") != NULL;
}

static bool the_second_is_told(const struct duo *d) {
    (void)d;
    return with_second == 2;
}

/* A second address comes: it is trickled. The first one goes: data move to the second. */
static void addresses_come_and_go(void **state) {
    struct bk_run_config rc = bk_run_config_default;
    struct bk_ice_config ic = bk_ice_config_default;
    (void)state;
    if (!make_namespace())
        skip();
    ic.ipv6 = false;
    duo_init_on(&duo, &rc, &ic, "left,other");
    duo.sides[0].on_event = duo.sides[1].on_event = count_candidates;
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_selected);
    assert_true(is_on(&duo.sides[0], 1));
    assert_int_equal(ip("addr add 10.7.0.2/24 dev left"), 0);
    assert_int_equal(ip("addr add 10.7.0.3/24 dev right"), 0); /* not one of ours */
    duo_run_until(&duo, the_second_is_told);
    /* The last of a prefix takes the others with it unless they may follow. */
    assert_int_equal(system("echo 1 > /proc/sys/net/ipv4/conf/left/promote_secondaries"), 0);
    assert_int_equal(ip("addr del 10.7.0.1/24 dev left"), 0);
    duo_run_until(&duo, both_have_moved);
    duo_say(&duo.sides[0], "ping");
    duo_say(&duo.sides[1], "pong");
    duo_run_until(&duo, duo_has_talked);
    duo_fini(&duo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
