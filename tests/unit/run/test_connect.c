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

static int next_of_stream[2];

/* Each component and stream is told apart by its port. */
static void check_parts(struct duo_side *s, const struct bk_ice_data *data) {
    (void)s;
    assert_int_equal(data->len, 2);
    assert_int_equal(data->data[0], data->stream);
    assert_int_equal(data->data[1], data->component);
    next_of_stream[data->stream] |= 1 << data->component;
}

static bool four_are_connected(const struct duo *d) {
    return d->sides[0].connected == 4 && d->sides[1].connected == 4;
}

static bool four_have_talked(const struct duo *d) {
    return d->sides[1].messages == 4;
}

static void streams_and_components_have_ports_of_their_own(void **state) {
    struct bk_ice_config config = bk_ice_config_default;
    (void)state;
    config.streams = config.components = 2;
    duo_init(&duo, &bk_run_config_default, &config);
    duo.sides[1].on_data = check_parts;
    duo_begin(&duo);
    duo_run_until(&duo, four_are_connected);
    for (uint16_t stream = 0; stream < 2; stream++)
        for (uint16_t component = 1; component <= 2; component++) {
            const uint8_t data[2] = {(uint8_t)stream, (uint8_t)component};
            assert_int_equal(bk_run_send(duo.sides[0].run, duo.sides[0].ice, stream, component,
                                         data, sizeof data),
                             BK_OK);
        }
    duo_run_until(&duo, four_have_talked);
    assert_int_equal(next_of_stream[0], 6);
    assert_int_equal(next_of_stream[1], 6);
    duo_fini(&duo);
}

/* RFC 8445 section 9: data go on over the old path, and the new credentials are heard. */
static bool selected_again(const struct duo *d) {
    return d->sides[0].selected >= 2 && d->sides[1].selected >= 2;
}

static void a_restart_needs_no_new_socket(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_selected);
    struct duo_side *s = &duo.sides[0];
    assert_int_equal(bk_ice_restart(s->ice, bk_run_now(s->run)), BK_OK);
    duo_say(s, "meanwhile");
    duo_describe(s);
    bk_run_poke(s->run, s->ice);
    duo_run_until(&duo, selected_again);
    assert_string_equal(duo.sides[1].heard, "meanwhile");
    duo_fini(&duo);
}

enum { TRAIN_SEGMENT = 1000, TRAIN_LEN = 100 * TRAIN_SEGMENT + 37 };

static size_t train_bytes;

static void check_wagon(struct duo_side *s, const struct bk_ice_data *data) {
    (void)s;
    assert_true(data->len == TRAIN_SEGMENT || data->len == TRAIN_LEN % TRAIN_SEGMENT);
    for (size_t i = 0; i < data->len; i++)
        assert_int_equal(data->data[i], (uint8_t)((train_bytes + i) % 251));
    train_bytes += data->len;
}

static bool train_is_there(const struct duo *d) {
    (void)d;
    return train_bytes == TRAIN_LEN;
}

static void a_train_arrives_as_its_messages(void **state) {
    static uint8_t train[TRAIN_LEN];
    (void)state;
    for (size_t i = 0; i < sizeof train; i++)
        train[i] = (uint8_t)(i % 251);
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    struct duo_side *s = &duo.sides[0];
    duo.sides[1].on_data = check_wagon;
    assert_int_equal(bk_run_send_train(s->run, s->ice, 0, 1, train, sizeof train, TRAIN_SEGMENT),
                     BK_ERR_STATE);
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    assert_int_equal(bk_run_send_train(s->run, s->ice, 0, 1, train, sizeof train, 0),
                     BK_ERR_ARGUMENT);
    assert_int_equal(bk_run_send_train(s->run, s->ice, 0, 1, train, sizeof train, TRAIN_SEGMENT),
                     BK_OK);
    duo_run_until(&duo, train_is_there);
    assert_int_equal(duo.sides[1].messages, 101);
    duo_fini(&duo);
}

static void agents_may_have_ports_of_their_own(void **state) {
    struct bk_run_config config = bk_run_config_default;
    (void)state;
    config.own_ports = true;
    duo_init(&duo, &config, &bk_ice_config_default);
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_selected);
    duo_fini(&duo);
}

/* --- who shares a port --- */

enum { NEIGHBOURS = 4 };

