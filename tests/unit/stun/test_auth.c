/* SPDX-License-Identifier: MIT
 * Credentials: texts and keys, the short-term check, and whole long-term exchanges between our
 * client, our server, and people in the middle. */
#include "../test.h"

#include "../../vectors/stun.h"
#include "stun/auth.h"
#include "stun/nonce.h"
#include "stun/seal.h"

enum { CAP = 1024, FAR_MS = 3600 * 1000 };

static const uint8_t secret[32] = {1, 2, 3};
static const uint8_t txid[STUN_TXID_LEN] = {7};

static struct bk_addr client_addr(void) {
    return bk_addr(bk_ipv4(192, 0, 2, 9), 4000);
}

static struct stun_msg parsed(const uint8_t *data, size_t len) {
    struct stun_msg m;
    assert_int_equal(stun_parse(&m, data, len), BK_OK);
    return m;
}

static struct stun_msg finished(struct stun_builder *b) {
    size_t len;
    assert_int_equal(stun_finish(b, &len), BK_OK);
    return parsed(b->w.data, len);
}

static void test_texts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum bk_err err;
    } cases[] = {
        {"user", BK_OK},
        {"with space", BK_OK},
        {RFC5769_USERNAME, BK_OK},
        {"\xf0\x9f\x94\x91", BK_OK},
        {"", BK_ERR_ARGUMENT},
        {"tab\there", BK_ERR_ARGUMENT},
        {"line\n", BK_ERR_ARGUMENT},
        {"\x7f", BK_ERR_ARGUMENT},
        {"c1 \xc2\x85", BK_ERR_ARGUMENT},
        {"latin \xe9", BK_ERR_ARGUMENT},
        {"overlong \xc0\xaf", BK_ERR_ARGUMENT},
        {"overlong \xe0\x80\xaf", BK_ERR_ARGUMENT},
        {"surrogate \xed\xa0\x80", BK_ERR_ARGUMENT},
        {"beyond \xf4\x90\x80\x80", BK_ERR_ARGUMENT},
        {"cut \xe3\x83", BK_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (stun_text_check(cases[i].text, strlen(cases[i].text)) != cases[i].err)
            fail_msg("case %zu: \"%s\"", i, cases[i].text);
}

static void test_keys(void **state) {
    (void)state;
    /* RFC 8489 section 9.2.2 */
    static const uint8_t example[] = {0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb,
                                      0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb};
    char longest[STUN_KEY_MAX + 2];
    struct stun_key key;
    assert_int_equal(stun_key_long("user", "realm", "pass", STUN_ALGORITHM_MD5, &key), BK_OK);
    assert_int_equal(key.len, 16);
    assert_memory_equal(key.bytes, example, 16);
    assert_int_equal(stun_key_long("user", "realm", "pass", (enum stun_algorithm)3, &key),
                     BK_ERR_UNSUPPORTED);
    assert_int_equal(stun_key_long("user", "", "pass", STUN_ALGORITHM_MD5, &key), BK_ERR_ARGUMENT);
    assert_int_equal(stun_key_short("secret", &key), BK_OK);
    assert_int_equal(key.len, 6);
    assert_int_equal(stun_key_short("se\1cret", &key), BK_ERR_ARGUMENT);
    memset(longest, 'x', sizeof longest);
    longest[STUN_KEY_MAX] = '\0';
    assert_int_equal(stun_key_short(longest, &key), BK_OK);
    longest[STUN_KEY_MAX] = 'x';
    longest[STUN_KEY_MAX + 1] = '\0';
    assert_int_equal(stun_key_short(longest, &key), BK_ERR_TOO_LONG);
}

static void test_keys_open_the_vectors(void **state) {
    (void)state;
    struct stun_key key;
    uint8_t hash[STUN_USERHASH_LEN];
    struct wire_span span;
    struct stun_msg m = parsed(rfc5769_long_term, sizeof rfc5769_long_term);
    assert_int_equal(stun_key_long(RFC5769_USERNAME, RFC5769_REALM, RFC5769_LONG_TERM_PASSWORD,
                                   STUN_ALGORITHM_MD5, &key),
                     BK_OK);
    assert_int_equal(stun_check_integrity(&m, key.bytes, key.len), BK_OK);
    m = parsed(rfc8489_b1, sizeof rfc8489_b1);
    assert_int_equal(stun_key_long(RFC5769_USERNAME, RFC5769_REALM, RFC5769_LONG_TERM_PASSWORD,
                                   STUN_ALGORITHM_SHA256, &key),
                     BK_OK);
    assert_int_equal(stun_check_integrity_sha256(&m, key.bytes, key.len), BK_OK);
    stun_userhash(RFC5769_USERNAME, RFC5769_REALM, hash);
    assert_int_equal(stun_get_bytes(&m, STUN_USERHASH, &span), BK_OK);
    assert_memory_equal(span.data, hash, sizeof hash);
}

static void test_short_term(void **state) {
    (void)state;
    static const struct {
        const char *user, *password;
        bool sha256;
        uint16_t want;
    } cases[] = {
        {"a:b", "right", false, 0},    {"a:b", "right", true, 0},    {"a:c", "right", false, 401},
        {"a:b:", "right", false, 401}, {"a:b", "wrong", false, 401}, {"a:b", "wrong", true, 401},
        {NULL, "right", false, 400},   {"a:b", NULL, false, 400},
    };
    struct stun_key key;
    assert_int_equal(stun_key_short("right", &key), BK_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[CAP];
        const char *password = cases[i].password;
        struct stun_builder b = stun_start(buf, CAP, STUN_REQUEST, STUN_BINDING, txid);
        if (cases[i].user != NULL)
            stun_put_bytes(&b, STUN_USERNAME, cases[i].user, strlen(cases[i].user));
        if (password != NULL && cases[i].sha256)
            stun_put_integrity_sha256(&b, password, strlen(password));
        if (password != NULL && !cases[i].sha256)
            stun_put_integrity(&b, password, strlen(password));
        struct stun_msg m = finished(&b);
        if (stun_short_check(&m, "a:b", &key) != cases[i].want)
            fail_msg("case %zu", i);
    }
}

/* RFC 8489 sections 9.1.3 to 9.1.5: one attribute comes back, and it is one that was sent. */
static void test_short_term_answers(void **state) {
    (void)state;
    enum { NONE = 0, SHA1 = STUN_SEAL_SHA1, SHA256 = STUN_SEAL_SHA256, BOTH = 3 };
    static const struct {
        unsigned sent, answered;
        enum bk_err want;
    } cases[] = {
        {SHA1, SHA1, BK_OK},         {SHA256, SHA256, BK_OK},     {BOTH, SHA1, BK_OK},
        {BOTH, SHA256, BK_OK},       {SHA1, NONE, BK_ERR_AUTH},   {SHA256, NONE, BK_ERR_AUTH},
        {SHA256, SHA1, BK_ERR_AUTH}, {SHA1, SHA256, BK_ERR_AUTH},
    };
    struct stun_key key, wrong;
    assert_int_equal(stun_key_short("right", &key), BK_OK);
    assert_int_equal(stun_key_short("wrong", &wrong), BK_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t request_buf[CAP], buf[CAP];
        enum stun_seal got = (enum stun_seal)NONE;
        struct stun_builder b = stun_start(request_buf, CAP, STUN_REQUEST, STUN_BINDING, txid);
        if (cases[i].answered == SHA256)
            stun_put_integrity_sha256(&b, key.bytes, key.len);
        else
            stun_put_integrity(&b, key.bytes, key.len);
        struct stun_msg request = finished(&b);
        b = stun_start_reply(buf, CAP, STUN_SUCCESS, &request);
        if (cases[i].answered != NONE)
            stun_short_sign(&b, &request, &key);
        struct stun_msg m = finished(&b);
        enum bk_err err = stun_short_check_response(&m, cases[i].sent, &key, &got);
        if (err != cases[i].want || (unsigned)got != (err == BK_OK ? cases[i].answered : NONE))
            fail_msg("case %zu", i);
        assert_int_equal(stun_short_check_response(&m, cases[i].sent, &wrong, NULL), BK_ERR_AUTH);
    }
}

static void test_nonce_cookie(void **state) {
    (void)state;
    static const struct {
        const char *nonce;
        unsigned features;
    } cases[] = {
        {"obMatJos2AAAA", 0},
        {"obMatJos2AAABx", NONCE_ALGORITHMS},
        {RFC8489_B1_NONCE, NONCE_ANONYMITY},
        {"obMatJos2AAAD", NONCE_ALGORITHMS | NONCE_ANONYMITY},
        {"obMatJos2gAAA", NONCE_ALGORITHMS}, /* bits counted from the left, section 18.1 */
        {"obMatJos2QAAA", NONCE_ANONYMITY},
        {"obMatJos2AA=D", 0},
        {"obMatJos2AAA", 0},
        {"obMatJos3AAAD", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (nonce_cookie_read((const uint8_t *)cases[i].nonce, strlen(cases[i].nonce)) !=
            cases[i].features)
            fail_msg("%s", cases[i].nonce);
    uint8_t cookie[NONCE_COOKIE_LEN];
    nonce_cookie_write(NONCE_ANONYMITY, cookie);
    assert_memory_equal(cookie, RFC8489_B1_NONCE, NONCE_COOKIE_LEN);
}

/* One server, one account. */
struct server {
    struct stun_realm realm;
    struct bk_time now;
    struct bk_addr from;
    uint16_t last_code;
};

static struct server server_with(bool anonymous) {
    struct server s = {.now = test_at_ms(5000), .from = client_addr()};
    assert_int_equal(stun_realm_init(&s.realm, "example.org", secret, 600 * BK_US_PER_S, anonymous),
                     BK_OK);
    return s;
}

static bool is_alice(const struct stun_claim *c) {
    uint8_t hash[STUN_USERHASH_LEN];
    stun_userhash("alice", "example.org", hash);
    if (c->user.data != NULL)
        return c->user.len == 5 && memcmp(c->user.data, "alice", 5) == 0;
    return memcmp(c->hash.data, hash, sizeof hash) == 0;
}

/* What TURN's server will do with a request; the answer is in `buf`. */
static struct stun_msg answer(struct server *s, const struct stun_msg *request, uint8_t *buf) {
    struct stun_claim claim;
    struct stun_key key;
    uint16_t code = stun_realm_claim(&s->realm, request, &s->from, s->now, &claim);
    if (code == 0) {
        assert_int_equal(stun_key_long("alice", "example.org", "sesame", claim.algorithm, &key),
                         BK_OK);
        code = stun_claim_verify(&claim, request, is_alice(&claim) ? &key : NULL);
    }
    s->last_code = code;
    struct stun_builder b =
        stun_start_reply(buf, CAP, code == 0 ? STUN_SUCCESS : STUN_ERROR, request);
    if (code != 0)
        stun_put_error(&b, code, NULL);
    if (code == 401 || code == 438)
        stun_realm_challenge(&s->realm, &b, &s->from, s->now);
    if (code == 0)
        stun_claim_sign(&claim, &b, &key);
    return finished(&b);
}

static struct stun_msg request_of(const struct stun_login *l, uint8_t *buf) {
    struct stun_builder b = stun_start(buf, CAP, STUN_REQUEST, STUN_BINDING, txid);
    stun_login_put(l, &b);
    return finished(&b);
}

/* One request and its answer. */
static enum stun_login_verdict exchange(struct stun_login *l, struct server *s) {
    uint8_t request[CAP], reply[CAP];
    struct stun_msg q = request_of(l, request);
    struct stun_msg r = answer(s, &q, reply);
    return stun_login_check(l, &r);
}

static struct stun_login login(const char *user, const char *password) {
    struct stun_login l;
    assert_int_equal(stun_login_init(&l, user, password), BK_OK);
    return l;
}

static void test_challenge_and_login(void **state) {
    (void)state;
    for (int anonymous = 0; anonymous < 2; anonymous++) {
        struct server s = server_with(anonymous != 0);
        struct stun_login l = login("alice", "sesame");
        uint8_t buf[CAP];
        struct stun_msg bare = request_of(&l, buf);
        assert_int_equal(bare.len, STUN_HEADER_LEN); /* RFC 8489 section 9.2.3.1 */
        assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
        assert_int_equal(s.last_code, 401);
        struct stun_msg q = request_of(&l, buf);
        assert_int_equal(stun_has(&q, STUN_USERHASH), anonymous);
        assert_int_equal(stun_has(&q, STUN_USERNAME), !anonymous);
        assert_true(q.integrity_sha256_at != 0 && q.integrity_at == 0);
        for (int i = 0; i < 3; i++) { /* and stays logged in */
            assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
            assert_int_equal(s.last_code, 0);
        }
        stun_login_fini(&l);
        stun_realm_fini(&s.realm);
    }
}

static void test_wrong_credentials_are_refused_alike(void **state) {
    (void)state;
    static const char *const wrong[][2] = {{"alice", "Sesame"}, {"mallory", "sesame"}};
    for (size_t i = 0; i < 2; i++) {
        struct server s = server_with(false);
        struct stun_login l = login(wrong[i][0], wrong[i][1]);
        assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
        assert_int_equal(exchange(&l, &s), STUN_LOGIN_REFUSED);
        assert_int_equal(s.last_code, 401);
    }
}

static void test_stale_nonce_is_renewed(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
    for (int i = 0; i < 10; i++) { /* once an hour, for ever */
        s.now.us += FAR_MS * BK_US_PER_MS;
        assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
        assert_int_equal(s.last_code, 438);
        assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
    }
}

/* Their machines were switched on at different times. */
static void test_servers_of_a_fleet_share_nonces(void **state) {
    static const uint8_t newer[32] = {1};
    (void)state;
    struct server a = server_with(false), b = server_with(false);
    struct stun_login l = login("alice", "sesame");
    b.now.us += 3600 * BK_US_PER_S;
    a.realm.clock_us = 7200 * BK_US_PER_S;
    b.realm.clock_us = 3600 * BK_US_PER_S;
    assert_int_equal(exchange(&l, &a), STUN_LOGIN_RETRY);
    assert_int_equal(exchange(&l, &b), STUN_LOGIN_ACCEPT);
    stun_realm_set_secret(&b.realm, newer, secret);
    assert_int_equal(exchange(&l, &b), STUN_LOGIN_ACCEPT);
    stun_realm_set_secret(&b.realm, newer, NULL);
    assert_int_equal(exchange(&l, &b), STUN_LOGIN_RETRY);
    assert_int_equal(b.last_code, 438);
    stun_login_fini(&l);
}

static void test_endless_438_ends(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    enum stun_login_verdict v = STUN_LOGIN_RETRY;
    int tries = 0;
    while (v == STUN_LOGIN_RETRY && tries++ < 20) {
        s.now.us += FAR_MS * BK_US_PER_MS;
        v = exchange(&l, &s);
    }
    assert_int_equal(v, STUN_LOGIN_REFUSED);
    assert_int_equal(tries, STUN_STALE_MAX + 1);
}

/* RFC 8489 section 9.2.4: no two source addresses or ports are given the same nonce. It is good
 * from its address only; a second connection may use that of the first, RFC 6062 section 4.3. */
static void test_a_nonce_is_bound_to_its_client(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    struct stun_login other = login("alice", "sesame");
    s.from.port++;
    assert_int_equal(exchange(&other, &s), STUN_LOGIN_RETRY);
    assert_int_equal(l.nonce_len, other.nonce_len);
    assert_memory_not_equal(l.nonce, other.nonce, l.nonce_len);
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
    s.from.ip.bytes[3]++;
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    assert_int_equal(s.last_code, 438);
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
    /* another worker with the same secret, a little behind, takes it too */
    s.now.us -= BK_US_PER_S / 2;
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_ACCEPT);
    /* a server that restarted with a new secret asks again */
    s.realm.secret[0]++;
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    assert_int_equal(s.last_code, 438);
}

static void test_every_bit_of_a_nonce_counts(void **state) {
    (void)state;
    struct server s = server_with(true);
    struct stun_login l = login("alice", "sesame");
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    for (size_t bit = 0; bit < 8 * l.nonce_len; bit++) {
        uint8_t request[CAP], reply[CAP];
        l.nonce[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct stun_msg q = request_of(&l, request);
        (void)answer(&s, &q, reply);
        l.nonce[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (s.last_code != 438)
            fail_msg("bit %zu: %u", bit, s.last_code);
    }
}

/* A client of RFC 5389 knows no algorithms: MD5 key, MESSAGE-INTEGRITY, and so is the answer. */
static void test_an_old_client_gets_in(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    uint8_t request[CAP], reply[CAP];
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    l.algorithms_len = 0;
    l.algorithm = STUN_ALGORITHM_MD5;
    assert_int_equal(stun_key_long("alice", "example.org", "sesame", STUN_ALGORITHM_MD5, &l.key),
                     BK_OK);
    struct stun_msg q = request_of(&l, request);
    struct stun_msg r = answer(&s, &q, reply);
    assert_int_equal(s.last_code, 0);
    assert_true(r.integrity_at != 0 && r.integrity_sha256_at == 0);
    assert_int_equal(stun_check_integrity(&r, l.key.bytes, l.key.len), BK_OK);
}

/* RFC 8489 section 9.2.4: half a set of attributes is 400. */
static void test_incomplete_requests(void **state) {
    (void)state;
    enum { USER = 1, REALM = 2, NONCE = 4, LIST = 8, CHOICE = 16, MI = 32, BAD_LIST = 64 };
    static const struct {
        unsigned parts;
        uint16_t want;
    } cases[] = {
        {0, 401},
        {USER | REALM | NONCE | LIST | CHOICE, 401},
        {MI, 400},
        {MI | USER | REALM, 400},
        {MI | USER | NONCE, 400},
        {MI | REALM | NONCE, 400},
        {MI | USER | REALM | NONCE | LIST, 400},
        {MI | USER | REALM | NONCE | CHOICE, 400},
        {MI | USER | REALM | NONCE | BAD_LIST | CHOICE, 400},
        {MI | USER | REALM | NONCE | LIST | CHOICE, 0},
        {MI | USER | REALM | NONCE, 0},
    };
    struct server s = server_with(false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned p = cases[i].parts;
        uint8_t buf[CAP];
        struct stun_claim claim;
        const struct stun_algorithms list = {{2, 1}, 2}, bad = {{1, 2}, 2}, choice = {{2}, 1};
        struct stun_builder b = stun_start(buf, CAP, STUN_REQUEST, STUN_BINDING, txid);
        if (p & USER)
            stun_put_bytes(&b, STUN_USERNAME, "alice", 5);
        if (p & REALM)
            stun_put_bytes(&b, STUN_REALM, "example.org", 11);
        if (p & NONCE)
            stun_put_bytes(&b, STUN_NONCE, "n", 1);
        if (p & LIST)
            stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHMS, &list);
        if (p & BAD_LIST)
            stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHMS, &bad);
        if (p & CHOICE)
            stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHM, &choice);
        if (p & MI)
            stun_put_integrity(&b, "k", 1);
        struct stun_msg m = finished(&b);
        uint16_t code = stun_realm_claim(&s.realm, &m, &s.from, s.now, &claim);
        if (code != cases[i].want)
            fail_msg("case %zu: %u", i, code);
    }
}

/* ---- People in the middle ----------------------------------------------------------------- */

static struct stun_msg challenge(uint8_t *buf, uint16_t code, const char *realm, const char *nonce,
                                 const struct stun_algorithms *list) {
    struct stun_builder b = stun_start(buf, CAP, STUN_ERROR, STUN_BINDING, txid);
    stun_put_error(&b, code, NULL);
    stun_put_bytes(&b, STUN_REALM, realm, strlen(realm));
    if (nonce != NULL)
        stun_put_bytes(&b, STUN_NONCE, nonce, strlen(nonce));
    if (list != NULL)
        stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHMS, list);
    return finished(&b);
}

