/* SPDX-License-Identifier: MIT */
#include "wire/natpmp.h"

enum { RESPONSE = 128 };

static bool is_map(unsigned opcode) {
    return opcode == NATPMP_MAP_UDP || opcode == NATPMP_MAP_TCP;
}

/* RFC 6886 sections 3.2 and 3.3. */
size_t natpmp_build_request(const struct natpmp_request *q, uint8_t *buf, size_t cap) {
    struct wire_writer w = wire_writer(buf, cap);
    wire_put_u8(&w, NATPMP_VERSION);
    wire_put_u8(&w, (uint8_t)q->opcode);
    if (is_map(q->opcode)) {
        wire_put_u16(&w, 0);
        wire_put_u16(&w, q->internal_port);
        wire_put_u16(&w, q->external_port);
        wire_put_u32(&w, q->lifetime_s);
    }
    return w.failed ? 0 : w.len;
}

size_t natpmp_build_response(const struct natpmp_response *p, uint8_t *buf, size_t cap) {
    struct wire_writer w = wire_writer(buf, cap);
    wire_put_u8(&w, NATPMP_VERSION);
    wire_put_u8(&w, (uint8_t)(RESPONSE + p->opcode));
    wire_put_u16(&w, p->result);
    wire_put_u32(&w, p->epoch_s);
    if (is_map(p->opcode)) {
        wire_put_u16(&w, p->internal_port);
        wire_put_u16(&w, p->external_port);
        wire_put_u32(&w, p->lifetime_s);
    } else if (p->opcode == NATPMP_EXTERNAL) {
        wire_put_bytes(&w, p->external.bytes, 4);
    }
    return w.failed ? 0 : w.len;
}

enum bk_err natpmp_parse_request(const uint8_t *data, size_t len, struct natpmp_request *out) {
    struct wire_reader r = wire_reader(data, len);
    uint8_t version = wire_u8(&r), opcode = wire_u8(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if (version != NATPMP_VERSION || opcode >= RESPONSE)
        return BK_ERR_NOT_OURS;
    if (opcode > NATPMP_MAP_TCP)
        return BK_ERR_MALFORMED;
    struct natpmp_request q = {.opcode = (enum natpmp_opcode)opcode};
    if (is_map(opcode)) {
        wire_skip(&r, 2);
        q.internal_port = wire_u16(&r);
        q.external_port = wire_u16(&r);
        q.lifetime_s = wire_u32(&r);
    }
    if (r.failed)
        return BK_ERR_SHORT;
    *out = q;
    return BK_OK;
}

/* An error may end after the time (RFC 6886 section 3.5 shows it so for a version not supported).
 */
enum bk_err natpmp_parse_response(const uint8_t *data, size_t len, struct natpmp_response *out) {
    struct wire_reader r = wire_reader(data, len);
    struct natpmp_response p = {.opcode = 0};
    uint8_t version = wire_u8(&r), opcode = wire_u8(&r);
    p.result = wire_u16(&r);
    p.epoch_s = wire_u32(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if (version != NATPMP_VERSION || opcode < RESPONSE)
        return BK_ERR_NOT_OURS;
    p.opcode = opcode - RESPONSE;
    if (p.result == NATPMP_SUCCESS && p.opcode == NATPMP_EXTERNAL) {
        const uint8_t *ip = wire_bytes(&r, 4);
        if (ip != NULL)
            p.external = bk_ipv4(ip[0], ip[1], ip[2], ip[3]);
    } else if (is_map(p.opcode) && (p.result == NATPMP_SUCCESS || wire_left(&r) >= 8)) {
        p.internal_port = wire_u16(&r);
        p.external_port = wire_u16(&r);
        p.lifetime_s = wire_u32(&r);
    } else if (p.result == NATPMP_SUCCESS) {
        return BK_ERR_MALFORMED;
    }
    if (r.failed)
        return BK_ERR_SHORT;
    *out = p;
    return BK_OK;
}

const char *natpmp_result_text(uint16_t result) {
    static const char *const texts[] = {
        [NATPMP_SUCCESS] = "granted",
        [NATPMP_UNSUPP_VERSION] = "the router does not know this version of NAT-PMP",
        [NATPMP_NOT_AUTHORIZED] = "the router does not allow it",
        [NATPMP_NETWORK_FAILURE] = "the router has no connection to the internet",
        [NATPMP_NO_RESOURCES] = "the router has no room left",
        [NATPMP_UNSUPP_OPCODE] = "the router does not know this kind of request",
    };
    return result < sizeof texts / sizeof *texts ? texts[result]
                                                 : "the router gave an error not known here";
}