struct neighbour {
    struct bk_ice *ice;
    long port; /* of its host candidate */
};

static void note_port(void *ctx, struct bk_ice *ice, const struct bk_ice_event *event) {
    struct neighbour *n = ctx;
    (void)ice;
    if (event->kind == BK_ICE_ON_CANDIDATE && event->local.kind == BK_ICE_HOST)
        n->port = event->local.addr.port;
}

/* RFC 8656 section 2.2: an allocation belongs to a 5-tuple. */
static void agents_with_turn_do_not_share_a_port(void **state) {
    const struct bk_run_handlers handlers = {note_port, NULL};
    struct bk_run_config rc = bk_run_config_default;
    struct bk_ice_config ic = bk_ice_config_default;
    struct neighbour all[NEIGHBOURS] = {{NULL, 0}};
    struct bk_run *run;
    uv_loop_t uv;
    (void)state;
    assert_int_equal(uv_loop_init(&uv), 0);
    rc.uv_loop = &uv;
    rc.loopback = true;
    rc.interfaces = "lo";
    ic.ipv6 = false;
    ic.rng = bk_run_rng();
    ic.servers[0] = (struct bk_ice_server){"turn:127.0.0.1:9", "u", "p"};
    assert_int_equal(bk_run_new(&rc, &run), BK_OK);
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        ic.server_count = i >= 1 && i <= 2; /* those in the middle use TURN */
        assert_int_equal(bk_ice_new(&ic, bk_run_alloc(), &all[i].ice), BK_OK);
        assert_int_equal(bk_run_add(run, all[i].ice, &handlers, &all[i]), BK_OK);
        bk_ice_gather(all[i].ice, bk_run_now(run));
    }
    uv_run(&uv, UV_RUN_NOWAIT);
    assert_true(all[0].port > 0 && all[2].port > 0);
    assert_int_equal(all[1].port, all[0].port); /* the first one may */
    assert_int_not_equal(all[2].port, all[0].port);
    assert_int_equal(all[3].port, all[0].port);
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        bk_run_remove(run, all[i].ice);
        bk_ice_free(all[i].ice);
    }
    bk_run_free(run);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static void what_is_not_ours_is_refused(void **state) {
    struct bk_run_config config = bk_run_config_default;
    struct bk_run *run;
    struct bk_ice *ice;
    const struct bk_run_handlers none = {NULL, NULL};
    struct bk_ice_config ic = bk_ice_config_default;
    (void)state;
    config.size = 1;
    assert_int_equal(bk_run_new(&config, &run), BK_ERR_ARGUMENT);
    config = bk_run_config_default;
    config.agents_max = 0;
    assert_int_equal(bk_run_new(&config, &run), BK_ERR_ARGUMENT);
    config.agents_max = 1;
    assert_int_equal(bk_run_new(&config, &run), BK_OK);
    ic.rng = bk_run_rng();
    assert_int_equal(bk_ice_new(&ic, bk_run_alloc(), &ice), BK_OK);
    assert_int_equal(bk_run_send(run, ice, 0, 1, "x", 1), BK_ERR_NOT_FOUND);
    bk_run_poke(run, ice);
    bk_run_remove(run, ice);
    assert_int_equal(bk_run_add(run, ice, &none, NULL), BK_OK);
    assert_int_equal(bk_run_add(run, ice, &none, NULL), BK_ERR_EXISTS);
    assert_int_equal(bk_run_send(run, ice, 0, 1, "x", 1), BK_ERR_STATE);
    struct bk_ice *second;
    assert_int_equal(bk_ice_new(&ic, bk_run_alloc(), &second), BK_OK);
    assert_int_equal(bk_run_add(run, second, &none, NULL), BK_ERR_FULL);
    bk_ice_free(second);
    bk_run_free(run); /* with an agent in it */
    bk_ice_free(ice);
    bk_run_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_agents_connect_and_talk),
        cmocka_unit_test(streams_and_components_have_ports_of_their_own),
        cmocka_unit_test(a_restart_needs_no_new_socket),
        cmocka_unit_test(a_train_arrives_as_its_messages),
        cmocka_unit_test(agents_may_have_ports_of_their_own),
        cmocka_unit_test(agents_with_turn_do_not_share_a_port),
        cmocka_unit_test(what_is_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
