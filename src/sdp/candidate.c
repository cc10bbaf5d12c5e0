/* SPDX-License-Identifier: MIT
 * The candidate line: RFC 8839 section 5.1, for TCP RFC 6544 section 4.5.
 *
 *     candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE
 *         [raddr ADDRESS] [rport PORT] [NAME VALUE]... */
#include "sdp/sdp.h"

#include "base/text.h"
#include "sdp/words.h"

#include <string.h>

enum {
    DISCARD_PORT = 9, /* "no port to tell": RFC 8839 section 5.1, RFC 6544 section 4.5 */
    COMPONENT_MAX = 256,
    PRIORITY_MAX = 0x7fffffff,
    PORT_MAX = 65535
};

static const char *const transports[] = {
    [BK_ICE_UDP] = "UDP",
    [BK_ICE_TCP_ACTIVE] = "TCP",
    [BK_ICE_TCP_PASSIVE] = "TCP",
    [BK_ICE_TCP_SO] = "TCP",
};
static const char *const tcptypes[] = {
    [BK_ICE_UDP] = "",
    [BK_ICE_TCP_ACTIVE] = "active",
    [BK_ICE_TCP_PASSIVE] = "passive",
    [BK_ICE_TCP_SO] = "so",
};
static const char *const kinds[BK_ICE_KINDS] = {
    [BK_ICE_HOST] = "host",
    [BK_ICE_SRFLX] = "srflx",
    [BK_ICE_PRFLX] = "prflx",
    [BK_ICE_RELAYED] = "relay",
};

/* ---- Writing ------------------------------------------------------------------------------ */

static void put_ip(struct text *t, struct bk_ip ip) {
    char text[BK_ADDR_TEXT_MAX];
    ip.zone = 0; /* means nothing to the peer, and is not in the grammar of RFC 4566 */
    text_str(t, bk_ip_format(&ip, text));
}

static void put_pair(struct text *t, const char *name, uint64_t value) {
    text_char(t, ' ');
    text_str(t, name);
    text_char(t, ' ');
    text_u64(t, value);
}

static void put_word(struct text *t, const char *name, const char *value) {
    text_char(t, ' ');
    text_str(t, name);
    text_char(t, ' ');
    text_str(t, value);
}

/* RFC 8839 section 5.1: they MUST be there for all but host candidates; who does not want to tell
 * MUST write the wildcard address of the candidate's family and port 9. */
static void put_related(struct text *t, const struct bk_ice_candidate *at, bool hide) {
    struct bk_addr related = at->base;
    if (hide || related.ip.family == BK_FAMILY_NONE) {
        static const uint8_t any[16];
        bool v6 = at->addr.ip.family == BK_IPV6;
        related = bk_addr(v6 ? bk_ipv6(any) : bk_ipv4(0, 0, 0, 0), DISCARD_PORT);
    }
    text_str(t, " raddr ");
    put_ip(t, related.ip);
    put_pair(t, "rport", related.port);
}

