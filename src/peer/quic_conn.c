/* SPDX-License-Identifier: MIT
 * Making the ngtcp2 connection: settings, transport parameters, connection IDs. */
#include <arpa/inet.h>
#include <base/rng.h>
#include <peer/quic_internal.h>
#include <string.h>

enum {
    STREAM_WINDOW_START = 1 << 20, /* doubled by ngtcp2 while the reader keeps up */
    WINDOW_START = 2 << 20
};

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static ngtcp2_duration ms(uint32_t n) {
    return n * NGTCP2_MILLISECONDS;
}

static void settings_fill(struct quic *q, uint64_t ts, ngtcp2_settings *s) {
    const struct quic_config *c = &q->config;
    ngtcp2_settings_default(s);
    s->initial_ts = ts;
    s->initial_rtt = ms(c->initial_rtt_ms);
    s->cc_algo = c->congestion == QUIC_BBR ? NGTCP2_CC_ALGO_BBR : NGTCP2_CC_ALGO_CUBIC;
    s->handshake_timeout = ms(c->handshake_timeout_ms);
    s->rand_ctx.native_handle = &q->config.rng;
    /* The session knows what the path carries and says so with each train: no probing here. */
    s->max_tx_udp_payload_size = QUIC_PAYLOAD_MAX;
    s->no_tx_udp_payload_size_shaping = 1;
    s->no_pmtud = 1;
    s->max_window = c->window_max;
    s->max_stream_window = c->stream_window_max;
}

static void params_fill(const struct quic *q, ngtcp2_transport_params *p) {
    const struct quic_config *c = &q->config;
    ngtcp2_transport_params_default(p);
    p->initial_max_stream_data_bidi_local = least(STREAM_WINDOW_START, c->stream_window_max);
    p->initial_max_stream_data_bidi_remote = least(STREAM_WINDOW_START, c->stream_window_max);
    p->initial_max_data = least(WINDOW_START, c->window_max);
    p->initial_max_streams_bidi = c->streams_max;
    p->initial_max_streams_uni = 0;
    p->max_idle_timeout = ms(c->idle_timeout_ms);
    p->max_datagram_frame_size = 65535;
    p->active_connection_id_limit = 2;
    p->disable_active_migration = 1;
    p->grease_quic_bit = 0; /* ngtcp2 before 0.19 ignores this; see on_rand() */
}

static void cid_with_tag(ngtcp2_cid *cid, uint32_t tag, size_t len) {
    const uint8_t bytes[QUIC_TAG_LEN] = {(uint8_t)(tag >> 24), (uint8_t)(tag >> 16),
                                         (uint8_t)(tag >> 8), (uint8_t)tag};
    memset(cid, 0, sizeof *cid);
    cid->datalen = len;
    memcpy(cid->data, bytes, sizeof bytes);
}

static void own_cid(struct quic *q, ngtcp2_cid *cid) {
    cid_with_tag(cid, q->config.local_tag, QUIC_CID_LEN);
    rng_fill(&q->config.rng, cid->data + QUIC_TAG_LEN, QUIC_CID_LEN - QUIC_TAG_LEN);
}

/* QUIC insists on addresses; these two never leave the process. */
void quic_path(struct quic *q, ngtcp2_path *out) {
    memset(out, 0, sizeof *out);
    out->local.addr = (ngtcp2_sockaddr *)&q->local_addr;
    out->local.addrlen = sizeof q->local_addr;
    out->remote.addr = (ngtcp2_sockaddr *)&q->remote_addr;
    out->remote.addrlen = sizeof q->remote_addr;
}

static void virtual_addresses(struct quic *q) {
    const struct sockaddr_in client = {.sin_family = AF_INET,
                                       .sin_port = htons(1),
                                       .sin_addr.s_addr = htonl(0x0aff0001)}; /* 10.255.0.1 */
    const struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons(2), .sin_addr.s_addr = htonl(0x0aff0002)};
    q->local_addr = q->config.server ? server : client;
    q->remote_addr = q->config.server ? client : server;
}

static enum bk_err conn_ready(struct quic *q, int made) {
    if (made != 0) {
        q->conn = NULL;
        return made == NGTCP2_ERR_NOMEM ? BK_ERR_NO_MEMORY : BK_ERR_MALFORMED;
    }
    ngtcp2_conn_set_tls_native_handle(q->conn, q->tls);
    if (q->config.keep_alive_ms != 0)
        ngtcp2_conn_set_keep_alive_timeout(q->conn, ms(q->config.keep_alive_ms));
    quic_set_state(q, QUIC_OPEN);
    return BK_OK;
}

enum bk_err quic_conn_client(struct quic *q, uint64_t ts) {
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks callbacks;
    ngtcp2_path path;
    ngtcp2_cid dcid, scid;
    virtual_addresses(q);
    settings_fill(q, ts, &settings);
    params_fill(q, &params);
    quic_callbacks_fill(&callbacks, false);
    quic_path(q, &path);
    cid_with_tag(&dcid, q->config.remote_tag, QUIC_FIRST_CID_LEN);
    memcpy(dcid.data + QUIC_TAG_LEN, q->config.binding, QUIC_BINDING_LEN);
    own_cid(q, &scid);
    return conn_ready(q, ngtcp2_conn_client_new(&q->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
                                                &callbacks, &settings, &params, NULL, q));
}

enum bk_err quic_conn_server(struct quic *q, const ngtcp2_pkt_hd *hd, uint64_t ts) {
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks callbacks;
    ngtcp2_path path;
    ngtcp2_cid scid;
    virtual_addresses(q);
    settings_fill(q, ts, &settings);
    params_fill(q, &params);
    quic_params_set_original_dcid(&params, &hd->dcid);
    quic_callbacks_fill(&callbacks, true);
    quic_path(q, &path);
    own_cid(q, &scid);
    return conn_ready(q, ngtcp2_conn_server_new(&q->conn, &hd->scid, &scid, &path, hd->version,
                                                &callbacks, &settings, &params, NULL, q));
}
