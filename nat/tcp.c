/* SPDX-License-Identifier: MIT
 * TCP connections as a NAT sees them: enough to choose a timer and to let a simultaneous open
 * through (RFC 5382 sections 4 and 5). A reset shortens the life of a connection but does not end
 * it (RFC 7857 section 2.2), since anybody can forge one, unless the box is told otherwise.
 * Sequence numbers are remembered, and only looked at if the box is told to. */
#include "nat/state.h"

enum segment { SEG_SYN, SEG_SYN_ACK, SEG_OTHER, SEG_FIN, SEG_RST, SEGMENTS };

/* How far from the last one a reset's sequence number may be: larger than any window without
 * scaling, small enough that a blind guess is one in 2000. */
enum { WINDOW = 1 << 20 };

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
 * picks up connections in the middle, REVIVE if it believes in no reset that the peers ignore. */
enum { PICKUP = NAT_TCP_STATES, REVIVE };
#define DROP NAT_TCP_NONE

static const uint8_t next_out[NAT_TCP_STATES][SEGMENTS] = {
    /*                   SYN              SYN+ACK          other            FIN              RST */
    [NAT_TCP_NONE] = {NAT_TCP_SYN_OUT, DROP, PICKUP, DROP, DROP},
    [NAT_TCP_SYN_OUT] = {NAT_TCP_SYN_OUT, NAT_TCP_SYN_OUT, NAT_TCP_SYN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_RESET},
    [NAT_TCP_SYN_IN] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_SYN_IN, NAT_TCP_CLOSING, NAT_TCP_RESET},
    [NAT_TCP_HALF] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_OPEN, NAT_TCP_FIN_OUT, NAT_TCP_RESET},
    [NAT_TCP_OPEN] = {NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_FIN_OUT, NAT_TCP_RESET},
    [NAT_TCP_FIN_OUT] = {NAT_TCP_SYN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT,
                         NAT_TCP_RESET},
    [NAT_TCP_FIN_IN] = {NAT_TCP_SYN_OUT, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_CLOSING,
                        NAT_TCP_RESET},
    [NAT_TCP_CLOSING] = {NAT_TCP_SYN_OUT, NAT_TCP_CLOSING, NAT_TCP_CLOSING, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
    [NAT_TCP_RESET] = {NAT_TCP_SYN_OUT, NAT_TCP_RESET, REVIVE, NAT_TCP_RESET, NAT_TCP_RESET},
};

static const uint8_t next_in[NAT_TCP_STATES][SEGMENTS] = {
    [NAT_TCP_NONE] = {NAT_TCP_SYN_IN, DROP, DROP, DROP, DROP},
    [NAT_TCP_SYN_OUT] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_SYN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_RESET},
    [NAT_TCP_SYN_IN] = {NAT_TCP_SYN_IN, NAT_TCP_SYN_IN, NAT_TCP_SYN_IN, NAT_TCP_CLOSING,
                        NAT_TCP_RESET},
    [NAT_TCP_HALF] = {NAT_TCP_HALF, NAT_TCP_HALF, NAT_TCP_OPEN, NAT_TCP_FIN_IN, NAT_TCP_RESET},
    [NAT_TCP_OPEN] = {NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_OPEN, NAT_TCP_FIN_IN, NAT_TCP_RESET},
    [NAT_TCP_FIN_OUT] = {NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_FIN_OUT, NAT_TCP_CLOSING,
                         NAT_TCP_RESET},
    [NAT_TCP_FIN_IN] = {NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN, NAT_TCP_FIN_IN,
                        NAT_TCP_RESET},
    /* A new connection by the other side is for the filter to decide: nat_translate_in(). */
    [NAT_TCP_CLOSING] = {NAT_TCP_SYN_IN, NAT_TCP_CLOSING, NAT_TCP_CLOSING, NAT_TCP_CLOSING,
                         NAT_TCP_CLOSING},
    [NAT_TCP_RESET] = {NAT_TCP_SYN_IN, NAT_TCP_RESET, REVIVE, NAT_TCP_RESET, NAT_TCP_RESET},
};