static void test_bid_down_is_noticed(void **state) {
    (void)state;
    const struct stun_algorithms both = {{2, 1}, 2}, foreign = {{7, 9}, 2}, late = {{7, 1}, 2};
    const struct {
        const char *name, *nonce;
        const struct stun_algorithms *list;
        enum stun_login_verdict want;
        enum stun_algorithm algorithm;
    } cases[] = {
        {"no cookie, old server", "abc", NULL, STUN_LOGIN_RETRY, STUN_ALGORITHM_MD5},
        {"cookie without features", "obMatJos2AAAAx", NULL, STUN_LOGIN_RETRY, STUN_ALGORITHM_MD5},
        {"algorithms", "obMatJos2AAABx", &both, STUN_LOGIN_RETRY, STUN_ALGORITHM_SHA256},
        {"list taken out", "obMatJos2AAABx", NULL, STUN_LOGIN_REFUSED, 0},
        {"list taken out, bits from the left", "obMatJos2gAAAx", NULL, STUN_LOGIN_REFUSED, 0},
        {"nothing we know", "obMatJos2AAABx", &foreign, STUN_LOGIN_REFUSED, 0},
        {"the first we know", "obMatJos2AAABx", &late, STUN_LOGIN_RETRY, STUN_ALGORITHM_MD5},
        {"no nonce", NULL, &both, STUN_LOGIN_REFUSED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[CAP];
        struct stun_login l = login("alice", "sesame");
        struct stun_msg m = challenge(buf, 401, "example.org", cases[i].nonce, cases[i].list);
        if (stun_login_check(&l, &m) != cases[i].want ||
            (l.ready && l.algorithm != cases[i].algorithm))
            fail_msg("%s", cases[i].name);
    }
}

static void test_a_choice_once_offered_is_not_taken_back(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    uint8_t buf[CAP];
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    struct stun_msg m = challenge(buf, 438, "example.org", "abc", NULL);
    assert_int_equal(stun_login_check(&l, &m), STUN_LOGIN_REFUSED);
}

static void test_a_realm_may_change_once(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    for (int i = 0; i < 2; i++) {
        uint8_t buf[CAP];
        const struct stun_algorithms both = {{2, 1}, 2};
        struct stun_msg m = challenge(buf, 401, i == 0 ? "one" : "two", "obMatJos2AAABx", &both);
        assert_int_equal(stun_login_check(&l, &m), i == 0 ? STUN_LOGIN_RETRY : STUN_LOGIN_REFUSED);
    }
}

static void test_forged_answers_are_ignored(void **state) {
    (void)state;
    struct server s = server_with(false);
    struct stun_login l = login("alice", "sesame");
    uint8_t buf[CAP];
    assert_int_equal(exchange(&l, &s), STUN_LOGIN_RETRY);
    for (int i = 0; i < 6; i++) {
        bool error = i >= 3;
        struct stun_builder b =
            stun_start(buf, CAP, error ? STUN_ERROR : STUN_SUCCESS, STUN_BINDING, txid);
        if (i == 1)
            stun_put_integrity_sha256(&b, "guess", 5);
        if (i == 2) /* the right key under the weaker attribute */
            stun_put_integrity(&b, l.key.bytes, l.key.len);
        if (i == 3)
            stun_put_error(&b, 400, NULL); /* RFC 8489 section 9.2.5: as if never received */
        if (i == 4)
            stun_put_error(&b, 500, NULL);
        struct stun_msg m = finished(&b); /* 5: an error without a code */
        if (stun_login_check(&l, &m) != STUN_LOGIN_IGNORE)
            fail_msg("case %d", i);
    }
    /* signed, it counts */
    struct stun_builder b = stun_start(buf, CAP, STUN_ERROR, STUN_BINDING, txid);
    stun_put_error(&b, 486, NULL);
    stun_put_integrity_sha256(&b, l.key.bytes, l.key.len);
    struct stun_msg m = finished(&b);
    assert_int_equal(stun_login_check(&l, &m), STUN_LOGIN_ACCEPT);
    /* unless its nonce promises a list that is gone */
    b = stun_start(buf, CAP, STUN_SUCCESS, STUN_BINDING, txid);
    stun_put_bytes(&b, STUN_NONCE, "obMatJos2AAABx", 14);
    stun_put_integrity_sha256(&b, l.key.bytes, l.key.len);
    m = finished(&b);
    assert_int_equal(stun_login_check(&l, &m), STUN_LOGIN_IGNORE);
}

static void test_a_server_without_passwords(void **state) {
    (void)state;
    uint8_t buf[CAP];
    struct stun_login l = login("alice", "sesame");
    struct stun_builder b = stun_start(buf, CAP, STUN_SUCCESS, STUN_BINDING, txid);
    struct stun_msg m = finished(&b);
    assert_int_equal(stun_login_check(&l, &m), STUN_LOGIN_ACCEPT);
}

static void test_arguments(void **state) {
    (void)state;
    struct stun_login l;
    struct stun_realm r;
    char longest[STUN_REALM_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[STUN_REALM_MAX + 1] = '\0';
    assert_int_equal(stun_login_init(&l, "", "p"), BK_ERR_ARGUMENT);
    assert_int_equal(stun_login_init(&l, "u", "p\n"), BK_ERR_ARGUMENT);
    assert_int_equal(stun_login_init(&l, longest, "p"), BK_ERR_TOO_LONG);
    assert_int_equal(stun_realm_init(&r, longest, secret, BK_US_PER_S, false), BK_ERR_TOO_LONG);
    assert_int_equal(stun_realm_init(&r, "", secret, BK_US_PER_S, false), BK_ERR_ARGUMENT);
    assert_int_equal(stun_realm_init(&r, "r", secret, BK_US_PER_S - 1, false), BK_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_open_the_vectors),
        cmocka_unit_test(test_short_term),
        cmocka_unit_test(test_short_term_answers),
        cmocka_unit_test(test_nonce_cookie),
        cmocka_unit_test(test_challenge_and_login),
        cmocka_unit_test(test_wrong_credentials_are_refused_alike),
        cmocka_unit_test(test_stale_nonce_is_renewed),
        cmocka_unit_test(test_servers_of_a_fleet_share_nonces),
        cmocka_unit_test(test_endless_438_ends),
        cmocka_unit_test(test_a_nonce_is_bound_to_its_client),
        cmocka_unit_test(test_every_bit_of_a_nonce_counts),
        cmocka_unit_test(test_an_old_client_gets_in),
        cmocka_unit_test(test_incomplete_requests),
        cmocka_unit_test(test_bid_down_is_noticed),
        cmocka_unit_test(test_a_choice_once_offered_is_not_taken_back),
        cmocka_unit_test(test_a_realm_may_change_once),
        cmocka_unit_test(test_forged_answers_are_ignored),
        cmocka_unit_test(test_a_server_without_passwords),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
