/* SPDX-License-Identifier: MIT
 * The end of a connection, RFC 9000 section 10: who ended it, why, and what still has to be sent.
 */
#include <base/assert.h>
#include <base/text.h>
#include <peer/quic_internal.h>
#include <string.h>

enum {
    ALERT_BASE = 0x100, /* CRYPTO_ERROR: a TLS alert, RFC 9001 section 4.8 */
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_CERTIFICATE_UNKNOWN = 46,
    APPLICATION_ERROR = 0x0c, /* how an application close looks before the handshake is done */
    LEAVE_PTOS = 15           /* patience for HANDSHAKE_DONE: four probes, each twice as late */
};

/* May the connection go from [row] to [column]? RFC 9000 section 10 unless a line says otherwise.
 */
static const bool state_may[QUIC_STATES][QUIC_STATES] = {
    [QUIC_IDLE] = {[QUIC_OPEN] = true, [QUIC_FINISHED] = true},
    [QUIC_OPEN] = {[QUIC_LEAVING] = true,
                   [QUIC_CLOSING] = true,
                   [QUIC_DRAINING] = true,
                   [QUIC_FINISHED] = true, /* idle timeout, section 10.1 */
                   [QUIC_IDLE] = true},    /* server: the first packet was not a real one */
    [QUIC_LEAVING] = {[QUIC_CLOSING] = true, [QUIC_DRAINING] = true, [QUIC_FINISHED] = true},
    [QUIC_CLOSING] = {[QUIC_DRAINING] = true, [QUIC_FINISHED] = true},
    [QUIC_DRAINING] = {[QUIC_FINISHED] = true},
};

void quic_set_state(struct quic *q, enum quic_state next) {
    bk_assert(state_may[q->state][next]);
    q->state = next;
}

static void tell(struct quic *q, enum bk_err cause, uint64_t code, bool remote, const char *reason,
                 size_t len) {
    if (q->state == QUIC_LEAVING)
        return; /* how it ended was told when it was ended */
    struct text t = text_in(q->reason, sizeof q->reason);
    text_bytes(&t, reason, len);
    q->closed = (struct quic_event){.type = QUIC_CLOSED,
                                    .stream = -1,
                                    .code = code,
                                    .cause = cause,
                                    .remote = remote,
                                    .reason = q->reason};
    q->tell_closed = true;
}

static struct bk_time after_ptos(const struct quic *q, int n) {
    return bk_after(q->now, n * (int64_t)(ngtcp2_conn_get_pto(q->conn) / NGTCP2_MICROSECONDS));
}

static void linger(struct quic *q, enum quic_state state) {
    quic_set_state(q, state);
    q->close_deadline = after_ptos(q, 3); /* RFC 9000 section 10.2 */
}

void quic_leave(struct quic *q) {
    q->want_close_packet = true;
    linger(q, QUIC_CLOSING);
}

void quic_close(struct quic *q, uint64_t code, const char *reason, struct bk_time now) {
    (void)quic_clock(q, now);
    if (q->state != QUIC_IDLE && q->state != QUIC_OPEN)
        return;
    const char *said = reason == NULL ? "" : reason;
    tell(q, BK_OK, code, false, said, strlen(said));
    if (q->state == QUIC_IDLE) {
        quic_set_state(q, QUIC_FINISHED);
        return;
    }
    quic_ccerr_set_application(&q->ccerr, code, (uint8_t *)q->reason, strlen(q->reason));
    /* A server without our Finished cannot read the application's code, and takes a close in a
     * Handshake packet for a failed handshake (RFC 9000 section 10.2.3): until it has confirmed,
     * the Finished must still be repeated. */
    if (q->config.server || !q->handshake_done || q->confirmed) {
        quic_leave(q);
        return;
    }
    quic_set_state(q, QUIC_LEAVING);
    q->close_deadline = after_ptos(q, LEAVE_PTOS);
}

