/* SPDX-License-Identifier: MIT
 * How many packets an address has got from us without a word coming back: a peer names the
 * addresses that are probed, and it may lie. Each address has a budget that all sessions share;
 * what is spent comes back slowly, or at once when the peer proves that it is there. */
#ifndef PEER_TARGETS_H
#define PEER_TARGETS_H

#include <bodkin/addr.h>
#include <bodkin/time.h>

enum {
    TARGETS_MAX = 64,      /* addresses remembered; a new one takes the place of the oldest */
    TARGETS_BUDGET = 6144, /* packets without an answer: three attempts with all they may cost */
    TARGETS_PER_HOUR = 2048
};

struct targets {
    struct targets_entry {
        struct bk_ip ip; /* family 0: free */
        uint32_t left;
        struct bk_time seen;
    } entries[TARGETS_MAX];
};

/* One more packet to `ip`? false: it has had enough for now. */
bool targets_take(struct targets *t, const struct bk_ip *ip, struct bk_time now);
/* The peer answered from there. */
void targets_proved(struct targets *t, const struct bk_ip *ip);

#endif
