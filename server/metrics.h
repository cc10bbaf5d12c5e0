/* SPDX-License-Identifier: MIT
 * Counters of a worker, and their sum over all workers as Prometheus text. A new metric is one name
 * in the enum and one row in metrics.c. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/text.h"
#include "relay/hub.h"
#include "stun/service.h"
#include "turn/service.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* How long data and requests of TURN are in a worker: histograms, of each the steps (`le` in
 * turn_latency.c), what is above, and the sum in microseconds. */
enum turn_latency { TURN_LATENCY_DATA, TURN_LATENCY_REQUEST, TURN_LATENCIES };
enum { TURN_LATENCY_STEPS = 12 };

enum metric {
    METRIC_CONNECTIONS, /* gauge: open TCP connections */
    METRIC_ACCEPTED,
    METRIC_REFUSED_TOTAL,   /* over --connections-max */
    METRIC_REFUSED_ADDRESS, /* over --per-address-max */
    METRIC_TLS_FAILED,
    METRIC_TLS_TIMEOUT,
    METRIC_HTTP_REQUESTS,
    METRIC_HTTP_BAD,
    METRIC_HTTP_TIMEOUT,
    METRIC_HTTP_UPGRADES,
    METRIC_RELAY_CONNECTIONS, /* gauge */
    METRIC_RELAY_KEYS,        /* gauge */
    METRIC_RELAY_HANDSHAKES,
    METRIC_RELAY_HANDSHAKES_FAILED,
    METRIC_RELAY_PACKETS_IN,
    METRIC_RELAY_PACKETS_OUT,
    METRIC_RELAY_BYTES_IN,
    METRIC_RELAY_BYTES_OUT,
    METRIC_RELAY_FORWARDED_OUT,
    METRIC_RELAY_FORWARDED_IN,
    METRIC_RELAY_FORWARD_FULL, /* packets the other worker had no room for */
    METRIC_RELAY_PROTOCOL_ERRORS,
    METRIC_RELAY_STALLED,
    METRIC_RELAY_PAUSES,
    METRIC_RELAY_REFUSED,
    METRIC_STUN_TCP_CONNECTIONS, /* gauge */
    METRIC_DTLS_SESSIONS,        /* gauge */
    METRIC_DTLS_FAILED,          /* handshakes */
    METRIC_DTLS_REFUSED,         /* handshakes there was no room for */
    METRIC_UDP_IN,
    METRIC_UDP_OUT,
    METRIC_UDP_BYTES_IN,
    METRIC_UDP_BYTES_OUT,
    METRIC_UDP_LOST,     /* the kernel's buffer was full */
    METRIC_UDP_NO_WAY,   /* no route, an ICMP error, a firewall */
    METRIC_UDP_TOO_LONG, /* for the interface */
    METRIC_UDP_ERROR,    /* the kernel said something else */
    METRIC_UDP_TOO_LONG_IN,
    METRIC_TURN_ALLOCATIONS, /* gauge, like the next three */
    METRIC_TURN_PERMISSIONS,
    METRIC_TURN_CHANNELS,
    METRIC_TURN_FLOWS,
    METRIC_TURN_BYTES_TO_PEER,
    METRIC_TURN_BYTES_TO_CLIENT,
    METRIC_TURN_LOST_STREAM, /* to a client over TCP or TLS who does not read */
    METRIC_TURN_LOST_DTLS,
    METRIC_TURN_LOST_PASS, /* another worker's inbox was full */
    METRIC_TURN_LOST_WAIT, /* a request, while its user is looked up */
    METRIC_TURN_LATENCY,   /* TURN_LATENCY_STEPS + 2 for each enum turn_latency */
    METRIC_TURN = METRIC_TURN_LATENCY + TURN_LATENCIES * (TURN_LATENCY_STEPS + 2), /* one for each
                                                        enum turn_count */
    METRIC_TURN_REFUSED = METRIC_TURN + TURN_COUNTS, /* one for each enum turn_rule */
    METRIC_STUN = METRIC_TURN_REFUSED + TURN_RULES,  /* one for each enum stun_service_result */
    METRIC_RELAY_DROPPED = METRIC_STUN + STUN_SERVICE_RESULTS, /* two for each relay_hub_drop */
    METRICS = METRIC_RELAY_DROPPED + 2 * RELAY_DROPS
};

struct turn_board;

/* Written by one worker, read by whoever answers /metrics: relaxed atomics, nothing is ordered by
 * them. */
struct metrics {
    atomic_uint_fast64_t values[METRICS];
    struct turn_board *board; /* the users with the most; NULL: no TURN */
};

static inline void metric_add(struct metrics *m, enum metric which, uint64_t n) {
    atomic_fetch_add_explicit(&m->values[which], n, memory_order_relaxed);
}

/* Gauges go down by this. */
static inline void metric_sub(struct metrics *m, enum metric which, uint64_t n) {
    atomic_fetch_sub_explicit(&m->values[which], n, memory_order_relaxed);
}

static inline void metric_set(struct metrics *m, enum metric which, uint64_t value) {
    atomic_store_explicit(&m->values[which], value, memory_order_relaxed);
}

/* Copies the counters that live in protocol objects. */
void metrics_from_hub(struct metrics *m, const struct relay_hub *hub);
void metrics_from_stun(struct metrics *m, const struct stun_service *udp,
                       const struct stun_service *tcp);

enum { METRICS_TEXT_MAX = 32768 };

/* For whoever prints families of their own. */
uint64_t metrics_sum(struct metrics *const *sets, size_t count, unsigned which);
void metrics_print_head(struct text *t, const char *name, const char *help, bool gauge);
void metrics_print_value(struct text *t, const char *name, const char *labels, uint64_t value);

/* The sum of `count` sets as text (Prometheus exposition format 0.0.4) in `out`, which has room for
 * METRICS_TEXT_MAX. Returns its length. */
size_t metrics_print(struct metrics *const *sets, size_t count, char *out);

#endif
