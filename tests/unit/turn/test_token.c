/* SPDX-License-Identifier: MIT
 * Third-party authorization, RFC 7635: tokens alone, and at a service. */
#include "ask.h"

#include "crypto/aead.h"
#include "wire/writer.h"

#include <stdio.h>
#include <string.h>

static const char server[] = "turn.example";
static const struct turn_token_key keys[] = {
    {"north", {1, 2, 3, 4}, AEAD_KEY_256},
    {"south", {5, 6, 7, 8}, AEAD_KEY_128},
};

/* 2026-11-21, when the tests' clock was 0 */
static const int64_t unix_us = INT64_C(1795219200) * BK_US_PER_S;

static const struct turn_tokens tokens = {server, keys, 2, INT64_C(1795219200) * BK_US_PER_S};

struct made {
    uint8_t bytes[256];
    size_t len;
};

struct recipe {
    const struct turn_token_key *key;
    const char *server;
    struct bk_time at;
    uint32_t lifetime_s;
    uint8_t mac_key[64];
    size_t mac_len;
};

static struct recipe recipe_at(struct bk_time at) {
    struct recipe r = {&keys[0], server, at, 3600, {9, 9, 9}, 20};
    return r;
}

/* As section 6.2 draws it. */
static struct made make(const struct recipe *m) {
    struct made out;
    uint8_t plain[128];
    static const uint8_t nonce[12] = {7};
    struct wire_writer p = wire_writer(plain, sizeof plain);
    wire_put_u16(&p, (uint16_t)m->mac_len);
    wire_put_bytes(&p, m->mac_key, m->mac_len);
    uint64_t us = (uint64_t)(m->at.us + unix_us);
    wire_put_u64(&p, us / 1000000 << 16 | us % 1000000 * 64000 / 1000000);
    wire_put_u32(&p, m->lifetime_s);
    struct wire_writer w = wire_writer(out.bytes, sizeof out.bytes);
    wire_put_u16(&w, sizeof nonce);
    wire_put_bytes(&w, nonce, sizeof nonce);
    const struct aead a = {
        m->key->key, m->key->len, {nonce, sizeof nonce}, {m->server, strlen(m->server)}};
    aead_seal(&a, plain, p.len, out.bytes + w.len);
    out.len = w.len + p.len + AEAD_TAG_LEN;
    return out;
}

static enum bk_err open_at(const struct made *m, struct bk_time now, struct turn_token *out) {
    uint8_t *copy = malloc(m->len == 0 ? 1 : m->len); /* so that reading too far is seen */
    assert_non_null(copy);
    memcpy(copy, m->bytes, m->len);
    const struct wire_span span = {copy, m->len};
    enum bk_err err = turn_token_open(&tokens, &keys[0], &span, now, out);
    free(copy);
    return err;
}

static void only_the_right_token_opens(void **state) {
    struct turn_token t;
    struct bk_time now = test_at_ms(5000);
    struct recipe r = recipe_at(now);
    struct made good = make(&r), bad;
    (void)state;
    assert_int_equal(open_at(&good, now, &t), BK_OK);
    assert_int_equal(t.key_len, 20);
    assert_memory_equal(t.key, r.mac_key, 20);
    assert_int_equal(t.lifetime_s, 3600);
    for (size_t i = 0; i < good.len; i++) {
        bad = good;
        bad.bytes[i] ^= 0x40;
        assert_int_not_equal(open_at(&bad, now, &t), BK_OK);
        bad = good;
        bad.len = i;
        assert_int_not_equal(open_at(&bad, now, &t), BK_OK);
    }
    r.server = "turn.example.org"; /* made for another server */
    bad = make(&r);
    assert_int_equal(open_at(&bad, now, &t), BK_ERR_AUTH);
    r = recipe_at(now);
    r.key = &keys[1];
    bad = make(&r);
    assert_int_equal(open_at(&bad, now, &t), BK_ERR_AUTH);
    r = recipe_at(now); /* sealed well, and longer than anything we keep */
    r.mac_len = 33;
    bad = make(&r);
    assert_int_equal(open_at(&bad, now, &t), BK_ERR_MALFORMED);
    r.mac_len = 0;
    bad = make(&r);
    assert_int_equal(open_at(&bad, now, &t), BK_ERR_MALFORMED);
}

/* Section 6.2: lifetime + 5 s > |now - timestamp|. */
static void a_token_has_its_time(void **state) {
    struct turn_token t;
    struct bk_time at = test_at_ms(100000);
    const struct recipe r = recipe_at(at);
    struct made m = make(&r);
    (void)state;
    assert_int_equal(open_at(&m, bk_after(at, 3604 * BK_US_PER_S), &t), BK_OK);
    assert_int_equal(t.lifetime_s, 1);
    assert_int_equal(open_at(&m, bk_after(at, 3605 * BK_US_PER_S), &t), BK_ERR_TIMEOUT);
    assert_int_equal(open_at(&m, bk_after(at, -4 * BK_US_PER_S), &t), BK_OK);
    assert_int_equal(open_at(&m, bk_after(at, -6 * BK_US_PER_S), &t), BK_ERR_TIMEOUT);
}

static void learn(struct asker *a, const char *kid) {
    stun_login_fini(&a->login);
    assert_int_equal(stun_login_init(&a->login, kid, "unused"), BK_OK);
    ask_allocate_start(a);
    ask_send(a);
    assert_int_equal(a->code, 401);
}

/* Signs as section 4.2 has it: with the key in the token. */
static void take_key(struct asker *a, const struct recipe *r) {
    assert_int_equal(stun_login_check(&a->login, &a->msg), STUN_LOGIN_RETRY);
    memcpy(a->login.key.bytes, r->mac_key, r->mac_len);
    a->login.key.len = r->mac_len;
}

