/* SPDX-License-Identifier: MIT
 * Users whose keys change, and users whose time is over. */
#include "ask.h"

/* Passwords of one name, newest first; NULL ends. */
struct rotation {
    const char *passwords[4];
    bool ended;
};

static bool key_of(const struct rotation *r, unsigned n, const struct stun_claim *claim,
                   struct turn_user *out) {
    if (r->passwords[n] == NULL)
        return false;
    out->id = 7;
    out->ended = r->ended;
    return stun_key_long("george", "bodkin", r->passwords[n], claim->algorithm, &out->key) == BK_OK;
}

static enum turn_found find(void *ctx, const struct stun_claim *claim, struct turn_user *out) {
    return key_of(ctx, 0, claim, out) ? TURN_USER_FOUND : TURN_USER_UNKNOWN;
}

static bool another(void *ctx, const struct stun_claim *claim, unsigned n, struct turn_user *out) {
    return key_of(ctx, n, claim, out);
}

static void start(struct asker *a, struct rotation *r) {
    ask_init(a);
    a->config.users = (struct turn_users){find, another, r};
    ask_start(a);
}

static void any_of_several_keys_will_do(void **state) {
    static const char *const good[] = {"new", "old", "oldest"};
    struct rotation r = {.passwords = {"new", "old", "oldest"}};
    struct asker a;
    (void)state;
    start(&a, &r);
    for (unsigned i = 0; i < 3; i++) {
        a.user.password = good[i];
        (void)ask_allocate(&a, i + 1); /* the answer is signed with the key that fitted */
    }
    a.user.password = "none of them";
    a.client = ask_client(4);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 401);
    r.passwords[1] = NULL; /* taken out of service */
    a.user.password = "old";
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 401);
    ask_fini(&a);
}

static void whose_time_is_over_goes_on_but_does_not_begin(void **state) {
    struct rotation r = {.passwords = {"secret"}};
    struct asker a;
    (void)state;
    start(&a, &r);
    (void)ask_allocate(&a, 1);
    r.ended = true;
    ask_refresh(&a, 600);
    ask_expect(&a, 0);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 401);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_of_several_keys_will_do),
        cmocka_unit_test(whose_time_is_over_goes_on_but_does_not_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
