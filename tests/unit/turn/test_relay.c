/* SPDX-License-Identifier: MIT
 * The client against the service, in one process: two clients behind the same server talk through
 * their relays while datagrams are lost, doubled and overtaken, nonces expire, and the server
 * restarts. */
#include "world.h"

static void two_clients_talk_through_their_relays(void **state) {
    static struct world w;
    (void)state;
    for (int channel = 0; channel < 2; channel++) {
        start(&w, 1, 0, 0);
        run(&w, BK_US_PER_S);
        check(&w, w.allocated == 2 && w.open == 2, "allocated");
        permit(&w, channel == 1);
        run(&w, BK_US_PER_S);
        check(&w, w.permitted[0] && w.permitted[1], "permitted");
        talk(&w, 10);
        check(&w, w.got[0] == 10 && w.got[1] == 10, "data");
        for (unsigned i = 0; i < SIDES; i++)
            bk_turn_close(w.turn[i], w.now);
        run(&w, BK_US_PER_S);
        check(&w, w.open == 0, "given back");
        finish(&w);
    }
}

/* 40 minutes: nonces end every 2, permissions every 5, channels and allocations every 10. */
static void they_stay_connected_under_loss(void **state) {
    static struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        start(&w, seed, 20, 10);
        run(&w, 40 * BK_US_PER_S);
        check(&w, w.allocated == 2, "allocated");
        permit(&w, seed % 2 == 0);
        run(&w, 40 * BK_US_PER_S);
        check(&w, w.permitted[0] && w.permitted[1], "permitted");
        for (int minute = 0; minute < 40; minute += 4) {
            run(&w, 240 * BK_US_PER_S);
            talk(&w, 20); /* 4 legs each: 41 % arrive, duplicates apart */
            check(&w, w.got[0] >= 2 && w.got[1] >= 2, "data");
        }
        check(&w, w.lost == 0 && w.failed == 0 && w.allocated == 2, "kept");
        finish(&w);
    }
}

static void a_restart_is_survived(void **state) {
    static struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start(&w, seed, 10, 10);
        run(&w, 40 * BK_US_PER_S);
        permit(&w, true);
        run(&w, 40 * BK_US_PER_S);
        turn_service_free(w.service); /* with another secret, and nothing known */
        w.open = 0;
        start_service(&w);
        run(&w, 900 * BK_US_PER_S);
        check(&w, w.lost == 2 && w.allocated == 4 && w.open == 2, "allocated anew");
        permit(&w, true); /* their relayed addresses are new ones */
        run(&w, 60 * BK_US_PER_S);
        talk(&w, 30);
        check(&w, w.got[0] >= 3 && w.got[1] >= 3, "data");
        finish(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_clients_talk_through_their_relays),
        cmocka_unit_test(they_stay_connected_under_loss),
        cmocka_unit_test(a_restart_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