static void send_with(struct asker *a, uint16_t method, const struct made *m) {
    ask_new(a, STUN_REQUEST, method);
    if (method == TURN_ALLOCATE)
        stun_put_u32(&a->b, TURN_REQUESTED_TRANSPORT, 17u << 24);
    if (m != NULL)
        stun_put_bytes(&a->b, STUN_ACCESS_TOKEN, m->bytes, m->len);
    ask_send(a);
}

static void a_token_is_good_for_an_allocation(void **state) {
    struct asker a;
    struct wire_span name;
    uint32_t lifetime;
    (void)state;
    ask_init(&a);
    a.config.tokens = tokens;
    ask_start(&a);
    learn(&a, "north");
    assert_int_equal(stun_get_bytes(&a.msg, STUN_THIRD_PARTY_AUTHORIZATION, &name), BK_OK);
    assert_int_equal(name.len, strlen(server));
    assert_true((a.d.len + 28) * 10 <= (a.len + 28) * 26);
    struct recipe r = recipe_at(a.now);
    r.lifetime_s = 120;
    struct made m = make(&r);
    take_key(&a, &r);
    send_with(&a, TURN_ALLOCATE, &m);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 120); /* section 4.1.2: no longer than the token */
    const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};
    ask_permission(&a, &peer); /* without the token: its key is remembered */
    ask_expect(&a, 0);
    ask_wait(&a, 100);
    ask_refresh(&a, 600);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 20);
    r.at = a.now; /* a new token, made with another key, and another one in it */
    r.key = &keys[1];
    (void)snprintf(a.login.user, sizeof a.login.user, "%s", keys[1].kid);
    r.mac_key[0] = 77;
    m = make(&r);
    memcpy(a.login.key.bytes, r.mac_key, r.mac_len);
    send_with(&a, TURN_REFRESH, &m);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 120);
    ask_refresh(&a, 0);
    ask_expect(&a, 0);
    ask_refresh(&a, 0); /* forgotten with the allocation */
    assert_int_equal(a.code, 401);
    ask_fini(&a);
}

static void keys_change_while_it_runs(void **state) {
    static const struct turn_tokens none = {.server = NULL}, one = {server, &keys[1], 1, 0},
                                    wrong = {"", keys, 1, 0};
    struct asker a;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    assert_int_equal(turn_service_set_tokens(a.service, &wrong), BK_ERR_ARGUMENT);
    assert_int_equal(turn_service_set_tokens(a.service, &tokens), BK_OK);
    learn(&a, "north");
    struct recipe r = recipe_at(a.now);
    struct made m = make(&r);
    take_key(&a, &r);
    send_with(&a, TURN_ALLOCATE, &m);
    ask_expect(&a, 0);
    assert_int_equal(turn_service_set_tokens(a.service, &one), BK_OK); /* north's is gone */
    ask_refresh(&a, 600);
    assert_int_equal(a.code, 401);
    assert_int_equal(turn_service_set_tokens(a.service, &none), BK_OK);
    send_with(&a, TURN_ALLOCATE, &m);
    assert_int_equal(a.code, 401); /* and nobody is sent to makers of tokens any more */
    assert_false(stun_has(&a.msg, STUN_THIRD_PARTY_AUTHORIZATION));
    ask_fini(&a);
}

/* As coturn does it: with the first 16 bytes of 20. */
static void the_beginning_of_a_key_will_do(void **state) {
    struct asker a;
    const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};
    (void)state;
    for (size_t len = 14; len <= 20; len++) {
        ask_init(&a);
        a.config.tokens = tokens;
        ask_start(&a);
        learn(&a, "north");
        struct recipe r = recipe_at(a.now);
        memset(r.mac_key, 1,
               sizeof r.mac_key); /* HMAC pads with zeros: they would count for none */
        struct made m = make(&r);
        take_key(&a, &r);
        a.login.key.len = len;
        send_with(&a, TURN_ALLOCATE, &m);
        bool good = len == 16 || len == 20;
        assert_int_equal(a.code, good ? 0 : 401);
        if (good) {
            ask_expect(&a, 0); /* signed with the same */
            ask_permission(&a, &peer);
            ask_expect(&a, 0);
            ask_refresh(&a, 600);
            ask_expect(&a, 0);
        }
        ask_fini(&a);
    }
}

static void others_are_refused(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.tokens = tokens;
    ask_start(&a);
    learn(&a, "north");
    struct recipe r = recipe_at(a.now);
    struct made m = make(&r);
    take_key(&a, &r);
    a.login.key.bytes[0] ^= 1; /* not the key in the token */
    send_with(&a, TURN_ALLOCATE, &m);
    assert_int_equal(a.code, 401);
    learn(&a, "east"); /* nobody we know */
    take_key(&a, &r);
    send_with(&a, TURN_ALLOCATE, &m);
    assert_int_equal(a.code, 401);
    learn(&a, "north");
    r.at = bk_after(a.now, -7200 * BK_US_PER_S);
    m = make(&r);
    take_key(&a, &r);
    send_with(&a, TURN_ALLOCATE, &m);
    assert_int_equal(a.code, 401);
    a.client = ask_client(2); /* users with a password go on as before */
    (void)ask_allocate(&a, 2);
    ask_fini(&a);
    ask_init(&a); /* without the extension, who is known otherwise gets 420 */
    ask_start(&a);
    ask_learn(&a);
    send_with(&a, TURN_ALLOCATE, &m);
    ask_expect(&a, 420);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_token_opens),
        cmocka_unit_test(a_token_has_its_time),
        cmocka_unit_test(a_token_is_good_for_an_allocation),
        cmocka_unit_test(keys_change_while_it_runs),
        cmocka_unit_test(the_beginning_of_a_key_will_do),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
