/* SPDX-License-Identifier: MIT
 * Events: never queued, always derived from what is pending, so there is no queue to overflow. */
#include <peer/quic_internal.h>

static const struct {
    uint8_t bit;
    enum quic_event_type type;
} stream_events[] = {
    {PENDING_OPENED, QUIC_STREAM_OPENED},     {PENDING_READABLE, QUIC_STREAM_READABLE},
    {PENDING_WRITABLE, QUIC_STREAM_WRITABLE}, {PENDING_RESET, QUIC_STREAM_RESET},
    {PENDING_STOPPED, QUIC_STREAM_STOPPED},   {PENDING_CLOSED, QUIC_STREAM_CLOSED},
};

static void list_pop(struct quic *q, struct quic_stream *s) {
    q->event_first = s->event_next;
    if (q->event_first == NULL)
        q->event_last = NULL;
    s->listed = false;
}

static uint64_t event_code(const struct quic_stream *s, uint8_t bit) {
    if (bit == PENDING_RESET)
        return s->reset_code;
    return bit == PENDING_CLOSED ? s->close_code : 0;
}

/* The stream at the head tells all it has, then makes room; the last event frees it. */
static bool next_stream_event(struct quic *q, struct quic_event *out) {
    for (struct quic_stream *s = q->event_first; s != NULL; s = q->event_first) {
        for (size_t i = 0; i < sizeof stream_events / sizeof stream_events[0]; i++) {
            uint8_t bit = stream_events[i].bit;
            if ((s->pending & bit) == 0)
                continue;
            *out = (struct quic_event){
                .type = stream_events[i].type, .stream = s->id, .code = event_code(s, bit)};
            s->pending &= (uint8_t)~bit;
            if (s->pending == 0)
                list_pop(q, s);
            if (bit == PENDING_CLOSED)
                quic_stream_free(q, s);
            return true;
        }
        list_pop(q, s); /* what was pending has been taken back */
    }
    return false;
}

static bool take(bool *flag, enum quic_event_type type, struct quic_event *out) {
    if (!*flag)
        return false;
    *flag = false;
    *out = (struct quic_event){.type = type, .stream = -1};
    return true;
}

bool quic_next_event(struct quic *q, struct quic_event *out) {
    if (q->told_closed)
        return false;
    if (take(&q->tell_handshake, QUIC_HANDSHAKE_DONE, out) || next_stream_event(q, out) ||
        take(&q->tell_allowed, QUIC_STREAMS_ALLOWED, out) ||
        take(&q->tell_datagram, QUIC_DATAGRAM, out))
        return true;
    if (!q->tell_closed)
        return false;
    q->tell_closed = false;
    q->told_closed = true;
    *out = q->closed;
    return true;
}
