/* SPDX-License-Identifier: MIT */
#include "peer/path.h"

#include "base/assert.h"

const struct path_config path_config_default = {
    .silence_min_us = 100 * BK_US_PER_MS,
    .margin_us = 50 * BK_US_PER_MS, /* twice QUIC's max_ack_delay of 25 ms, RFC 9000 section 18.2 */
    .patience_us = 200 * BK_US_PER_MS,
};

enum { ACK_DELAY_US = 25000 }; /* the longest QUIC waits with an acknowledgement, same section */

/* May the path go from [row] to [column]? */
static const bool may[PATH_STATES][PATH_STATES] = {
    [PATH_RELAYED] = {[PATH_DIRECT] = true},
    [PATH_DIRECT] = {[PATH_IN_DOUBT] = true, [PATH_RELAYED] = true},
    [PATH_IN_DOUBT] = {[PATH_DIRECT] = true, [PATH_RELAYED] = true},
};

static void move_to(struct path *p, enum path_state state) {
    bk_assert(may[p->state][state]);
    p->state = state;
    p->unanswered = BK_NEVER;
    p->doubt_ends = BK_NEVER;
}

void path_init(struct path *p, const struct path_config *config) {
    *p = (struct path){
        .config = *config,
        .state = PATH_RELAYED,
        .unanswered = BK_NEVER,
        .doubt_ends = BK_NEVER,
    };
}

static int64_t longer(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* How long the path may stay silent after a packet that wants an answer. */
static int64_t silence_us(const struct path *p) {
    int64_t us = p->rtt_us + p->rtt_us / 4 + p->config.margin_us;
    return longer(longer(us, p->usual_us), p->config.silence_min_us);
}

static void doubt(struct path *p, struct bk_time now) {
    move_to(p, PATH_IN_DOUBT);
    p->doubt_ends = bk_after(now, 2 * silence_us(p)); /* room for a probe and one repetition */
    p->want_probe = true;
    p->doubts++;
}

void path_up(struct path *p, int64_t rtt_us, struct bk_time now) {
    p->rtt_us = rtt_us;
    p->heard = now;
    p->unanswered = BK_NEVER;
    if (p->state != PATH_DIRECT)
        move_to(p, PATH_DIRECT);
}

void path_down(struct path *p) {
    if (p->state != PATH_RELAYED)
        move_to(p, PATH_RELAYED);
}

void path_sent_direct(struct path *p, struct bk_time now) {
    if (p->state == PATH_DIRECT && bk_is_never(p->unanswered))
        p->unanswered = now;
}

void path_heard_direct(struct path *p, struct bk_time now) {
    p->heard = now;
    p->unanswered = BK_NEVER;
}

/* RFC 9002 section 6.2.1: the time after which QUIC itself would miss an acknowledgement. */
void path_measured(struct path *p, int64_t srtt_us, int64_t rttvar_us) {
    int64_t us = srtt_us + 4 * rttvar_us + ACK_DELAY_US;
    p->usual_us = us < p->config.patience_us ? us : p->config.patience_us;
}

void path_heard_relay(struct path *p, struct bk_time now) {
    if (p->state != PATH_DIRECT)
        return;
    /* Packets that were on their way when the peer switched arrive for up to a round trip. */
    if (bk_elapsed_us(p->heard, now) > longer(p->rtt_us + p->config.margin_us, p->usual_us))
        doubt(p, now);
}

void path_advance(struct path *p, struct bk_time now) {
    if (!bk_due(path_deadline(p), now))
        return;
    if (p->state == PATH_DIRECT)
        doubt(p, now);
    else
        path_down(p);
}

struct bk_time path_deadline(const struct path *p) {
    switch (p->state) {
    case PATH_DIRECT:
        return bk_after(p->unanswered, silence_us(p));
    case PATH_IN_DOUBT:
        return p->doubt_ends;
    case PATH_RELAYED:
    case PATH_STATES:
        break;
    }
    return BK_NEVER;
}

bool path_is_direct(const struct path *p) {
    return p->state == PATH_DIRECT;
}

bool path_take_probe(struct path *p) {
    bool want = p->want_probe;
    p->want_probe = false;
    return want;
}
