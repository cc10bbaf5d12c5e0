/* SPDX-License-Identifier: MIT
 * Everything may be called from a handler, and the agent may end in each. */
/* libuv needs POSIX threads. */
#define _GNU_SOURCE
#include "duo.h"

static struct duo duo;

static void drop_when_connected(struct duo_side *s, const struct bk_ice_event *event) {
    if (event->kind == BK_ICE_ON_CONNECTED)
        duo_drop(s);
}

static bool first_is_gone(const struct duo *d) {
    return d->sides[0].ice == NULL;
}

static bool both_are_gone(const struct duo *d) {
    return d->sides[0].ice == NULL && d->sides[1].ice == NULL;
}

static void an_agent_may_end_in_its_event_handler(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo.sides[0].on_event = drop_when_connected;
    duo_begin(&duo);
    duo_run_until(&duo, first_is_gone);
    duo_fini(&duo);
}

static void drop_on_data(struct duo_side *s, const struct bk_ice_data *data) {
    (void)data;
    duo_drop(s);
}

/* Several messages in one batch: what comes after the end must not reach the dead. */
static void an_agent_may_end_in_its_data_handler(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo.sides[0].on_data = drop_on_data;
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    for (int i = 0; i < 20; i++)
        duo_say(&duo.sides[1], "over");
    duo_run_until(&duo, first_is_gone);
    assert_int_equal(duo.sides[0].messages, 1);
    duo_fini(&duo);
}

/* The same where its socket goes with it, which has more in its hands: lengths that grow are not
 * joined to a train. */
static void an_agent_may_end_with_its_ports_in_its_data_handler(void **state) {
    static const char text[] = "over and over and over and over";
    struct bk_run_config run_config = bk_run_config_default;
    (void)state;
    run_config.own_ports = true;
    duo_init(&duo, &run_config, &bk_ice_config_default);
    duo.sides[0].on_data = drop_on_data;
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    for (size_t len = 10; len < sizeof text; len++)
        assert_int_equal(bk_run_send(duo.sides[1].run, duo.sides[1].ice, 0, 1, text, len), BK_OK);
    duo_run_until(&duo, first_is_gone);
    assert_int_equal(duo.sides[0].messages, 1);
    duo_fini(&duo);
}

static void drop_both(struct duo_side *s, const struct bk_ice_event *event) {
    if (event->kind != BK_ICE_ON_SELECTED)
        return;
    struct duo_side *other = duo_other(s);
    duo_drop(other);
    duo_drop(s);
}

static void an_agent_may_end_the_other_one(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo.sides[0].on_event = drop_both;
    duo_begin(&duo);
    duo_run_until(&duo, both_are_gone);
    duo_fini(&duo);
}

static void close_when_connected(struct duo_side *s, const struct bk_ice_event *event) {
    if (event->kind == BK_ICE_ON_SELECTED)
        bk_ice_close(s->ice, bk_run_now(s->run));
}

static bool first_is_closed(const struct duo *d) {
    return d->sides[0].closed > 0;
}

static void closing_in_a_handler_ends_with_an_event(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo.sides[0].on_event = close_when_connected;
    duo_begin(&duo);
    duo_run_until(&duo, first_is_closed);
    assert_int_equal(duo.sides[0].closed, 1);
    duo_fini(&duo);
}

static void answer_data(struct duo_side *s, const struct bk_ice_data *data) {
    if (s->messages < 100)
        assert_int_equal(bk_run_send(s->run, s->ice, 0, 1, data->data, data->len), BK_OK);
}

static bool first_has_heard_many(const struct duo *d) {
    return d->sides[0].messages >= 99;
}

static void data_may_be_sent_from_the_data_handler(void **state) {
    (void)state;
    duo_init(&duo, &bk_run_config_default, &bk_ice_config_default);
    duo.sides[0].on_data = duo.sides[1].on_data = answer_data;
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    duo_say(&duo.sides[0], "to and fro");
    duo_run_until(&duo, first_has_heard_many);
    assert_string_equal(duo.sides[0].heard, "to and fro");
    duo_fini(&duo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_may_end_in_its_event_handler),
        cmocka_unit_test(an_agent_may_end_in_its_data_handler),
        cmocka_unit_test(an_agent_may_end_with_its_ports_in_its_data_handler),
        cmocka_unit_test(an_agent_may_end_the_other_one),
        cmocka_unit_test(closing_in_a_handler_ends_with_an_event),
        cmocka_unit_test(data_may_be_sent_from_the_data_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
