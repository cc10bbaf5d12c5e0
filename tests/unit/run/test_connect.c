/* SPDX-License-Identifier: MIT
 * Two agents on real sockets: loopback only, so that the machine's interfaces do not matter. */
/* libuv needs POSIX threads. */
#define _GNU_SOURCE
#include "duo.h"

static struct duo duo;

static void two_agents_connect_and_talk(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    duo_say(&duo.sides[0], "ping");
    duo_say(&duo.sides[1], "pong");
    duo_run_until(&duo, duo_has_talked);
    assert_string_equal(duo.sides[0].heard, "pong");
    assert_string_equal(duo.sides[1].heard, "ping");
    duo_fini(&duo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_agents_connect_and_talk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
