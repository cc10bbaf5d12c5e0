/* SPDX-License-Identifier: MIT
 * What the two ends of a load say to each other, inside the data that the server relays. No other
 * channel is needed, so any server between any two machines can be measured.
 *
 *     HELLO     the flow `flow` of run `run` comes from here. A new run forgets the one before
 *     WELCOME   the answer: say HELLO again with this `cookie`, which proves that you are there
 *     START     send trains to all flows that proved it, as `load` says; STARTED is the answer
 *     DATA      counted; `sent_ns`, unless 0, is when it left by CLOCK_REALTIME
 *     ECHO      goes back as it came
 *     ASK       TOLD is the answer: what came in so far */
#ifndef CLI_TURN_LOAD_H
#define CLI_TURN_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TURN_LOAD_HEADER = 24, TURN_LOAD_MAX = 96, TURN_LOAD_FLOWS = 65536 };

enum turn_word {
    TURN_WORD_DATA = 1,
    TURN_WORD_ECHO,
    TURN_WORD_HELLO,
    TURN_WORD_WELCOME,
    TURN_WORD_START,
    TURN_WORD_STARTED,
    TURN_WORD_ASK,
    TURN_WORD_TOLD
};

struct turn_load {
    uint32_t burst; /* datagrams in a row to one flow */
    uint32_t size;  /* bytes of each, TURN_LOAD_HEADER or more */
    uint32_t rate;  /* datagrams per second, all flows together; 0: as many as leave */
    uint32_t ms;
    uint32_t stamp; /* 1: DATA says when it left */
};

struct turn_told {
    uint64_t packets, bytes, lost, sent; /* lost: came, and found the socket's buffer full */
    uint64_t p50_ns, p90_ns, p99_ns, max_ns, stamped;
};

struct turn_message {
    uint8_t word; /* enum turn_word */
    uint32_t run, flow;
    int64_t sent_ns;
    uint32_t cookie;       /* WELCOME, and HELLO after it */
    struct turn_load load; /* START */
    struct turn_told told; /* TOLD */
};

/* The length; `out` has room for TURN_LOAD_MAX. */
size_t turn_message_write(const struct turn_message *m, uint8_t *out);
/* false: not one of these. */
bool turn_message_read(const uint8_t *data, size_t len, struct turn_message *out);

/* How many datagrams a rate asks for by a time. */
struct turn_pace {
    int64_t begun_ns, until_ns;
    uint64_t sent;
    struct turn_load load;
};
void turn_pace_start(struct turn_pace *p, const struct turn_load *load, int64_t now_ns);
/* How many trains are due: 0: later. */
uint32_t turn_pace_due(const struct turn_pace *p, int64_t now_ns);
/* When the next one is. */
int64_t turn_pace_next(const struct turn_pace *p);

#endif
