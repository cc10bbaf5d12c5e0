/* SPDX-License-Identifier: MIT
 * Does the router speak PCP? An ANNOUNCE request, RFC 6887 section 14.1, which maps nothing. Any
 * answer of version 2 counts, errors too. */
#include "natcheck/state.h"

#include "wire/reader.h"
#include "wire/writer.h"

enum { VERSION = 2, ANSWER = 0x80, HEADER_LEN = 24, LENGTH_MAX = 1100 };

/* RFC 6887 section 7.1: the client's address is checked; IPv4 is IPv4-mapped. */
size_t pcp_build(const struct bk_natcheck *nc, uint8_t *buf) {
    struct wire_writer w = wire_writer(buf, HEADER_LEN);
    struct bk_ip own = {0};
    for (size_t i = 0; i < nc->config.local_count && own.family == BK_FAMILY_NONE; i++) {
        if (nc->config.locals[i].family == BK_IPV4)
            own = nc->config.locals[i];
    }
    wire_put_u8(&w, VERSION);
    wire_put_u8(&w, 0);  /* R: request; opcode ANNOUNCE */
    wire_put_u16(&w, 0); /* reserved */
    wire_put_u32(&w, 0); /* lifetime */
    wire_put_zeros(&w, 10);
    wire_put_u16(&w, 0xffff);
    wire_put_bytes(&w, own.bytes, 4);
    return w.len;
}

/* RFC 6887 section 7.2. */
bool pcp_read(const uint8_t *data, size_t len) {
    struct wire_reader r = wire_reader(data, len);
    uint8_t version = wire_u8(&r), opcode = wire_u8(&r);
    return len >= HEADER_LEN && len <= LENGTH_MAX && len % 4 == 0 && version == VERSION &&
           opcode == ANSWER;
}
