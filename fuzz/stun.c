/* SPDX-License-Identifier: MIT
 * links: stun
 * Any bytes as a STUN message: parse, every getter on every attribute, every check, and a rebuild
 * that must parse to the same attributes. */
#include "stun_input.h"

static void get_all(const struct stun_msg *m, uint16_t type) {
    struct bk_addr addr;
    struct wire_span span;
    uint32_t u32;
    uint64_t u64;
    struct stun_algorithms algorithms;
    bool present = stun_has(m, type);
    fuzz_check((stun_get_bytes(m, type, &span) == BK_OK) == present);
    if (present && span.len > 0)
        fuzz_check(span.data > m->data && span.data + span.len <= m->data + m->len);
    fuzz_check(stun_get_u32(m, type, &u32) != BK_OK || span.len == 4);
    fuzz_check(stun_get_u64(m, type, &u64) != BK_OK || span.len == 8);
    if (stun_get_addr(m, type, &addr) == BK_OK)
        fuzz_check(addr.ip.family == (span.len == 8 ? BK_IPV4 : BK_IPV6));
    if (stun_get_algorithms(m, type, &algorithms) == BK_OK)
        fuzz_check(algorithms.count <= STUN_ALGORITHMS_MAX);
    (void)stun_attr_name(type);
}

static void check_all(const struct stun_msg *m) {
    uint16_t code;
    struct wire_span reason;
    struct stun_types types;
    if (stun_get_error(m, &code, &reason) == BK_OK)
        fuzz_check(code >= 300 && code <= 699);
    if (stun_get_unknown(m, &types) == BK_OK)
        fuzz_check(types.count <= STUN_UNKNOWN_MAX);
    stun_unknown_required(m, STUN_USE_BASE, &types);
    fuzz_check(types.count <= STUN_UNKNOWN_MAX);
    fuzz_check(stun_check_integrity(m, "key", 3) != BK_OK || m->integrity_at != 0);
    fuzz_check(stun_check_integrity_sha256(m, "key", 3) != BK_OK || m->integrity_sha256_at != 0);
    fuzz_check(stun_check_fingerprint(m) != BK_OK || m->fingerprint_at == m->len - 8);
}

static void rebuild(const struct stun_msg *m) {
    static uint8_t buf[STUN_HEADER_LEN + UINT16_MAX];
    struct stun_builder b = stun_start(buf, sizeof buf, m->cls, m->method, m->txid);
    struct stun_iter it = stun_attrs(m), again;
    struct stun_attr a, same;
    struct stun_msg copy;
    size_t len;
    while (stun_next_attr(&it, &a)) {
        uint8_t *room = stun_put_room(&b, a.type, a.len);
        fuzz_check(room != NULL);
        memcpy(room, a.value, a.len);
        get_all(m, a.type);
    }
    fuzz_check(stun_finish(&b, &len) == BK_OK && len <= m->len);
    fuzz_check(stun_parse(&copy, buf, len) == BK_OK);
    fuzz_check(copy.cls == m->cls && copy.method == m->method);
    it = stun_attrs(m);
    again = stun_attrs(&copy);
    while (stun_next_attr(&it, &a)) {
        fuzz_check(stun_next_attr(&again, &same));
        fuzz_check(same.type == a.type && same.len == a.len);
        fuzz_check(memcmp(same.value, a.value, a.len) == 0);
    }
    fuzz_check(!stun_next_attr(&again, &same));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stun_msg m;
    if (size < 1)
        return 0;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    fuzz_repair(copy, size - 1, data[0]);
    if (stun_parse(&m, copy, size - 1) == BK_OK) {
        fuzz_check(stun_is_message(copy, size - 1) || m.data[0] >= 4);
        check_all(&m);
        rebuild(&m);
    }
    free(copy);
    return 0;
}
