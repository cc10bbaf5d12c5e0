/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "server/users.h"
#include "server/users_rest.h"

static const char realm[] = "bodkin";

static struct users_book *new_book(uint32_t max) {
    static struct rng_seeded seed;
    struct users_book *b;
    rng_seed(&seed, 5);
    const struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(users_book_new(realm, max, &rng, &test_alloc, &b), BK_OK);
    return b;
}

static void add(struct users_book *b, const char *name, const char *password) {
    struct users_entry e;
    assert_int_equal(users_entry_make(name, realm, password, &e), BK_OK);
    assert_int_equal(users_book_add(b, name, &e), BK_OK);
}

static struct stun_claim claim_of(const char *name, enum stun_algorithm algorithm) {
    const struct stun_claim c = {.user = {(const uint8_t *)name, strlen(name)},
                                 .algorithm = algorithm};
    return c;
}

static void same_key(const struct turn_user *u, const char *name, const char *password,
                     enum stun_algorithm algorithm) {
    struct stun_key key;
    assert_int_equal(stun_key_long(name, realm, password, algorithm, &key), BK_OK);
    assert_int_equal(u->key.len, key.len);
    assert_memory_equal(u->key.bytes, key.bytes, key.len);
}

static void a_user_is_found_by_name_and_by_hash(void **state) {
    struct users_book *b = new_book(10);
    struct turn_user named, hashed;
    uint8_t hash[STUN_USERHASH_LEN];
    (void)state;
    add(b, "alice", "sesame");
    add(b, "bob", "tahini");
    for (int i = 0; i < 2; i++) {
        enum stun_algorithm algorithm = i == 0 ? STUN_ALGORITHM_MD5 : STUN_ALGORITHM_SHA256;
        struct stun_claim c = claim_of("alice", algorithm);
        assert_int_equal(users_book_find(b, &c, 0, &named), TURN_USER_FOUND);
        same_key(&named, "alice", "sesame", algorithm);
        stun_userhash("alice", realm, hash);
        c.user = (struct wire_span){NULL, 0};
        c.hash = (struct wire_span){hash, sizeof hash};
        assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_FOUND);
        assert_memory_equal(&named.key, &hashed.key, sizeof named.key);
        assert_true(named.id == hashed.id && named.id != 0);
        assert_string_equal(named.name, "alice");
        assert_string_equal(hashed.name, "alice"); /* that it is hidden is for others on the way */
        c.hash.len = 31;
        assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_UNKNOWN);
    }
    struct stun_claim c = claim_of("bob", STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_FOUND);
    assert_true(hashed.id != named.id);
    c = claim_of("carol", STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_UNKNOWN);
    c = claim_of("", STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_UNKNOWN);
    c = (struct stun_claim){.user = {(const uint8_t *)"alice\0x", 7}};
    assert_int_equal(users_book_find(b, &c, 0, &hashed), TURN_USER_UNKNOWN);
    users_book_unref(b);
}

static void keys_take_the_place_of_passwords(void **state) {
    struct users_book *b = new_book(10);
    struct turn_user u;
    (void)state;
    /* MD5 of "gorst:north.gov:hero", as other servers print it */
    add(b, "gorst", "0x7da2270ccfa49786e0115366d3a3d14d");
    struct stun_claim c = claim_of("gorst", STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 0, &u), TURN_USER_FOUND);
    assert_int_equal(u.key.len, 16);
    assert_int_equal(u.key.bytes[0], 0x7d);
    assert_int_equal(u.key.bytes[15], 0x4d);
    c.algorithm = STUN_ALGORITHM_SHA256; /* nobody knows that one */
    assert_int_equal(users_book_find(b, &c, 0, &u), TURN_USER_UNKNOWN);
    add(b, "hex", "0x7da2"); /* no key: a password that looks odd */
    c = claim_of("hex", STUN_ALGORITHM_SHA256);
    assert_int_equal(users_book_find(b, &c, 0, &u), TURN_USER_FOUND);
    same_key(&u, "hex", "0x7da2", STUN_ALGORITHM_SHA256);
    users_book_unref(b);
}

static void a_book_has_its_limits(void **state) {
    struct users_book *b = new_book(2);
    const struct users_entry e = {.has_md5 = true};
    struct users_entry made;
    (void)state;
    assert_int_equal(users_book_add(b, "a", &e), BK_OK);
    assert_int_equal(users_book_add(b, "a", &e), BK_ERR_EXISTS);
    assert_int_equal(users_book_add(b, "", &e), BK_ERR_ARGUMENT);
    assert_int_equal(users_book_add(b, "b", &e), BK_OK);
    assert_int_equal(users_book_add(b, "c", &e), BK_ERR_FULL);
    assert_int_equal(users_book_count(b), 2);
    for (int i = 0; i < USERS_SECRETS_MAX; i++)
        assert_int_equal(users_book_add_secret(b, "s"), BK_OK);
    assert_int_equal(users_book_add_secret(b, "s"), BK_ERR_FULL);
    assert_int_equal(users_entry_make("a", realm, "", &made), BK_ERR_ARGUMENT);
    users_book_unref(b);
}

/* As coturn computes them, turnutils_uclient -W, and
 * `printf %s NAME | openssl dgst -sha1 -hmac SECRET -binary | base64`. */
