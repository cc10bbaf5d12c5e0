/* SPDX-License-Identifier: MIT */
#include "server/metrics.h"

#include "base/text.h"
#include "server/turn_metrics.h"

struct row {
    enum metric metric;
    bool gauge;
    const char *name, *labels, *help; /* help NULL: the same family as the row before */
};

static const struct row rows[] = {
    {METRIC_CONNECTIONS, true, "bodkin_connections", NULL, "Open TCP connections."},
    {METRIC_ACCEPTED, false, "bodkin_connections_accepted_total", NULL,
     "Accepted TCP connections."},
    {METRIC_REFUSED_TOTAL, false, "bodkin_connections_refused_total", "reason=\"total\"",
     "TCP connections closed at once because of a limit."},
    {METRIC_REFUSED_ADDRESS, false, "bodkin_connections_refused_total", "reason=\"address\"", NULL},
    {METRIC_TLS_FAILED, false, "bodkin_tls_handshakes_failed_total", "reason=\"error\"",
     "TLS handshakes that did not finish."},
    {METRIC_TLS_TIMEOUT, false, "bodkin_tls_handshakes_failed_total", "reason=\"timeout\"", NULL},
    {METRIC_HTTP_REQUESTS, false, "bodkin_http_requests_total", NULL, "HTTP requests answered."},
    {METRIC_HTTP_BAD, false, "bodkin_http_failed_total", "reason=\"malformed\"",
     "HTTP connections that made no sense."},
    {METRIC_HTTP_TIMEOUT, false, "bodkin_http_failed_total", "reason=\"timeout\"", NULL},
    {METRIC_HTTP_UPGRADES, false, "bodkin_http_upgrades_total", NULL,
     "Connections that became relayed."},
    {METRIC_RELAY_CONNECTIONS, true, "bodkin_relay_connections", NULL, "Open relay connections."},
    {METRIC_RELAY_KEYS, true, "bodkin_relay_keys", NULL, "Clients by key."},
    {METRIC_RELAY_HANDSHAKES, false, "bodkin_relay_handshakes_total", NULL,
     "Clients that said who they are."},
    {METRIC_RELAY_HANDSHAKES_FAILED, false, "bodkin_relay_handshakes_failed_total", NULL,
     "Relay connections that did not say who they are."},
    {METRIC_RELAY_PACKETS_IN, false, "bodkin_relay_packets_total", "direction=\"in\"",
     "Relayed packets."},
    {METRIC_RELAY_PACKETS_OUT, false, "bodkin_relay_packets_total", "direction=\"out\"", NULL},
    {METRIC_RELAY_BYTES_IN, false, "bodkin_relay_bytes_total", "direction=\"in\"",
     "Relayed bytes, packets' data only."},
    {METRIC_RELAY_BYTES_OUT, false, "bodkin_relay_bytes_total", "direction=\"out\"", NULL},
    {METRIC_RELAY_FORWARDED_OUT, false, "bodkin_relay_forwarded_total", "direction=\"out\"",
     "Packets passed between workers."},
    {METRIC_RELAY_FORWARDED_IN, false, "bodkin_relay_forwarded_total", "direction=\"in\"", NULL},
    {METRIC_RELAY_FORWARD_FULL, false, "bodkin_relay_forward_full_total", NULL,
     "Packets another worker had no room for."},
    {METRIC_RELAY_PROTOCOL_ERRORS, false, "bodkin_relay_protocol_errors_total", NULL,
     "Connections closed for a frame that must not come."},
    {METRIC_RELAY_STALLED, false, "bodkin_relay_stalled_total", NULL,
     "Connections closed because they took no bytes."},
    {METRIC_RELAY_PAUSES, false, "bodkin_relay_pauses_total", NULL,
     "Times a sender was slowed down for a congested receiver."},
    {METRIC_RELAY_REFUSED, false, "bodkin_relay_refused_total", NULL,
     "Relay connections refused because the worker was full."},
    {METRIC_STUN_TCP_CONNECTIONS, true, "bodkin_stun_tcp_connections", NULL,
     "Open STUN connections over TCP."},
    {METRIC_DTLS_SESSIONS, true, "bodkin_dtls_sessions", NULL, "DTLS sessions."},
    {METRIC_DTLS_FAILED, false, "bodkin_dtls_handshakes_failed_total", "reason=\"error\"",
     "DTLS handshakes that did not finish."},
    {METRIC_DTLS_REFUSED, false, "bodkin_dtls_handshakes_failed_total", "reason=\"limit\"", NULL},
    {METRIC_UDP_IN, false, "bodkin_udp_datagrams_total", "direction=\"in\"", "UDP datagrams."},
    {METRIC_UDP_OUT, false, "bodkin_udp_datagrams_total", "direction=\"out\"", NULL},
    {METRIC_UDP_BYTES_IN, false, "bodkin_udp_bytes_total", "direction=\"in\"",
     "UDP payload bytes."},
    {METRIC_UDP_BYTES_OUT, false, "bodkin_udp_bytes_total", "direction=\"out\"", NULL},
    {METRIC_UDP_LOST, false, "bodkin_udp_lost_total", "reason=\"full\"",
     "UDP datagrams the kernel did not take; too_long_in: that were cut when they came."},
    {METRIC_UDP_NO_WAY, false, "bodkin_udp_lost_total", "reason=\"unreachable\"", NULL},
    {METRIC_UDP_TOO_LONG, false, "bodkin_udp_lost_total", "reason=\"too_long\"", NULL},
    {METRIC_UDP_ERROR, false, "bodkin_udp_lost_total", "reason=\"error\"", NULL},
    {METRIC_UDP_TOO_LONG_IN, false, "bodkin_udp_lost_total", "reason=\"too_long_in\"", NULL},
    {METRIC_TURN_ALLOCATIONS, true, "bodkin_turn_allocations", NULL, "Live TURN allocations."},
    {METRIC_TURN_PERMISSIONS, true, "bodkin_turn_permissions", NULL, "Their permissions."},
    {METRIC_TURN_CHANNELS, true, "bodkin_turn_channels", NULL, "Their channels."},
    {METRIC_TURN_FLOWS, true, "bodkin_turn_flows", NULL, "Channels carried in the kernel."},
    {METRIC_TURN_BYTES_TO_PEER, false, "bodkin_turn_bytes_total", "direction=\"to_peer\"",
     "Bytes of data relayed, of live sessions, too."},
    {METRIC_TURN_BYTES_TO_CLIENT, false, "bodkin_turn_bytes_total", "direction=\"to_client\"",
     NULL},
    {METRIC_TURN_LOST_STREAM, false, "bodkin_turn_lost_total", "reason=\"slow_client\"",
     "TURN data lost in the server, beside what is dropped for a rule (events, refusals)."},
    {METRIC_TURN_LOST_DTLS, false, "bodkin_turn_lost_total", "reason=\"dtls\"", NULL},
    {METRIC_TURN_LOST_PASS, false, "bodkin_turn_lost_total", "reason=\"other_worker_full\"", NULL},
    {METRIC_TURN_LOST_WAIT, false, "bodkin_turn_lost_total", "reason=\"too_many_wait\"", NULL},
};

