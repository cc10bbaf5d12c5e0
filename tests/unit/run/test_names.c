/* SPDX-License-Identifier: MIT
 * Names: host candidates behind names in .local, and servers that have names. */
/* libuv needs POSIX threads. */
#define _GNU_SOURCE
#include "duo.h"

static struct duo duo;
static int hidden, shown;

static void look_at_candidate(struct duo_side *s, const struct bk_ice_event *event) {
    (void)s;
    if (event->kind != BK_ICE_ON_CANDIDATE)
        return;
    hidden += strstr(event->text, ".local ") != NULL;
    shown += strstr(event->text, "127.0.0.1") != NULL || strstr(event->text, "::1") != NULL;
}

static bool is_over(const struct duo *d) {
    return duo_is_connected(d) || (d->sides[0].failed > 0 && d->sides[1].failed > 0);
}

/* draft-ietf-mmusic-mdns-ice-candidates section 3: no address is told, and they find each other. */
static void agents_connect_by_names_alone(void **state) {
    struct bk_ice_config config = bk_ice_config_default;
    (void)state;
    config.mdns = true;
    config.patience_us = 10000000;
    duo_init(&duo, &bk_run_config_default, &config);
    duo.sides[0].on_event = duo.sides[1].on_event = look_at_candidate;
    duo_begin(&duo);
    duo_run_until(&duo, is_over);
    assert_true(hidden > 0);
    assert_int_equal(shown, 0);
    bool connected = duo_is_connected(&duo);
    duo_fini(&duo);
    if (!connected)
        skip(); /* nobody may use multicast on this machine's loopback */
}

static int gathered;

static void count_gathered(struct duo_side *s, const struct bk_ice_event *event) {
    (void)s;
    gathered += event->kind == BK_ICE_ON_GATHERED;
}

static bool both_have_gathered(const struct duo *d) {
    (void)d;
    return gathered == 2;
}

/* Whatever becomes of the servers: the end of gathering is told. */
static void servers_that_are_not_there_end_the_gathering(void **state) {
    struct bk_ice_config config = bk_ice_config_default;
    (void)state;
    config.gather_us = 300000;
    config.ipv6 = false;
    config.servers[0] = (struct bk_ice_server){"stun:localhost:9", NULL, NULL};
    config.servers[1] = (struct bk_ice_server){"turn:localhost:9?transport=tcp", "u", "p"};
    config.servers[2] = (struct bk_ice_server){"turns:localhost:9", "u", "p"};
    config.servers[3] = (struct bk_ice_server){"turns:127.0.0.1:9?transport=udp", "u", "p"};
    config.server_count = 4;
    struct bk_run_config rc = bk_run_config_default;
    rc.insecure = true;
    gathered = 0;
    duo_init(&duo, &rc, &config);
    duo.sides[0].on_event = duo.sides[1].on_event = count_gathered;
    duo_begin(&duo);
    duo_run_until(&duo, both_have_gathered);
    duo_run_until(&duo, duo_is_connected); /* by host candidates */
    duo_fini(&duo);
}

/* The name is still being asked for when the agent ends. */
static void an_agent_may_end_while_names_are_looked_up(void **state) {
    struct bk_ice_config config = bk_ice_config_default;
    (void)state;
    config.servers[0] = (struct bk_ice_server){"stun:localhost", NULL, NULL};
    config.server_count = 1;
    duo_init(&duo, &bk_run_config_default, &config);
    duo_begin(&duo);
    uv_run(&duo.uv, UV_RUN_NOWAIT);
    duo_fini(&duo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_connect_by_names_alone),
        cmocka_unit_test(servers_that_are_not_there_end_the_gathering),
        cmocka_unit_test(an_agent_may_end_while_names_are_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