size_t sdp_write_candidate(const struct sdp_candidate *c, bool hide_base, char *out) {
    const struct bk_ice_candidate *at = &c->at;
    struct text t = text_in(out, SDP_LINE_MAX);
    text_str(&t, "candidate:");
    text_str(&t, at->foundation);
    text_char(&t, ' ');
    text_u64(&t, at->component == 0 ? 1 : at->component);
    put_pair(&t, transports[at->transport], at->priority);
    text_char(&t, ' ');
    if (c->name[0] != '\0')
        text_str(&t, c->name);
    else
        put_ip(&t, at->addr.ip);
    text_char(&t, ' ');
    text_u64(&t, at->transport == BK_ICE_TCP_ACTIVE ? DISCARD_PORT : at->addr.port);
    put_word(&t, "typ", kinds[at->kind]);
    if (at->kind != BK_ICE_HOST)
        put_related(&t, at, hide_base);
    if (at->transport != BK_ICE_UDP)
        put_word(&t, "tcptype", tcptypes[at->transport]);
    if (c->generation != 0)
        put_pair(&t, "generation", c->generation);
    if (c->ufrag[0] != '\0')
        put_word(&t, "ufrag", c->ufrag);
    return t.len;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* What is known of a line while it is read. The worst that was found wins: a line that breaks the
 * grammar is malformed, whatever else is in it that we do not know. */
struct reading {
    struct view rest;
    struct sdp_candidate *out;
    bool malformed, too_long, unsupported;
    bool tcp, tcptype;
};

/* The next word, or an empty one and a malformed line. */
static struct view need(struct reading *r) {
    struct view word = {.at = "", .len = 0};
    if (!view_word(&r->rest, &word))
        r->malformed = true;
    return word;
}

static uint32_t need_number(struct reading *r, uint32_t min, uint32_t max) {
    uint32_t value = min;
    if (!view_number(need(r), max, &value) || value < min)
        r->malformed = true;
    return value;
}

static void read_foundation(struct reading *r) {
    struct view word = need(r);
    if (!view_is_ice_chars(word))
        r->malformed = true;
    else if (word.len > BK_ICE_FOUNDATION_MAX)
        r->too_long = true;
    else
        view_copy(word, r->out->at.foundation);
}

static void read_transport(struct reading *r) {
    struct view word = need(r);
    r->tcp = view_is(word, "TCP");
    if (!r->tcp && !view_is(word, "UDP"))
        r->unsupported = true; /* RFC 8839 section 5.1: transport-extension */
}

/* RFC 8839 section 5.1: lines with an address of a version that is not known MUST be ignored. Names
 * are handed on: those of mDNS can be resolved. */
static void read_address(struct reading *r) {
    struct view word = need(r);
    struct bk_ip *ip = &r->out->at.addr.ip;
    if (view_ip(word, ip)) {
        r->unsupported = r->unsupported || bk_ip_scope(ip) == BK_SCOPE_NONE;
    } else if (word.len > SDP_NAME_MAX) {
        r->too_long = true;
    } else if (view_is_name(word)) {
        view_copy(word, r->out->name);
    } else {
        r->unsupported = true;
    }
}

static void read_kind(struct reading *r) {
    if (!view_is(need(r), "typ"))
        r->malformed = true;
    struct view word = need(r);
    for (unsigned i = 0; i < BK_ICE_KINDS; i++) {
        if (view_is(word, kinds[i])) {
            r->out->at.kind = (enum bk_ice_kind)i;
            return;
        }
    }
    r->unsupported = true; /* RFC 8839 section 5.1: candidate-types may be any token */
}

static void read_tcptype(struct reading *r) {
    static const enum bk_ice_transport all[] = {BK_ICE_TCP_ACTIVE, BK_ICE_TCP_PASSIVE,
                                                BK_ICE_TCP_SO};
    struct view word = need(r);
    r->tcptype = true;
    for (size_t i = 0; r->tcp && i < sizeof all / sizeof all[0]; i++) {
        if (view_is(word, tcptypes[all[i]])) {
            r->out->at.transport = all[i];
            return;
        }
    }
    r->unsupported = r->unsupported || r->tcp;
}

/* The related address is for people who look for faults: what is no IP address is not told. */
static void read_raddr(struct reading *r) {
    struct bk_addr *related = &r->out->at.base;
    if (!view_ip(need(r), &related->ip))
        memset(&related->ip, 0, sizeof related->ip);
}

static void read_ufrag(struct reading *r) {
    struct view word = need(r);
    if (!sdp_is_ufrag(word.at, word.len))
        r->malformed = true;
    else
        view_copy(word, r->out->ufrag);
}

/* RFC 8839 section 5.1: an extension that is not known MUST be ignored, with its value. */
static void read_extension(struct reading *r, struct view name) {
    if (view_is(name, "raddr"))
        read_raddr(r);
    else if (view_is(name, "rport"))
        r->out->at.base.port = (uint16_t)need_number(r, 0, PORT_MAX);
    else if (view_is(name, "tcptype"))
        read_tcptype(r);
    else if (view_is(name, "generation"))
        r->out->generation = need_number(r, 0, UINT32_MAX);
    else if (view_is(name, "ufrag"))
        read_ufrag(r);
    else
        (void)view_word(&r->rest, &name); /* a value may be empty: *VCHAR */
}

/* What the parts must be together. */
static void read_end(struct reading *r) {
    struct bk_ice_candidate *at = &r->out->at;
    if (r->tcp && !r->tcptype)
        r->malformed = true; /* RFC 6544 section 4.5: tcptype belongs to every TCP candidate */
    if (at->transport == BK_ICE_TCP_ACTIVE)
        at->addr.port = DISCARD_PORT; /* whatever was written: nobody may connect to it */
    else if (at->addr.port == 0)
        r->unsupported = true; /* nothing can be sent there */
    if (at->base.ip.family == BK_FAMILY_NONE)
        at->base.port = 0;
}

static enum bk_err verdict(const struct reading *r) {
    if (r->malformed)
        return BK_ERR_MALFORMED;
    if (r->too_long)
        return BK_ERR_TOO_LONG;
    return r->unsupported ? BK_ERR_UNSUPPORTED : BK_OK;
}

enum bk_err sdp_read_candidate(const char *line, size_t len, struct sdp_candidate *out) {
    struct sdp_candidate c = {.generation = 0};
    struct view name;
    if (len > SDP_TEXT_MAX)
        return BK_ERR_TOO_LONG;
    struct reading r = {.rest = view_trim(view_of(line, len)), .out = &c};
    (void)view_skip(&r.rest, "a=");
    if (!view_skip(&r.rest, "candidate:") || !view_is_visible(r.rest))
        return BK_ERR_MALFORMED;
    read_foundation(&r);
    c.at.component = (uint16_t)need_number(&r, 1, COMPONENT_MAX);
    read_transport(&r);
    c.at.priority = need_number(&r, 1, PRIORITY_MAX);
    read_address(&r);
    c.at.addr.port = (uint16_t)need_number(&r, 0, PORT_MAX);
    read_kind(&r);
    while (!r.malformed && view_word(&r.rest, &name))
        read_extension(&r, name);
    read_end(&r);
    if (verdict(&r) == BK_OK)
        *out = c;
    return verdict(&r);
}
