/* SPDX-License-Identifier: MIT
 * The Binding requests of the tests and what their answers tell. RFC 5780 section 7.
 *
 * A server must not amplify, so ours answers at most 1.6 times what it got; a success response with
 * XOR-MAPPED-ADDRESS, MAPPED-ADDRESS, RESPONSE-ORIGIN and OTHER-ADDRESS is 68 bytes long over IPv4
 * and 116 over IPv6. Requests are therefore filled up with SOFTWARE, which, unlike PADDING, a
 * server that knows only RFC 8489 ignores. */
#include "natcheck/state.h"

#include "base/assert.h"
#include "base/text.h"
#include "stun/seal.h"

#include <string.h>

enum {
    REQUEST_LEN = 84,
    CHANGE_IP = 4, /* RFC 5780 section 7.2 */
    CHANGE_PORT = 2
};

static void put_own_address(const struct bk_natcheck *nc, struct stun_builder *b,
                            const struct probe *p) {
    char buf[BK_ADDR_TEXT_MAX + 16];
    struct text t = text_in(buf, sizeof buf);
    struct bk_addr own = {.port = socket_port(nc, p->ask.socket)};
    for (size_t i = 0; i < nc->config.local_count; i++) {
        if (nc->config.locals[i].family != p->ask.remote.ip.family)
            continue;
        own.ip = nc->config.locals[i];
        stun_put_addr(b, STUN_MAPPED_ADDRESS, &own); /* ignored in requests, by servers */
        text_addr(&t, &own);
        text_char(&t, ' ');
        stun_put_bytes(b, STUN_SOFTWARE, buf, t.len);
        return;
    }
}

static void put_filler(struct stun_builder *b) {
    static const char filler[] = "bodkin natcheck                                               ";
    size_t have = b->w.len + 4;
    if (have < REQUEST_LEN)
        stun_put_bytes(b, STUN_SOFTWARE, filler, REQUEST_LEN - have);
}

static unsigned change_of(enum bk_nat_test test) {
    if (test == BK_NAT_TEST_CHANGE_BOTH)
        return CHANGE_IP | CHANGE_PORT;
    return test == BK_NAT_TEST_CHANGE_PORT ? CHANGE_PORT : 0;
}

static size_t build_stun(const struct bk_natcheck *nc, const struct probe *p, uint8_t *buf,
                         size_t cap) {
    struct stun_builder b = stun_start(buf, cap, STUN_REQUEST, STUN_BINDING, p->txid);
    if (change_of(p->ask.test) != 0)
        stun_put_u32(&b, STUN_CHANGE_REQUEST, change_of(p->ask.test));
    if (p->ask.response_port != 0)
        stun_put_port(&b, STUN_RESPONSE_PORT, p->ask.response_port);
    if (p->ask.tell_address)
        put_own_address(nc, &b, p);
    put_filler(&b);
    if (p->ask.tell_address)
        stun_put_fingerprint(&b); /* a changed request gets no answer */
    size_t len = 0;
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK);
    return len;
}

size_t message_build(const struct bk_natcheck *nc, const struct probe *p, uint8_t *buf,
                     size_t cap) {
    switch (p->ask.test) {
    case BK_NAT_TEST_PCP:
        return pcp_build(nc, buf);
    case BK_NAT_TEST_PMP:
        return natpmp_build(buf);
    case BK_NAT_TEST_UPNP:
        return upnp_build(buf, cap);
    case BK_NAT_TEST_BINDING:
    case BK_NAT_TEST_CHANGE_BOTH:
    case BK_NAT_TEST_CHANGE_PORT:
    case BK_NAT_TEST_HAIRPIN:
    case BK_NAT_TEST_TCP:
    case BK_NAT_TEST_LIFE:
    case BK_NAT_TEST_REDIRECT:
    case BK_NAT_TESTS:
        break;
    }
    return build_stun(nc, p, buf, cap);
}

static void read_optional(const struct stun_msg *m, uint16_t type, struct bk_addr *out) {
    if (stun_get_addr(m, type, out) != BK_OK)
        out->ip.family = BK_FAMILY_NONE;
}

static bool is_usable(const struct bk_addr *a) {
    return a->port != 0 && !bk_ip_is_any(&a->ip);
}

/* A server with one address has no OTHER-ADDRESS (RFC 5780 section 7.4), but ours names its other
 * port. */
static void read_other(struct probe *p, const struct stun_msg *m) {
    struct wire_span span;
    read_optional(m, STUN_OTHER_ADDRESS, &p->other);
    if (has_addr(&p->other) || stun_get_bytes(m, STUN_OTHER_PORT, &span) != BK_OK || span.len < 2)
        return;
    p->other = bk_addr(p->ask.remote.ip, (uint16_t)(span.data[0] << 8 | span.data[1]));
}

/* RFC 8489 section 6.3.3. MAPPED-ADDRESS alone comes from servers older than RFC 5389. */
enum bk_err message_read(struct probe *p, const struct stun_msg *m) {
    if (m->cls == STUN_ERROR)
        return stun_get_error(m, &p->code, NULL);
    struct stun_types unknown;
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_DISCOVERY, &unknown);
    if (unknown.count > 0)
        return BK_ERR_MALFORMED;
    struct bk_addr seen;
    read_optional(m, STUN_MAPPED_ADDRESS, &p->mapped);
    read_other(p, m);
    read_optional(m, STUN_XOR_MAPPED_ADDRESS, &seen);
    if (!has_addr(&seen))
        seen = p->mapped;
    if (!has_addr(&seen) || !is_usable(&seen) || seen.ip.family != p->ask.remote.ip.family)
        return BK_ERR_MALFORMED;
    p->seen = seen;
    return BK_OK;
}