static const struct {
    const char *secret, *name, *password;
} rest_vectors[] = {
    {"north", "1433895918:ninefingers", "jy8hTxmOO7UtEKXqSkSlvakPVYA="},
    {"logen", "1433895918", "4g+EP8tdFlrqJULBUxrvgsMFtPQ="},
    {"4080218913", "2000000000:alice", "4GW5yZCsBPBQRGGTS7fdQhfkIYg="},
};

static void passwords_of_time_limited_names_are_the_usual_ones(void **state) {
    char password[USERS_REST_PASSWORD_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rest_vectors / sizeof rest_vectors[0]; i++) {
        users_rest_password(rest_vectors[i].secret, rest_vectors[i].name, password);
        assert_string_equal(password, rest_vectors[i].password);
    }
}

static const struct {
    const char *name;
    bool good;
    int64_t expires_s;
    const char *who;
} rest_names[] = {
    {"1433895918:ninefingers", true, 1433895918, "ninefingers"},
    {"1433895918", true, 1433895918, "1433895918"},
    {"1433895918:a:b", true, 1433895918, "a:b"},
    {"0:x", true, 0, "x"},
    {"1433895918:", false, 0, NULL},
    {"ninefingers:1433895918", false, 0, NULL},
    {":x", false, 0, NULL},
    {"", false, 0, NULL},
    {"12x:y", false, 0, NULL},
    {"-1:x", false, 0, NULL},
    {"999999999999999999:x", true, 999999999999999999, "x"},
    {"9999999999999999999:x", false, 0, NULL},
};

static void time_limited_names_are_told_from_others(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rest_names / sizeof rest_names[0]; i++) {
        struct users_rest r;
        if (users_rest_parse(rest_names[i].name, &r) != rest_names[i].good)
            fail_msg("%s", rest_names[i].name);
        if (!rest_names[i].good)
            continue;
        assert_int_equal(r.expires_s, rest_names[i].expires_s);
        assert_string_equal(r.who, rest_names[i].who);
    }
}

static void secrets_rotate_and_names_end(void **state) {
    static const char name[] = "2000:alice", later[] = "3000:alice";
    struct users_book *b = new_book(4);
    struct stun_claim c = claim_of(name, STUN_ALGORITHM_SHA256);
    struct turn_user u, other;
    char password[USERS_REST_PASSWORD_MAX];
    (void)state;
    assert_int_equal(users_book_find(b, &c, 1000, &u), TURN_USER_UNKNOWN);
    assert_int_equal(users_book_add_secret(b, "new"), BK_OK);
    assert_int_equal(users_book_add_secret(b, "old"), BK_OK);
    assert_int_equal(users_book_find(b, &c, 1999, &u), TURN_USER_FOUND);
    assert_false(u.ended);
    users_rest_password("new", name, password);
    same_key(&u, name, password, STUN_ALGORITHM_SHA256);
    assert_true(users_book_another(b, &c, 1, 1999, &u));
    users_rest_password("old", name, password);
    same_key(&u, name, password, STUN_ALGORITHM_SHA256);
    assert_false(users_book_another(b, &c, 2, 1999, &u));
    assert_int_equal(users_book_find(b, &c, 2000, &u), TURN_USER_FOUND);
    assert_true(u.ended);
    c = claim_of(later, STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 2000, &other), TURN_USER_FOUND);
    assert_true(other.id == u.id); /* one user, whatever the password of the hour */
    add(b, "alice", "x");
    c = claim_of("alice", STUN_ALGORITHM_MD5);
    assert_int_equal(users_book_find(b, &c, 0, &other), TURN_USER_FOUND);
    assert_true(other.id == u.id);
    assert_false(users_book_another(b, &c, 1, 0, &u)); /* a kept user has one password */
    users_book_unref(b);
}

static void a_new_book_takes_over_with_the_next_request(void **state) {
    struct users_book *first = new_book(2), *second = new_book(2), *third = new_book(2);
    struct users_seat seat;
    struct turn_user u;
    struct stun_claim alice = claim_of("alice", STUN_ALGORITHM_MD5),
                      bob = claim_of("bob", STUN_ALGORITHM_MD5);
    (void)state;
    add(first, "alice", "a");
    add(third, "bob", "b");
    users_seat_init(&seat, first);
    const struct turn_users source = users_seat_source(&seat);
    assert_int_equal(source.find(source.ctx, &alice, &u), TURN_USER_FOUND);
    users_seat_give(&seat, second);
    users_seat_give(&seat, third); /* the second was never needed */
    users_book_unref(first);
    users_book_unref(second);
    users_book_unref(third);
    assert_int_equal(source.find(source.ctx, &alice, &u), TURN_USER_UNKNOWN);
    assert_int_equal(source.find(source.ctx, &bob, &u), TURN_USER_FOUND);
    users_seat_fini(&seat);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_is_found_by_name_and_by_hash),
        cmocka_unit_test(keys_take_the_place_of_passwords),
        cmocka_unit_test(a_book_has_its_limits),
        cmocka_unit_test(passwords_of_time_limited_names_are_the_usual_ones),
        cmocka_unit_test(time_limited_names_are_told_from_others),
        cmocka_unit_test(secrets_rotate_and_names_end),
        cmocka_unit_test(a_new_book_takes_over_with_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
