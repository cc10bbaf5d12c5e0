/* SPDX-License-Identifier: MIT
 * links: stun
 * The input is a script of datagrams and time steps for the binding server with two addresses, one,
 * or none to speak of. Whatever comes: at most one answer each, well formed, under the same
 * transaction, no longer than 1.6 requests, from a socket of ours, and to where the request came
 * from or to a port of the same address that asked before. */
#include "stun_input.h"

#include "base/rng.h"
#include "stun/service.h"

enum { ASKERS_MAX = 64, PORTS = 16 };

struct script {
    struct wire_reader r;
    struct stun_service service;
    struct bk_time now;
    struct bk_addr askers[ASKERS_MAX];
    size_t asker_count;
};

static const uint16_t ports[2] = {3478, 3479};

static struct bk_ip pick_ip(unsigned n, bool v6) {
    struct bk_ip ip = bk_ipv4(203, 0, 113, (uint8_t)n);
    if (v6) {
        static const uint8_t prefix[16] = {0x20, 0x01, 0x0d, 0xb8};
        ip = bk_ipv6(prefix);
        ip.bytes[15] = (uint8_t)n;
    }
    return ip;
}

static struct stun_discovery *make(unsigned kind, const struct bk_rng *rng) {
    struct stun_discovery_config c = stun_discovery_config_default;
    struct stun_discovery *d = NULL;
    if (kind == 3)
        return NULL;
    c.askers_max = 64;
    c.sources_max = 64;
    c.per_s = 1000;
    c.burst = 1000;
    c.ports[0] = ports[0];
    c.ports[1] = kind == 2 ? 0 : ports[1];
    for (unsigned family = 0; family < 2; family++)
        for (unsigned n = 0; n < (kind == 0 ? 2u : 1u); n++)
            c.ips[family][n] = pick_ip(n + 1, family == 1);
    fuzz_check(stun_discovery_new(&c, rng, &fuzz_alloc, &d) == BK_OK);
    return d;
}

static bool has_asked(const struct script *s, const struct bk_addr *who) {
    for (size_t i = 0; i < s->asker_count; i++)
        if (bk_addr_equal(&s->askers[i], who))
            return true;
    return false;
}

static void note(struct script *s, const struct bk_addr *who) {
    if (s->asker_count < ASKERS_MAX && !has_asked(s, who))
        s->askers[s->asker_count++] = *who;
}

static bool is_ours(const struct bk_addr *local, const struct bk_addr *asked) {
    bool port = local->port == ports[0] || local->port == ports[1];
    bool ip = bk_ip_equal(&local->ip, &asked->ip);
    for (unsigned n = 1; n <= 2; n++) {
        struct bk_ip mine = pick_ip(n, asked->ip.family == BK_IPV6);
        ip = ip || bk_ip_equal(&mine, &local->ip);
    }
    return bk_addr_equal(local, asked) || (port && ip);
}

static void check_reply(const struct script *s, const struct bk_datagram *in,
                        const struct bk_datagram *reply) {
    struct stun_msg q, a;
    size_t headers = in->remote.ip.family == BK_IPV6 ? 48 : 28;
    fuzz_check(stun_parse(&q, in->data, in->len) == BK_OK);
    fuzz_check(stun_parse(&a, reply->data, reply->len) == BK_OK);
    fuzz_check(q.cls == STUN_REQUEST && (a.cls == STUN_SUCCESS || a.cls == STUN_ERROR));
    fuzz_check(memcmp(q.txid, a.txid, STUN_TXID_LEN) == 0 && q.method == a.method);
    fuzz_check((q.fingerprint_at != 0) == (stun_check_fingerprint(&a) == BK_OK));
    fuzz_check((reply->len + headers) * 10 <= (in->len + headers) * 16);
    fuzz_check(bk_ip_equal(&in->remote.ip, &reply->remote.ip));
    fuzz_check(in->remote.port == reply->remote.port || has_asked(s, &reply->remote));
    fuzz_check(is_ours(&reply->local, &in->local));
    if (a.cls == STUN_ERROR)
        fuzz_check(bk_addr_equal(&in->remote, &reply->remote) &&
                   bk_addr_equal(&in->local, &reply->local));
}

/* how, source, destination, seconds, length: then the datagram itself. */
static bool next(struct script *s, struct bk_datagram *in, uint8_t **copy) {
    unsigned how = wire_u8(&s->r), from = wire_u8(&s->r), to = wire_u8(&s->r);
    unsigned seconds = wire_u8(&s->r);
    size_t len = wire_u16(&s->r) % 2048;
    bool v6 = (how & 4) != 0;
    if (s->r.failed || len > wire_left(&s->r))
        return false;
    s->now = bk_after(s->now, (int64_t)seconds * seconds * BK_US_PER_S);
    in->remote = bk_addr(pick_ip(9 + (from & 1), v6), (uint16_t)(4000 + from / 2 % PORTS));
    in->local = bk_addr(pick_ip(1 + to % 3, v6), ports[to / 4 % 2]);
    if ((how & 8) != 0 && len >= 19) { /* any source */
        memcpy(in->remote.ip.bytes, s->r.data, v6 ? 16 : 4);
        in->remote.port = (uint16_t)(s->r.data[17] << 8 | s->r.data[18]);
    }
    *copy = fuzz_copy(wire_bytes(&s->r, len), len);
    fuzz_repair(*copy, len, how);
    in->data = *copy;
    in->len = len;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rng_seeded seed;
    struct script s = {.r = wire_reader(data, size), .now = {0}};
    struct bk_datagram in = {.ttl = 0}, reply;
    uint8_t buf[STUN_SERVICE_REPLY_MAX], *copy;
    uint64_t answers = 0;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    s.service.discovery = make(wire_u8(&s.r) % 4, &rng);
    while (next(&s, &in, &copy)) {
        enum stun_service_result result = stun_service_answer(&s.service, &in, s.now, buf, &reply);
        if (stun_service_answered(result)) {
            answers++;
            note(&s, &in.remote);
            check_reply(&s, &in, &reply);
        }
        free(copy);
    }
    for (size_t i = 0; i <= STUN_SERVICE_TOO_OFTEN; i++)
        answers -= s.service.counts[i];
    fuzz_check(answers == 0);
    stun_discovery_free(s.service.discovery);
    return 0;
}
