/* SPDX-License-Identifier: MIT
 * How long a connection may be silent before it must be used, learnt: NATs forget idle TCP after
 * anything from one minute to two hours (RFC 5382 REQ-5 asks for the latter), and all a host sees
 * of it is that nobody answers any more. The interval starts short and grows while connections
 * survive it; when one has died in silence it falls below that, and what killed is not tried again
 * for long. The limit is how long we accept to be unreachable without knowing it: a silent death
 * shows when the interval is over. */
#ifndef RELAY_KEEPALIVE_H
#define RELAY_KEEPALIVE_H

#include <stdint.h>

enum { KEEPALIVE_DEFAULT_S = 300, KEEPALIVE_MAX_S = 7200, KEEPALIVE_MIN_S = 15 };

struct keepalive {
    int64_t interval_us; /* ask after this much silence */
    int64_t max_us;
    int64_t bad_us;     /* a silence that a connection did not survive; 0: none known */
    unsigned survivals; /* at the highest interval since then */
    unsigned deaths;    /* in this network, as far as they count */
};

/* `max_s`: 0 for KEEPALIVE_DEFAULT_S; at most KEEPALIVE_MAX_S. */
void keepalive_init(struct keepalive *k, uint32_t max_s);
/* After `silence_us` without a byte the other side answered. */
void keepalive_survived(struct keepalive *k, int64_t silence_us);
/* It did not, while the network itself works. */
void keepalive_died(struct keepalive *k, int64_t silence_us);
/* Another network, other boxes in it. */
void keepalive_forget(struct keepalive *k);

#endif
