/* SPDX-License-Identifier: MIT
 * TCP connections as a NAT sees them: enough to choose a timer and to let a simultaneous open
 * through (RFC 5382 sections 4 and 5). Sequence numbers are not checked. A reset shortens the life
 * of a connection but does not end it (RFC 7857 section 2.2), since anybody can forge one. */
#include "nat/state.h"

enum segment { SEG_SYN, SEG_SYN_ACK, SEG_OTHER, SEG_FIN, SEG_RST, SEGMENTS };

static enum segment segment_of(uint8_t flags) {
    if ((flags & NAT_TCP_RST) != 0)
        return SEG_RST;
    if ((flags & NAT_TCP_SYN) != 0)
        return (flags & NAT_TCP_ACK) != 0 ? SEG_SYN_ACK : SEG_SYN;
    return (flags & NAT_TCP_FIN) != 0 ? SEG_FIN : SEG_OTHER;
}

bool nat_tcp_is_fresh_syn(const struct nat_header *h) {
    return h->flow.proto == NAT_TCP && segment_of(h->tcp_flags) == SEG_SYN;
}

/* Where a segment takes a connection; NAT_TCP_NONE: it may not pass. PICKUP becomes OPEN if the box
 * picks up connections in the middle. */
enum { PICKUP = NAT_TCP_STATES };
#define DROP NAT_TCP_NONE

static const uint8_t next_out[NAT_TCP_STATES][SEGMENTS] = {
    /*                   SYN              SYN+ACK          other            FIN              RST */
    [NAT_TCP_NONE] = {NAT_TCP_SYN_OUT, DROP, PICKUP, DROP, DROP},
    [NAT_TCP_SYN_OUT] = {NAT_TCP_SYN_OUT, NAT_TCP_SYN_OUT, NAT_TCP_SYN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
    [NAT_TCP_SYN_IN] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_SYN_IN, NAT_TCP_CLOSING,
                        NAT_TCP_CLOSING},
    [NAT_TCP_HALF] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_OPEN, NAT_TCP_FIN_OUT, NAT_TCP_CLOSING},
    [NAT_TCP_OPEN] = {NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_FIN_OUT, NAT_TCP_CLOSING},
    [NAT_TCP_FIN_OUT] = {NAT_TCP_SYN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT,
                         NAT_TCP_CLOSING},
    [NAT_TCP_FIN_IN] = {NAT_TCP_SYN_OUT, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_CLOSING,
                        NAT_TCP_CLOSING},
    [NAT_TCP_CLOSING] = {NAT_TCP_SYN_OUT, NAT_TCP_CLOSING, NAT_TCP_CLOSING, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
};

static const uint8_t next_in[NAT_TCP_STATES][SEGMENTS] = {
    [NAT_TCP_NONE] = {NAT_TCP_SYN_IN, DROP, DROP, DROP, DROP},
    [NAT_TCP_SYN_OUT] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_SYN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
    [NAT_TCP_SYN_IN] = {NAT_TCP_SYN_IN, NAT_TCP_SYN_IN, NAT_TCP_SYN_IN, NAT_TCP_CLOSING,
                        NAT_TCP_CLOSING},
    [NAT_TCP_HALF] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_OPEN, NAT_TCP_FIN_IN, NAT_TCP_CLOSING},
    [NAT_TCP_OPEN] = {NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_FIN_IN, NAT_TCP_CLOSING},
    [NAT_TCP_FIN_OUT] = {NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
    [NAT_TCP_FIN_IN] = {NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN,
                        NAT_TCP_CLOSING},
    /* A new connection by the other side is for the filter to decide: nat_translate_in(). */
    [NAT_TCP_CLOSING] = {NAT_TCP_SYN_IN, NAT_TCP_CLOSING, NAT_TCP_CLOSING, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
};

bool nat_tcp_next(const struct nat *nat, enum nat_tcp_state state, enum nat_side from,
                  uint8_t flags, enum nat_tcp_state *out) {
    enum segment seg = segment_of(flags);
    bool meets = state == NAT_TCP_SYN_OUT && from == NAT_OUTSIDE && seg == SEG_SYN;
    if (meets && !nat->config.tcp_simultaneous_open)
        return false;
    unsigned next = from == NAT_INSIDE ? next_out[state][seg] : next_in[state][seg];
    if (next == PICKUP)
        next = nat->config.tcp_pickup ? (unsigned)NAT_TCP_OPEN : (unsigned)NAT_TCP_NONE;
    if (next == NAT_TCP_NONE)
        return false;
    *out = (enum nat_tcp_state)next;
    return true;
}

int64_t nat_tcp_life_us(const struct nat_config *config, enum nat_tcp_state state) {
    switch (state) {
    case NAT_TCP_NONE:
    case NAT_TCP_SYN_OUT:
    case NAT_TCP_SYN_IN:
    case NAT_TCP_HALF:
        return config->tcp_partial_us;
    case NAT_TCP_OPEN:
        return config->tcp_established_us;
    case NAT_TCP_FIN_OUT:
    case NAT_TCP_FIN_IN:
    case NAT_TCP_CLOSING:
    case NAT_TCP_STATES:
        break;
    }
    return config->tcp_transitory_us;
}
