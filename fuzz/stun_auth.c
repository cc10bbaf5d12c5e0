/* SPDX-License-Identifier: MIT
 * links: stun
 * The long-term mechanism from both sides: any request to a server that knows one user, and any
 * sequence of responses to a client. Nothing that was not made with the password gets in. */
#include "stun_input.h"

#include "stun/auth.h"

static const uint8_t secret[32] = {4};

static void serve(const struct stun_msg *m, const struct stun_realm *realm) {
    const struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 1), 9);
    const struct bk_time now = {1000000};
    struct stun_claim claim;
    struct stun_key key;
    uint16_t code = stun_realm_claim(realm, m, &from, now, &claim);
    fuzz_check(code == 0 || code == STUN_CODE_BAD_REQUEST || code == STUN_CODE_UNAUTHENTICATED);
    if (code != 0)
        return;
    fuzz_check((claim.user.data == NULL) != (claim.hash.data == NULL));
    fuzz_check(stun_key_long("u", "r", "p", claim.algorithm, &key) == BK_OK);
    /* Nobody guesses an HMAC: a key the harness does not sign with must never fit. */
    fuzz_check(stun_claim_verify(&claim, m, &key) == STUN_CODE_UNAUTHENTICATED);
    fuzz_check(stun_claim_verify(&claim, m, NULL) == STUN_CODE_UNAUTHENTICATED);
}

static void hear(struct stun_login *login, const struct stun_msg *m) {
    static uint8_t buf[4096];
    const uint8_t txid[STUN_TXID_LEN] = {1};
    size_t len;
    bool was_ready = login->ready;
    enum stun_login_verdict verdict = stun_login_check(login, m);
    if (verdict == STUN_LOGIN_ACCEPT)
        fuzz_check(!was_ready); /* a signed session accepts signed answers only */
    if (verdict == STUN_LOGIN_RETRY)
        fuzz_check(login->ready);
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_login_put(login, &b);
    fuzz_check(stun_finish(&b, &len) == BK_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    struct stun_login login;
    struct stun_realm realm;
    fuzz_check(stun_login_init(&login, "u", "p") == BK_OK);
    fuzz_check(stun_realm_init(&realm, "r", secret, BK_US_PER_S, true) == BK_OK);
    while (wire_left(&r) > 0) {
        struct stun_msg m;
        uint8_t how = wire_u8(&r);
        size_t len = 4 * (size_t)wire_u8(&r);
        const uint8_t *bytes = wire_bytes(&r, len);
        if (r.failed)
            break;
        uint8_t *copy = fuzz_copy(bytes, len);
        fuzz_repair(copy, len, how | 1u);
        if (stun_parse(&m, copy, len) == BK_OK) {
            serve(&m, &realm);
            hear(&login, &m);
        }
        free(copy);
    }
    stun_login_fini(&login);
    stun_realm_fini(&realm);
    return 0;
}