void metrics_from_hub(struct metrics *m, const struct relay_hub *hub) {
    struct relay_hub_stats s;
    relay_hub_stats(hub, &s);
    metric_set(m, METRIC_RELAY_CONNECTIONS, s.conns);
    metric_set(m, METRIC_RELAY_KEYS, s.keys);
    metric_set(m, METRIC_RELAY_HANDSHAKES, s.handshakes);
    metric_set(m, METRIC_RELAY_HANDSHAKES_FAILED, s.handshake_failed);
    metric_set(m, METRIC_RELAY_PACKETS_IN, s.packets_in);
    metric_set(m, METRIC_RELAY_PACKETS_OUT, s.packets_out);
    metric_set(m, METRIC_RELAY_BYTES_IN, s.bytes_in);
    metric_set(m, METRIC_RELAY_BYTES_OUT, s.bytes_out);
    metric_set(m, METRIC_RELAY_FORWARDED_OUT, s.forwarded_out);
    metric_set(m, METRIC_RELAY_FORWARDED_IN, s.forwarded_in);
    metric_set(m, METRIC_RELAY_PROTOCOL_ERRORS, s.protocol_errors);
    metric_set(m, METRIC_RELAY_STALLED, s.stalled);
    metric_set(m, METRIC_RELAY_PAUSES, s.pauses);
    metric_set(m, METRIC_RELAY_REFUSED, s.refused);
    for (unsigned i = 0; i < RELAY_DROPS; i++)
        for (unsigned urgent = 0; urgent < 2; urgent++)
            metric_set(m, METRIC_RELAY_DROPPED + 2 * i + urgent, s.dropped[i][urgent]);
}