void quic_timed_out(struct quic *q, const char *reason) {
    tell(q, BK_ERR_TIMEOUT, 0, false, reason, strlen(reason));
    quic_set_state(q, QUIC_FINISHED);
}

void quic_fail(struct quic *q, int liberr) {
    if (liberr == NGTCP2_ERR_IDLE_CLOSE) {
        quic_timed_out(q, "nothing heard for too long");
        return;
    }
    if (liberr == NGTCP2_ERR_HANDSHAKE_TIMEOUT) {
        quic_timed_out(q, "handshake not finished in time");
        return;
    }
    enum bk_err cause = BK_ERR_MALFORMED;
    const char *reason = ngtcp2_strerror(liberr);
    if (liberr == NGTCP2_ERR_NOMEM || liberr == NGTCP2_ERR_CALLBACK_FAILURE)
        cause = BK_ERR_NO_MEMORY;
    if (liberr == NGTCP2_ERR_CRYPTO)
        quic_ccerr_set_alert(&q->ccerr, ngtcp2_conn_get_tls_alert(q->conn), NULL, 0);
    else
        quic_ccerr_set_liberr(&q->ccerr, liberr, NULL, 0);
    if (q->wrong_peer) {
        cause = BK_ERR_AUTH;
        reason = "the peer has another key than expected";
    }
    tell(q, cause, q->ccerr.error_code, false, reason, strlen(reason));
    q->want_close_packet = true;
    linger(q, QUIC_CLOSING);
}

static enum bk_err cause_of(const struct quic *q, const quic_ccerr *said, const char **reason) {
    if (q->lost_state) {
        *reason = "the peer has lost this connection's state";
        return BK_ERR_CLOSED;
    }
    if (said->type == QUIC_CCERR_APPLICATION || said->error_code == NGTCP2_NO_ERROR)
        return BK_OK;
    if (said->error_code == APPLICATION_ERROR) {
        *reason = "closed by the peer during the handshake";
        return BK_ERR_CLOSED;
    }
    if (said->error_code >= ALERT_BASE + ALERT_BAD_CERTIFICATE &&
        said->error_code <= ALERT_BASE + ALERT_CERTIFICATE_UNKNOWN) {
        *reason = "the peer does not accept our key";
        return BK_ERR_REFUSED;
    }
    *reason = "protocol error reported by the peer";
    return BK_ERR_MALFORMED;
}

void quic_peer_closed(struct quic *q) {
    quic_ccerr said;
    quic_get_ccerr(q->conn, &said);
    const char *ours = NULL;
    enum bk_err cause = cause_of(q, &said, &ours);
    char text[QUIC_REASON_MAX] = "";
    size_t len = said.reasonlen < sizeof text ? said.reasonlen : sizeof text - 1;
    if (len > 0)
        memcpy(text, said.reason, len);
    if (len == 0 && ours != NULL) {
        len = strlen(ours);
        memcpy(text, ours, len);
    }
    for (size_t i = 0; i < len; i++) /* it may end up on a terminal */
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    tell(q, cause, said.error_code, true, text, len);
    linger(q, QUIC_DRAINING);
}

size_t quic_close_packet(struct quic *q, uint8_t *buf, size_t cap) {
    if (q->state != QUIC_CLOSING || !q->want_close_packet)
        return 0;
    q->want_close_packet = false;
    if (q->close_packet_len == 0) {
        ngtcp2_ssize n = ngtcp2_conn_write_connection_close(q->conn, NULL, NULL, q->close_packet,
                                                            sizeof q->close_packet, &q->ccerr,
                                                            quic_clock(q, q->now));
        if (n <= 0) { /* nothing can be said yet, so nobody needs to be told */
            quic_set_state(q, QUIC_FINISHED);
            return 0;
        }
        q->close_packet_len = (size_t)n;
    }
    if (q->close_packet_len > cap)
        return 0;
    memcpy(buf, q->close_packet, q->close_packet_len);
    return q->close_packet_len;
}
