/* SPDX-License-Identifier: MIT
 * How a forwarded connection is asked for, on a stream of its own:
 *
 *     connector:  u8 kind ('T' TCP, 'U' UDP), u16 length, "host:port"
 *     listener:   u8 answer
 *
 * then, for TCP, the bytes; for UDP, datagrams. A datagram that fits every path travels as a QUIC
 * datagram: u32 stream number (id divided by 4), payload; a longer one, and one that the connector
 * sends before the answer, as a frame on the stream: u16 length, payload. */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALL_TARGET_MAX = 300, CALL_TCP = 'T', CALL_UDP = 'U', CALL_LEN_MAX = 3 + CALL_TARGET_MAX };

enum call_answer {
    CALL_ACCEPTED = 1,
    CALL_FORBIDDEN = 2,  /* not on the listener's list */
    CALL_UNREACHABLE = 3 /* it is, but nobody answers there */
};

struct call {
    uint8_t kind;
    char target[CALL_TARGET_MAX + 1]; /* "host:port" */
};

/* Returns the length; `out` has room for CALL_LEN_MAX. */
size_t call_encode(const struct call *c, uint8_t *out);
/* BK_ERR_SHORT: more bytes are needed. BK_ERR_MALFORMED: no such kind, or a target that is empty,
 * too long or has other than visible ASCII. *len: how many bytes it took. */
BK_MUST_USE enum bk_err call_decode(struct call *out, const uint8_t *data, size_t available,
                                    size_t *len);

/* Splits "host:port" or "[v6]:port". `host` has room for `cap`. false: not of that form. */
bool call_split(const char *target, char *host, size_t cap, uint16_t *port);

#endif
