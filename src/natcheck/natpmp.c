/* SPDX-License-Identifier: MIT
 * Does the router speak NAT-PMP, and what is its outside address? RFC 6886 section 3.2. */
#include "natcheck/state.h"

#include "wire/reader.h"

enum { VERSION = 0, EXTERNAL_ADDRESS = 0, ANSWER = 128, REQUEST_LEN = 2, RESPONSE_LEN = 12 };

size_t natpmp_build(uint8_t *buf) {
    buf[0] = VERSION;
    buf[1] = EXTERNAL_ADDRESS;
    return REQUEST_LEN;
}

/* A router that only knows PCP answers with version 2: RFC 6887 appendix A. Result codes other than
 * 0 (no network yet, refused) are answers all the same. */
bool natpmp_read(const uint8_t *data, size_t len, struct bk_ip *external) {
    struct wire_reader r = wire_reader(data, len);
    uint8_t version = wire_u8(&r), opcode = wire_u8(&r);
    uint16_t result = wire_u16(&r);
    wire_skip(&r, 4); /* seconds since its start */
    const uint8_t *ip = wire_bytes(&r, 4);
    if (len < 8 || version != VERSION || opcode != ANSWER + EXTERNAL_ADDRESS)
        return false;
    if (ip == NULL || len < RESPONSE_LEN || result != 0)
        return true;
    struct bk_ip told = bk_ipv4(ip[0], ip[1], ip[2], ip[3]);
    if (!bk_ip_is_any(&told))
        *external = told;
    return true;
}
