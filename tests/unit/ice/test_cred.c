/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "ice/cred.h"

static const char pwd22[] = "0123456789012345678901";

static void lengths_and_characters_are_those_of_rfc_8839(void **state) {
    (void)state;
    char longest[258];
    memset(longest, 'a', 257);
    longest[257] = '\0';
    const struct {
        const char *ufrag, *pwd;
        enum bk_err want;
    } cases[] = {
        {"abcd", pwd22, BK_OK},
        {"abc", pwd22, BK_ERR_ARGUMENT},
        {"abcd", pwd22 + 1, BK_ERR_ARGUMENT},
        {"", pwd22, BK_ERR_ARGUMENT},
        {"ab:d", pwd22, BK_ERR_ARGUMENT},
        {"a+/9", pwd22, BK_OK},
        {"abcd", "0123456789 12345678901", BK_ERR_ARGUMENT},
        {longest + 1, longest + 1, BK_OK}, /* 256 */
        {longest, pwd22, BK_ERR_ARGUMENT}, /* 257 */
        {"abcd", longest, BK_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ice_cred c = {.ufrag = ""};
        assert_int_equal(ice_cred_set(&c, cases[i].ufrag, cases[i].pwd), cases[i].want);
        assert_int_equal(ice_cred_is_set(&c), cases[i].want == BK_OK);
    }
}

static void made_credentials_are_valid_and_differ(void **state) {
    (void)state;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    struct ice_cred a = {.ufrag = ""}, b = a, c = a;
    ice_cred_make(&a, &rng);
    ice_cred_make(&b, &rng);
    assert_int_equal(ice_cred_set(&c, a.ufrag, a.pwd), BK_OK);
    assert_string_not_equal(a.ufrag, b.ufrag);
    assert_string_not_equal(a.pwd, b.pwd);
    assert_true(ice_cred_equal(ice_cred_view(&a), c.ufrag, c.pwd));
    assert_false(ice_cred_equal(ice_cred_view(&a), a.ufrag, b.pwd));
    assert_false(ice_cred_equal(ice_cred_view(&a), b.ufrag, a.pwd));
}

static void a_username_is_addressed_by_its_first_half(void **state) {
    (void)state;
    struct ice_cred c = {.ufrag = ""}, none = c;
    assert_int_equal(ice_cred_set(&c, "ours", pwd22), BK_OK);
    const struct {
        const char *username;
        bool want;
    } cases[] = {{"ours:theirs", true}, {"ours:", true},    {"ours", false},
                 {"our", false},        {"ours2:x", false}, {"theirs:ours", false},
                 {"Ours:x", false},     {"", false},        {":ours", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_span s = {(const uint8_t *)cases[i].username, strlen(cases[i].username)};
        assert_int_equal(ice_cred_is_addressed(ice_cred_view(&c), s), cases[i].want);
        assert_false(
            ice_cred_is_addressed(ice_cred_view(&none), s)); /* unset credentials match nothing */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_characters_are_those_of_rfc_8839),
        cmocka_unit_test(made_credentials_are_valid_and_differ),
        cmocka_unit_test(a_username_is_addressed_by_its_first_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
