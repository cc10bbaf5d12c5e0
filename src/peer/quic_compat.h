/* SPDX-License-Identifier: MIT
 * ngtcp2 0.12 (Debian 12) and 1.x from one source: the names that changed in 1.0, and nothing else.
 * The rest of src/peer uses the names on the left. */
#ifndef PEER_QUIC_COMPAT_H
#define PEER_QUIC_COMPAT_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stdint.h>

#if NGTCP2_VERSION_NUM >= 0x010000

typedef ngtcp2_encryption_level quic_level;
#define QUIC_LEVEL_APPLICATION NGTCP2_ENCRYPTION_LEVEL_1RTT
typedef ngtcp2_ccerr quic_ccerr;
#define quic_ccerr_default ngtcp2_ccerr_default
#define quic_ccerr_set_application ngtcp2_ccerr_set_application_error
#define quic_ccerr_set_liberr ngtcp2_ccerr_set_liberr
#define quic_ccerr_set_alert ngtcp2_ccerr_set_tls_alert
#define QUIC_CCERR_APPLICATION NGTCP2_CCERR_TYPE_APPLICATION
typedef ngtcp2_conn_info quic_conn_info;
#define quic_get_conn_info ngtcp2_conn_get_conn_info

static inline void quic_get_ccerr(ngtcp2_conn *conn, quic_ccerr *out) {
    *out = *ngtcp2_conn_get_ccerr(conn);
}
static inline int quic_shutdown_write(ngtcp2_conn *conn, int64_t id, uint64_t code) {
    return ngtcp2_conn_shutdown_stream_write(conn, 0, id, code);
}
static inline int quic_shutdown_read(ngtcp2_conn *conn, int64_t id, uint64_t code) {
    return ngtcp2_conn_shutdown_stream_read(conn, 0, id, code);
}
static inline void quic_params_set_original_dcid(ngtcp2_transport_params *p, const ngtcp2_cid *c) {
    p->original_dcid = *c;
    p->original_dcid_present = 1;
}
/* 1.x asserts that time never goes back. */
static inline bool quic_time_may_step_back(void) {
    return false;
}
/* When the loss timer fires. 1.x does not tell; the earliest of all timers is never later. */
static inline ngtcp2_tstamp quic_loss_timer(ngtcp2_conn *conn) {
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(conn, &info);
    return info.bytes_in_flight > 0 ? ngtcp2_conn_get_expiry(conn) : UINT64_MAX;
}

#else

typedef ngtcp2_crypto_level quic_level;
#define QUIC_LEVEL_APPLICATION NGTCP2_CRYPTO_LEVEL_APPLICATION
typedef ngtcp2_connection_close_error quic_ccerr;
#define quic_ccerr_default ngtcp2_connection_close_error_default
#define quic_ccerr_set_application ngtcp2_connection_close_error_set_application_error
#define quic_ccerr_set_liberr ngtcp2_connection_close_error_set_transport_error_liberr
#define quic_ccerr_set_alert ngtcp2_connection_close_error_set_transport_error_tls_alert
#define QUIC_CCERR_APPLICATION NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION
typedef ngtcp2_conn_stat quic_conn_info;
#define quic_get_conn_info ngtcp2_conn_get_conn_stat

static inline void quic_get_ccerr(ngtcp2_conn *conn, quic_ccerr *out) {
    ngtcp2_conn_get_connection_close_error(conn, out);
}
static inline int quic_shutdown_write(ngtcp2_conn *conn, int64_t id, uint64_t code) {
    return ngtcp2_conn_shutdown_stream_write(conn, id, code);
}
static inline int quic_shutdown_read(ngtcp2_conn *conn, int64_t id, uint64_t code) {
    return ngtcp2_conn_shutdown_stream_read(conn, id, code);
}
static inline void quic_params_set_original_dcid(ngtcp2_transport_params *p, const ngtcp2_cid *c) {
    p->original_dcid = *c;
}
/* 0.12 stores no time of its own in ngtcp2_conn_handle_expiry(). */
static inline bool quic_time_may_step_back(void) {
    return true;
}
/* When the loss timer fires, or UINT64_MAX. */
static inline ngtcp2_tstamp quic_loss_timer(ngtcp2_conn *conn) {
    ngtcp2_conn_stat info;
    ngtcp2_conn_get_conn_stat(conn, &info);
    return info.loss_detection_timer;
}

#endif

#endif
