/* SPDX-License-Identifier: MIT
 * links: stun
 * Any datagram from any source to the binding server: at most one answer, well formed, to the same
 * place, under the same transaction, and no amplification. */
#include "stun_input.h"

#include "stun/service.h"

static struct bk_addr source(const uint8_t *bytes) {
    struct bk_addr a = {.port = (uint16_t)(bytes[1] << 8 | bytes[2])};
    a.ip.family = (bytes[0] & 1) != 0 ? BK_IPV6 : BK_IPV4;
    memcpy(a.ip.bytes, bytes + 3, (bytes[0] & 1) != 0 ? 16 : 4);
    return a;
}

static void check_reply(const struct bk_datagram *in, const struct bk_datagram *reply) {
    struct stun_msg q, a;
    size_t headers = in->remote.ip.family == BK_IPV6 ? 48 : 0;
    fuzz_check(stun_parse(&q, in->data, in->len) == BK_OK);
    fuzz_check(stun_parse(&a, reply->data, reply->len) == BK_OK);
    fuzz_check(q.cls == STUN_REQUEST && (a.cls == STUN_SUCCESS || a.cls == STUN_ERROR));
    fuzz_check(memcmp(q.txid, a.txid, STUN_TXID_LEN) == 0 && q.method == a.method);
    fuzz_check((q.fingerprint_at != 0) == (stun_check_fingerprint(&a) == BK_OK));
    fuzz_check(bk_addr_equal(&in->remote, &reply->remote));
    fuzz_check((reply->len + headers) * 10 <= (in->len + headers) * 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { SOURCE_LEN = 19 };
    struct stun_service service = {{0}};
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram in = {.local = bk_addr(bk_ipv4(203, 0, 113, 1), 3478)}, reply;
    if (size < 1 + SOURCE_LEN)
        return 0;
    in.remote = source(data + 1);
    in.len = size - 1 - SOURCE_LEN;
    uint8_t *copy = fuzz_copy(data + 1 + SOURCE_LEN, in.len);
    fuzz_repair(copy, in.len, data[0]);
    in.data = copy;
    enum stun_service_result result =
        stun_service_answer(&service, &in, (struct bk_time){0}, buf, &reply);
    fuzz_check(service.counts[result] == 1);
    if (stun_service_answered(result))
        check_reply(&in, &reply);
    free(copy);
    return 0;
}