bool nat_tcp_is_over(enum nat_tcp_state state) {
    return state == NAT_TCP_CLOSING || state == NAT_TCP_RESET;
}

static bool is_far(const struct nat_session *s, enum nat_side from, uint32_t seq) {
    uint32_t distance = seq - s->seq_next[from];
    return s->seq_known[from] && distance > WINDOW && distance < UINT32_MAX - WINDOW;
}

/* RFC 5961 section 3 (resets) and RFC 1122 section 4.2.2.13 (a larger initial number). */
static bool numbers_fit(const struct nat_config *c, const struct nat_session *s, enum nat_side from,
                        const struct nat_header *h, enum segment seg) {
    if (seg == SEG_RST && c->tcp_reset_in_window)
        return !is_far(s, from, h->tcp_seq);
    bool anew = seg == SEG_SYN && nat_tcp_is_over(s->tcp);
    if (anew && c->tcp_larger_isn && s->seq_known[from])
        return (int32_t)(h->tcp_seq - s->seq_next[from]) > 0;
    return true;
}

bool nat_tcp_next(const struct nat *nat, uint32_t session, enum nat_side from,
                  const struct nat_header *h, enum nat_tcp_state *out) {
    const struct nat_config *c = &nat->config;
    const struct nat_session *s = session == NAT_NONE ? NULL : &nat->sessions[session];
    enum nat_tcp_state state = s == NULL ? NAT_TCP_NONE : s->tcp;
    enum segment seg = segment_of(h->tcp_flags);
    bool meets = state == NAT_TCP_SYN_OUT && from == NAT_OUTSIDE && seg == SEG_SYN;
    if (meets && !c->tcp_simultaneous_open)
        return false;
    if (s != NULL && !numbers_fit(c, s, from, h, seg))
        return false;
    unsigned next = from == NAT_INSIDE ? next_out[state][seg] : next_in[state][seg];
    if (next == PICKUP)
        next = c->tcp_pickup ? (unsigned)NAT_TCP_OPEN : (unsigned)NAT_TCP_NONE;
    if (next == REVIVE)
        next = c->tcp_reset == NAT_RESET_DOUBTED ? (unsigned)NAT_TCP_OPEN : (unsigned)NAT_TCP_RESET;
    if (next == NAT_TCP_NONE)
        return false;
    bool ignored = next == NAT_TCP_RESET && c->tcp_reset == NAT_RESET_IGNORED;
    *out = ignored ? state : (enum nat_tcp_state)next;
    return true;
}

void nat_tcp_note(struct nat_session *s, enum nat_side from, const struct nat_header *h) {
    uint32_t next = h->tcp_seq + h->tcp_len;
    enum segment seg = segment_of(h->tcp_flags);
    if (seg == SEG_RST)
        return;
    bool ahead = (int32_t)(next - s->seq_next[from]) > 0;
    if (ahead || !s->seq_known[from] || seg == SEG_SYN || seg == SEG_SYN_ACK)
        s->seq_next[from] = next;
    s->seq_known[from] = true;
}

bool nat_tcp_kills(const struct nat *nat, const struct nat_header *h) {
    return nat->config.tcp_reset == NAT_RESET_KILLS && segment_of(h->tcp_flags) == SEG_RST;
}

static int64_t either(int64_t own, int64_t otherwise) {
    return own > 0 ? own : otherwise;
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
        return either(config->tcp_closing_us, config->tcp_transitory_us);
    case NAT_TCP_RESET:
        return either(config->tcp_reset_us, config->tcp_transitory_us);
    case NAT_TCP_CLOSING:
    case NAT_TCP_STATES:
        break;
    }
    return config->tcp_transitory_us;
}
