/* SPDX-License-Identifier: MIT
 * The client against the service under loss: it moves to other addresses (RFC 8016), and two of
 * them share a pair of ports (EVEN-PORT, RFC 8656 section 7). */
#include "world.h"

static void prepare_mobile(struct world *w, uint64_t seed, unsigned loss) {
    prepare(w, seed, loss, 10);
    start_service(w);
    for (unsigned i = 0; i < SIDES; i++) {
        w->client_config[i].mobility = true;
        begin(w, i);
    }
}

static void move(struct world *w, unsigned i) {
    w->client[i].port++;
    bk_turn_move(w->turn[i], &w->client[i], w->now);
    drain_client(w, i);
}

/* The relayed addresses, permissions and channels stay, whatever is lost on the way. */
static void they_move_and_stay_connected_under_loss(void **state) {
    static struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        prepare_mobile(&w, seed, 20);
        run(&w, 40 * BK_US_PER_S);
        check(&w, w.allocated == 2, "allocated");
        permit(&w, seed % 2 == 0);
        run(&w, 40 * BK_US_PER_S);
        check(&w, w.permitted[0] && w.permitted[1], "permitted");
        for (unsigned n = 1; n <= 6; n++) {
            move(&w, n % 2);
            if (n % 3 == 0) { /* before anybody could answer the first */
                run(&w, 15 * BK_US_PER_MS);
                move(&w, n % 2);
            }
            run(&w, 60 * BK_US_PER_S);
            check(&w, w.moved >= n, "moved");
            talk(&w, 20);
            check(&w, w.got[0] >= 2 && w.got[1] >= 2, "data");
        }
        check(&w, w.lost == 0 && w.failed == 0 && w.allocated == 2 && w.open == 2, "kept");
        for (unsigned i = 0; i < SIDES; i++) {
            bk_turn_close(w.turn[i], w.now);
            if (i == 1)
                move(&w, i); /* while it says goodbye */
        }
        run(&w, 700 * BK_US_PER_S);
        check(&w, w.open == 0, "given back");
        finish(&w);
    }
}

/* No ticket: a new allocation, as soon as the address is known. */
static void without_mobility_it_allocates_anew(void **state) {
    static struct world w;
    (void)state;
    start(&w, 1, 0, 0);
    run(&w, BK_US_PER_S);
    permit(&w, true);
    run(&w, BK_US_PER_S);
    move(&w, 0);
    run(&w, BK_US_PER_S);
    check(&w, w.lost == 1 && w.allocated == 3 && w.moved == 0, "anew");
    permit(&w, true); /* the peer's address is another one */
    run(&w, BK_US_PER_S);
    talk(&w, 10);
    check(&w, w.got[0] == 10 && w.got[1] == 10, "data");
    finish(&w);
}

/* The server was replaced while the client was on its way. */
static void a_ticket_of_a_former_server_leads_to_a_new_allocation(void **state) {
    static struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        prepare_mobile(&w, seed, 10);
        run(&w, 40 * BK_US_PER_S);
        turn_service_free(w.service);
        w.open = 0;
        start_service(&w);
        for (unsigned i = 0; i < SIDES; i++)
            move(&w, i);
        run(&w, 100 * BK_US_PER_S);
        check(&w, w.lost == 2 && w.allocated == 4 && w.open == 2 && w.moved == 0, "anew");
        finish(&w);
    }
}

static void a_server_without_mobility_is_asked_without(void **state) {
    static struct world w;
    (void)state;
    prepare(&w, 1, 0, 0);
    start_service(&w);
    turn_service_free(w.service);
    w.config.mobility = false;
    assert_int_equal(turn_service_new(&w.config, &test_alloc, &w.rng, w.now, &w.service), BK_OK);
    w.client_config[0].mobility = true;
    begin(&w, 0);
    run(&w, BK_US_PER_S);
    check(&w, w.allocated == 1 && w.failed == 0, "405 is no failure");
    move(&w, 0);
    run(&w, BK_US_PER_S);
    check(&w, w.lost == 1 && w.allocated == 2, "anew");
    finish(&w);
}

static void two_clients_get_a_pair_of_ports(void **state) {
    static struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        prepare(&w, seed, 20, 10);
        start_service(&w);
        w.client_config[0].reserve = true;
        begin(&w, 0);
        run(&w, 10 * BK_US_PER_S);
        check(&w, w.reservation != 0 || w.allocated == 0, "reserved");
        while (w.allocated == 0)
            run(&w, BK_US_PER_S);
        w.client_config[1].reservation = w.reservation;
        begin(&w, 1);
        run(&w, 15 * BK_US_PER_S);
        check(&w, w.allocated == 2, "both");
        check(&w, w.relayed[0].port % 2 == 0 && w.relayed[1].port == w.relayed[0].port + 1, "pair");
        permit(&w, true);
        run(&w, 40 * BK_US_PER_S);
        talk(&w, 20);
        check(&w, w.got[0] >= 2 && w.got[1] >= 2, "data");
        finish(&w);
    }
}

/* A reservation is for one, and for 30 seconds. */
static void a_reservation_is_taken_once(void **state) {
    static struct world w;
    (void)state;
    prepare(&w, 3, 0, 0);
    start_service(&w);
    w.client_config[1].reservation = 77; /* nobody's */
    begin(&w, 1);
    run(&w, BK_US_PER_S);
    check(&w, w.failed == 1 && w.allocated == 0, "508");
    finish(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_move_and_stay_connected_under_loss),
        cmocka_unit_test(without_mobility_it_allocates_anew),
        cmocka_unit_test(a_ticket_of_a_former_server_leads_to_a_new_allocation),
        cmocka_unit_test(a_server_without_mobility_is_asked_without),
        cmocka_unit_test(two_clients_get_a_pair_of_ports),
        cmocka_unit_test(a_reservation_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
