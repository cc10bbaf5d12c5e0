/* SPDX-License-Identifier: MIT */
#include "wire/pcp.h"

#include <string.h>

enum {
    RESPONSE_BIT = 0x80,
    OPTION_PREFER_FAILURE = 2, /* RFC 6887 section 13.2 */
    NAT_PMP_VERSION = 0
};

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* --- addresses --- */

/* RFC 6887 section 5: IPv4 as ::ffff:0:0/96; no address of a family is all zeros behind its prefix.
 */
static void put_ip(struct wire_writer *w, const struct bk_ip *ip, uint8_t family) {
    static const struct bk_ip none;
    const struct bk_ip *from = ip->family == family ? ip : &none;
    if (family == BK_IPV4) {
        wire_put_bytes(w, mapped_prefix, sizeof mapped_prefix);
        wire_put_bytes(w, from->bytes, 4);
    } else {
        wire_put_bytes(w, from->bytes, 16);
    }
}

static struct bk_ip get_ip(struct wire_reader *r) {
    struct bk_ip ip = {.family = BK_FAMILY_NONE};
    const uint8_t *p = wire_bytes(r, 16);
    if (p == NULL)
        return ip;
    ip = bk_ipv6(p);
    bk_ip_unmap(&ip);
    return ip;
}

/* --- MAP and PEER: sections 11.1 and 12.1 --- */

static void put_map(struct wire_writer *w, unsigned opcode, const struct pcp_map *m,
                    uint8_t family) {
    wire_put_bytes(w, m->nonce, sizeof m->nonce);
    wire_put_u8(w, m->protocol);
    wire_put_zeros(w, 3);
    wire_put_u16(w, m->internal_port);
    wire_put_u16(w, m->external.port);
    put_ip(w, &m->external.ip,
           m->external.ip.family != BK_FAMILY_NONE ? m->external.ip.family : family);
    if (opcode != PCP_PEER)
        return;
    wire_put_u16(w, m->peer.port);
    wire_put_zeros(w, 2);
    put_ip(w, &m->peer.ip, m->peer.ip.family);
}

static void get_map(struct wire_reader *r, unsigned opcode, struct pcp_map *m) {
    const uint8_t *nonce = wire_bytes(r, sizeof m->nonce);
    if (nonce != NULL)
        memcpy(m->nonce, nonce, sizeof m->nonce);
    m->protocol = wire_u8(r);
    wire_skip(r, 3);
    m->internal_port = wire_u16(r);
    m->external.port = wire_u16(r);
    m->external.ip = get_ip(r);
    if (opcode != PCP_PEER)
        return;
    m->peer.port = wire_u16(r);
    wire_skip(r, 2);
    m->peer.ip = get_ip(r);
}

static bool has_map(unsigned opcode) {
    return opcode == PCP_MAP || opcode == PCP_PEER;
}

/* --- requests --- */

size_t pcp_build_request(const struct pcp_request *q, uint8_t *buf, size_t cap) {
    struct wire_writer w = wire_writer(buf, cap);
    wire_put_u8(&w, PCP_VERSION);
    wire_put_u8(&w, (uint8_t)q->opcode);
    wire_put_u16(&w, 0);
    wire_put_u32(&w, q->lifetime_s);
    put_ip(&w, &q->client, q->client.family);
    if (has_map(q->opcode))
        put_map(&w, q->opcode, &q->map, q->client.family);
    if (q->prefer_failure) {
        wire_put_u8(&w, OPTION_PREFER_FAILURE);
        wire_put_zeros(&w, 3);
    }
    return w.failed ? 0 : w.len;
}

/* RFC 6887 section 7.3: code, reserved, length, data filled up to a multiple of four. */
static void get_options(struct wire_reader *r, struct pcp_request *out) {
    while (!r->failed && wire_left(r) > 0) {
        uint8_t code = wire_u8(r);
        wire_skip(r, 1);
        uint16_t len = wire_u16(r);
        wire_skip(r, ((size_t)len + 3) / 4 * 4);
        if (code == OPTION_PREFER_FAILURE)
            out->prefer_failure = true;
        else
            out->other_options = true;
    }
}

