/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"

#include <bodkin/checker.h>

static struct rng_seeded seed;
static struct bk_rng rng;

static struct bk_checker_config good(void) {
    rng_seed(&seed, 1);
    rng = rng_from_seeded(&seed);
    struct bk_checker_config c = bk_checker_config_default;
    c.rng = &rng;
    return c;
}

static void the_default_needs_only_randomness(void **state) {
    (void)state;
    struct bk_checker_config c = good();
    assert_null(bk_checker_config_check(&c));
    assert_string_equal(bk_checker_config_check(&bk_checker_config_default), "rng");
}

static void every_field_is_checked_by_name(void **state) {
    (void)state;
    struct bk_checker_config c = good();
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        c = good();                                                                                \
        c.field = (value);                                                                         \
        assert_string_equal(bk_checker_config_check(&c), #field);                                  \
    } while (0)
    BAD(size, sizeof c - 1);
    BAD(ta_us, 999);
    BAD(burst, 0);
    BAD(rto_min_us, 1);
    BAD(check_tries, 0);
    BAD(check_tries, 11);
    BAD(check_wait, 65);
    BAD(consent_us, 0);
    BAD(consent_expiry_us, 0);
    BAD(probe_rto_us, 0);
    BAD(probe_tries, 0);
    BAD(retry_tries, 0);
    BAD(locals_max, 0);
    BAD(remotes_max, 5000);
    BAD(pairs_max, 0);
    BAD(pairs_max, 5000);
    BAD(events_max, 7);
    BAD(streams, 0);
    BAD(streams, 257);
    BAD(components, 0);
    BAD(components, 257);
    BAD(tcp_wait_us, 999999);
    BAD(doubt_us, 49999);
    BAD(silent_us, UINT32_C(3600000001));
#undef BAD
    c = good();
    c.streams = c.components = 33; /* 1089 in all */
    assert_string_equal(bk_checker_config_check(&c), "components");
    c = good();
    c.pwd = "0123456789012345678901"; /* one without the other */
    assert_string_equal(bk_checker_config_check(&c), "ufrag");
    c.ufrag = "mine";
    c.pwd = "short";
    assert_string_equal(bk_checker_config_check(&c), "pwd");
}

static void mtu_sizes_rise_in_steps_of_four(void **state) {
    (void)state;
    struct bk_checker_config c = good();
    c.mtu_sizes[1] = c.mtu_sizes[0];
    assert_string_equal(bk_checker_config_check(&c), "mtu_sizes");
    c = good();
    c.mtu_sizes[0] = 1199;
    assert_string_equal(bk_checker_config_check(&c), "mtu_sizes");
    c.mtu_sizes[0] = 0; /* no test wanted */
    assert_null(bk_checker_config_check(&c));
}

static void given_credentials_are_used(void **state) {
    (void)state;
    struct bk_checker_config c = good();
    struct bk_checker *ice = NULL;
    c.ufrag = "mine";
    c.pwd = "0123456789012345678901";
    assert_int_equal(bk_checker_new(&c, &test_alloc, &ice), BK_OK);
    assert_string_equal(bk_checker_ufrag(ice), "mine");
    assert_string_equal(bk_checker_pwd(ice), c.pwd);
    bk_checker_free(ice);
    bk_checker_free(NULL);
}

/* The n-th request for memory fails: nothing leaks (the sanitizer sees to that). */
static int gets_left;

static void *scarce_get(void *ctx, size_t size) {
    (void)ctx;
    return gets_left-- > 0 ? calloc(1, size) : NULL;
}

static void missing_memory_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    struct bk_alloc scarce = {scarce_get, test_put, NULL};
    struct bk_checker_config c = good();
    struct bk_checker *ice = NULL;
    int n = 0;
    for (;; n++) {
        gets_left = n;
        enum bk_err err = bk_checker_new(&c, &scarce, &ice);
        if (err == BK_OK)
            break;
        assert_int_equal(err, BK_ERR_NO_MEMORY);
        assert_null(ice);
    }
    assert_in_range(n, 5, 20);
    bk_checker_free(ice);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_needs_only_randomness),
        cmocka_unit_test(every_field_is_checked_by_name),
        cmocka_unit_test(mtu_sizes_rise_in_steps_of_four),
        cmocka_unit_test(given_credentials_are_used),
        cmocka_unit_test(missing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