void metrics_from_stun(struct metrics *m, const struct stun_service *udp,
                       const struct stun_service *tcp) {
    for (unsigned i = 0; i < STUN_SERVICE_RESULTS; i++)
        metric_set(m, METRIC_STUN + i, udp->counts[i] + tcp->counts[i]);
}

uint64_t metrics_sum(struct metrics *const *sets, size_t count, unsigned which) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += atomic_load_explicit(&sets[i]->values[which], memory_order_relaxed);
    return sum;
}

void metrics_print_head(struct text *t, const char *name, const char *help, bool gauge) {
    text_str(t, "# HELP ");
    text_str(t, name);
    text_char(t, ' ');
    text_str(t, help);
    text_str(t, "\n# TYPE ");
    text_str(t, name);
    text_str(t, gauge ? " gauge\n" : " counter\n");
}

void metrics_print_value(struct text *t, const char *name, const char *labels, uint64_t value) {
    text_str(t, name);
    if (labels != NULL) {
        text_char(t, '{');
        text_str(t, labels);
        text_char(t, '}');
    }
    text_char(t, ' ');
    text_u64(t, value);
    text_char(t, '\n');
}

static void print_stun(struct text *t, struct metrics *const *sets, size_t count) {
    metrics_print_head(t, "bodkin_stun_requests_total", "STUN packets over UDP and TCP by result.",
                       false);
    for (unsigned i = 0; i < STUN_SERVICE_RESULTS; i++) {
        char labels[64];
        struct text l = text_in(labels, sizeof labels);
        text_str(&l, "result=\"");
        text_str(&l, stun_service_result_name((enum stun_service_result)i));
        text_char(&l, '"');
        metrics_print_value(t, "bodkin_stun_requests_total", labels,
                            metrics_sum(sets, count, METRIC_STUN + i));
    }
}

static void print_drops(struct text *t, struct metrics *const *sets, size_t count) {
    metrics_print_head(t, "bodkin_relay_dropped_total", "Relayed packets dropped, by reason.",
                       false);
    for (unsigned i = 0; i < 2 * RELAY_DROPS; i++) {
        char labels[96];
        struct text l = text_in(labels, sizeof labels);
        text_str(&l, "reason=\"");
        text_str(&l, relay_hub_drop_name((enum relay_hub_drop)(i / 2)));
        text_str(&l, i % 2 == 1 ? "\",kind=\"urgent\"" : "\",kind=\"other\"");
        metrics_print_value(t, "bodkin_relay_dropped_total", labels,
                            metrics_sum(sets, count, METRIC_RELAY_DROPPED + i));
    }
}

size_t metrics_print(struct metrics *const *sets, size_t count, char *out) {
    struct text t = text_in(out, METRICS_TEXT_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].help != NULL)
            metrics_print_head(&t, rows[i].name, rows[i].help, rows[i].gauge);
        metrics_print_value(&t, rows[i].name, rows[i].labels,
                            metrics_sum(sets, count, rows[i].metric));
    }
    print_stun(&t, sets, count);
    print_drops(&t, sets, count);
    turn_metrics_print(&t, sets, count);
    return t.len;
}