enum bk_err pcp_parse_request(const uint8_t *data, size_t len, struct pcp_request *out) {
    struct wire_reader r = wire_reader(data, len);
    struct pcp_request q = {.opcode = PCP_ANNOUNCE};
    uint8_t version = wire_u8(&r), opcode = wire_u8(&r);
    wire_skip(&r, 2);
    if (r.failed)
        return BK_ERR_SHORT;
    if (version != PCP_VERSION || (opcode & RESPONSE_BIT) != 0)
        return BK_ERR_NOT_OURS;
    if (len > PCP_MESSAGE_MAX || len % 4 != 0 || opcode > PCP_PEER)
        return BK_ERR_MALFORMED;
    q.opcode = (enum pcp_opcode)opcode;
    q.lifetime_s = wire_u32(&r);
    q.client = get_ip(&r);
    if (has_map(opcode))
        get_map(&r, opcode, &q.map);
    get_options(&r, &q);
    if (r.failed)
        return BK_ERR_SHORT;
    *out = q;
    return BK_OK;
}

/* --- responses --- */

size_t pcp_build_response(const struct pcp_response *p, uint8_t *buf, size_t cap) {
    struct wire_writer w = wire_writer(buf, cap);
    wire_put_u8(&w, p->version);
    wire_put_u8(&w, p->opcode | RESPONSE_BIT);
    wire_put_u8(&w, 0);
    wire_put_u8(&w, p->result);
    wire_put_u32(&w, p->lifetime_s);
    wire_put_u32(&w, p->epoch_s);
    wire_put_zeros(&w, 12);
    if (p->has_map)
        put_map(&w, p->opcode, &p->map, BK_IPV4);
    return w.failed ? 0 : w.len;
}

/* RFC 6887 section 9: what a server says that knows other versions only; the rest is in its own
 * format. */
static enum bk_err other_version(uint8_t version, uint8_t opcode, uint8_t result,
                                 struct pcp_response *out) {
    if (version == NAT_PMP_VERSION || result != PCP_UNSUPP_VERSION)
        return BK_ERR_NOT_OURS;
    *out = (struct pcp_response){.version = version, .opcode = opcode, .result = result};
    return BK_OK;
}

/* RFC 6887 section 8.3: shorter than 24 octets, longer than 1100, or not a multiple of 4: dropped.
 */
enum bk_err pcp_parse_response(const uint8_t *data, size_t len, struct pcp_response *out) {
    struct wire_reader r = wire_reader(data, len);
    struct pcp_response p = {.version = wire_u8(&r)};
    uint8_t opcode = wire_u8(&r);
    wire_skip(&r, 1);
    p.result = wire_u8(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if ((opcode & RESPONSE_BIT) == 0)
        return BK_ERR_NOT_OURS;
    p.opcode = opcode & (RESPONSE_BIT - 1);
    if (p.version != PCP_VERSION)
        return other_version(p.version, p.opcode, p.result, out);
    p.lifetime_s = wire_u32(&r);
    p.epoch_s = wire_u32(&r);
    wire_skip(&r, 12);
    if (r.failed)
        return BK_ERR_SHORT;
    if (len > PCP_MESSAGE_MAX || len % 4 != 0)
        return BK_ERR_MALFORMED;
    /* An error may come without its opcode's fields: the answer to an opcode not known, say. */
    if (has_map(p.opcode) && (p.result == PCP_SUCCESS || wire_left(&r) > 0)) {
        get_map(&r, p.opcode, &p.map);
        p.has_map = true;
    }
    if (r.failed)
        return BK_ERR_SHORT;
    *out = p;
    return BK_OK;
}

const char *pcp_result_text(uint8_t result) {
    static const char *const texts[] = {
        [PCP_SUCCESS] = "granted",
        [PCP_UNSUPP_VERSION] = "the router does not know this version of PCP",
        [PCP_NOT_AUTHORIZED] = "the router does not allow it",
        [PCP_MALFORMED_REQUEST] = "the router did not understand the request",
        [PCP_UNSUPP_OPCODE] = "the router does not know this kind of request",
        [PCP_UNSUPP_OPTION] = "the router does not know this option",
        [PCP_MALFORMED_OPTION] = "the router did not understand an option",
        [PCP_NETWORK_FAILURE] = "the router has no connection to the internet",
        [PCP_NO_RESOURCES] = "the router has no room left, or no public address",
        [PCP_UNSUPP_PROTOCOL] = "the router does not map this protocol",
        [PCP_USER_EX_QUOTA] = "the router gives this machine no more ports",
        [PCP_CANNOT_PROVIDE_EXTERNAL] = "the router cannot give this port",
        [PCP_ADDRESS_MISMATCH] = "there is another NAT between this machine and the router",
        [PCP_EXCESSIVE_REMOTE_PEERS] = "the router does not take so many peers",
    };
    return result < sizeof texts / sizeof *texts ? texts[result]
                                                 : "the router gave an error not known here";
}
