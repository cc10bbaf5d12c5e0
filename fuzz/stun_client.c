/* SPDX-License-Identifier: MIT
 * links: stun
 * The input is a script of packets and time steps for one binding client. Whatever comes: it asks
 * for nothing in the past, sends only whole requests, and tells only possible addresses. */
#include "stun_input.h"

#include "base/rng.h"
#include "stun/client.h"

enum op { OP_STEP, OP_JUMP, OP_BACK, OP_RAW, OP_ANSWER, OP_DEADLINE, OP_ASK, OP_STOP, OPS };

struct script {
    struct wire_reader r;
    struct stun_client client;
    struct bk_time now;
};

static void drain(struct script *s) {
    struct bk_datagram out;
    struct stun_client_event e;
    struct stun_msg m;
    int sent = 0;
    while (stun_client_next_datagram(&s->client, &out)) {
        fuzz_check(++sent == 1);
        fuzz_check(stun_parse(&m, out.data, out.len) == BK_OK && m.cls == STUN_REQUEST);
        fuzz_check(bk_addr_equal(&out.remote, &s->client.config.server));
    }
    while (stun_client_next_event(&s->client, &e)) {
        if (e.kind == STUN_CLIENT_MAPPED)
            fuzz_check(e.mapped.port != 0 && !bk_ip_is_any(&e.mapped.ip) && e.rtt.us >= 0);
        else
            fuzz_check(e.err == BK_ERR_TIMEOUT || (e.err == BK_ERR_REFUSED && e.code >= 300));
    }
}

/* A response whose transaction id is right and whose attributes are the input's. */
static void answer(struct script *s, const uint8_t *body, size_t len) {
    static uint8_t buf[STUN_HEADER_LEN + 256];
    struct bk_datagram in = {.remote = s->client.config.server, .data = buf};
    memset(buf, 0, STUN_HEADER_LEN);
    in.len = STUN_HEADER_LEN + (len & ~(size_t)3);
    buf[0] = 1;
    buf[1] = len % 2 == 0 ? 0x01 : 0x11;
    memcpy(buf + 8, s->client.txn.txid, STUN_TXID_LEN);
    if (len > 0)
        memcpy(buf + STUN_HEADER_LEN, body, len & ~(size_t)3);
    fuzz_repair(buf, in.len, 1);
    enum bk_err err = stun_client_recv(&s->client, &in, s->now);
    fuzz_check(err == BK_OK || err == BK_ERR_NOT_OURS || err == BK_ERR_MALFORMED);
}

static void raw(struct script *s, const uint8_t *bytes, size_t len) {
    uint8_t *copy = fuzz_copy(bytes, len);
    const struct bk_datagram in = {.remote = s->client.config.server, .data = copy, .len = len};
    (void)!stun_client_recv(&s->client, &in, s->now);
    free(copy);
}

static void run_op(struct script *s, enum op op, uint8_t arg) {
    const uint8_t *bytes = op == OP_RAW || op == OP_ANSWER ? wire_bytes(&s->r, arg) : NULL;
    if (s->r.failed)
        return;
    switch (op) {
    case OP_STEP:
        s->now = bk_after(s->now, arg * BK_US_PER_MS);
        break;
    case OP_JUMP:
        s->now = bk_after(s->now, (int64_t)arg << 40);
        break;
    case OP_BACK:
        s->now = bk_after(s->now, -arg * BK_US_PER_MS);
        break;
    case OP_RAW:
        raw(s, bytes, arg);
        break;
    case OP_ANSWER:
        answer(s, bytes, arg);
        break;
    case OP_DEADLINE:
        if (!bk_is_never(stun_client_deadline(&s->client)))
            s->now = stun_client_deadline(&s->client);
        break;
    case OP_ASK:
        stun_client_ask_now(&s->client, s->now);
        break;
    case OP_STOP:
        stun_client_stop(&s->client);
        break;
    case OPS:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rng_seeded seed;
    struct script s = {.r = wire_reader(data, size), .now = {1000}};
    struct stun_client_config config = stun_client_config_default;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    uint8_t flags = wire_u8(&s.r);
    config.server = bk_addr(bk_ipv4(203, 0, 113, 1), 3478);
    config.every_us = (flags & 1) != 0 ? 15 * BK_US_PER_S : 0;
    config.retry_us = (flags & 8) != 0 ? BK_US_PER_S : 0;
    config.tailnode = (flags & 2) != 0;
    config.txn.reliable = (flags & 4) != 0;
    fuzz_check(stun_client_init(&s.client, &config, &rng, s.now) == BK_OK);
    while (!s.r.failed && wire_left(&s.r) > 0) {
        enum op op = (enum op)(wire_u8(&s.r) % OPS);
        run_op(&s, op, wire_u8(&s.r));
        stun_client_advance(&s.client, s.now);
        fuzz_check(bk_before(s.client.now, stun_client_deadline(&s.client)));
        drain(&s);
    }
    return 0;
}
