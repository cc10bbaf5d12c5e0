/* SPDX-License-Identifier: MIT
 * What ngtcp2 tells us while it reads packets. Each callback notes the fact and returns; nothing
 * here sends. */
#include <base/rng.h>
#include <peer/quic_internal.h>
#include <string.h>

/* ngtcp2 decides with a single one-byte draw whether to grease the QUIC bit (RFC 9287). Greased
 * packets look like STUN or DTLS to RFC 9443's demultiplexing, and 0.12 cannot be told not to: so
 * one-byte draws are always even, which means "do not grease". */
static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx) {
    const struct bk_rng *rng = ctx->native_handle;
    rng_fill(rng, dest, len);
    if (len == 1)
        dest[0] &= 0xfe;
}

/* ngtcp2 does not say whether a packet was genuine, and gives this callback no context; a count per
 * thread, compared before and after reading a packet, does. */
static _Thread_local uint64_t packets_opened;

/* NOLINTNEXTLINE(readability-function-size): the signature is ngtcp2's */
static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len) {
    int r = ngtcp2_crypto_decrypt_cb(dest, aead, ctx, text, len, nonce, nonce_len, aad, aad_len);
    packets_opened += r == 0;
    return r;
}

uint64_t quic_packets_opened(void) {
    return packets_opened;
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user) {
    struct quic *q = user;
    uint32_t tag = q->config.local_tag;
    (void)conn;
    cid->datalen = len;
    rng_fill(&q->config.rng, cid->data, len);
    for (size_t i = 0; i < QUIC_TAG_LEN && i < len; i++)
        cid->data[i] = (uint8_t)(tag >> (24 - 8 * i));
    rng_fill(&q->config.rng, token, NGTCP2_STATELESS_RESET_TOKENLEN);
    return 0;
}

static int on_handshake_done(ngtcp2_conn *conn, void *user) {
    struct quic *q = user;
    (void)conn;
    q->handshake_done = true;
    q->tell_handshake = true;
    q->confirmed = q->config.server;
    return 0;
}

static int on_handshake_confirmed(ngtcp2_conn *conn, void *user) {
    struct quic *q = user;
    (void)conn;
    q->confirmed = true;
    return 0;
}

static int on_tx_key(ngtcp2_conn *conn, quic_level level, void *user) {
    struct quic *q = user;
    (void)conn;
    if (level == QUIC_LEVEL_APPLICATION)
        q->early_keys = true;
    return 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user) {
    struct quic *q = user;
    struct quic_stream *s = quic_stream_add(q, id, false);
    if (s == NULL)
        return NGTCP2_ERR_CALLBACK_FAILURE; /* out of memory: the transport limit guards the rest */
    ngtcp2_conn_set_stream_user_data(conn, id, s);
    quic_stream_tell(q, s, PENDING_OPENED);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is ngtcp2's */
static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)offset;
    bool fin = (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0;
    if (stream != NULL && !quic_stream_received(user, stream, data, len, fin))
        return NGTCP2_ERR_CALLBACK_FAILURE; /* out of memory */
    return 0;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len, void *user,
                    void *stream) {
    (void)conn;
    (void)id;
    (void)offset;
    if (stream != NULL)
        quic_stream_acked(user, stream, len);
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *user,
                           void *stream) {
    struct quic *q = user;
    if (stream == NULL)
        return 0;
    q->stats.packets_lost += ngtcp2_conn_get_stream_loss_count(conn, id);
    quic_stream_forgotten(q, stream,
                          (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) != 0 ? code : 0);
    return 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size, uint64_t code,
                           void *user, void *stream) {
    (void)conn;
    (void)id;
    (void)final_size;
    if (stream != NULL)
        quic_stream_peer_reset(user, stream, code);
    return 0;
}

static int on_stream_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user, void *stream) {
    struct quic_stream *s = stream;
    (void)conn;
    (void)id;
    (void)max;
    if (s != NULL) {
        s->flow_blocked = false;
        quic_stream_ready(user, s);
    }
    return 0;
}

static int on_more_streams(ngtcp2_conn *conn, uint64_t max, void *user) {
    struct quic *q = user;
    (void)conn;
    (void)max;
    if (q->want_allowed && q->local_open < q->config.streams_max)
        q->tell_allowed = true;
    return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user) {
    (void)conn;
    (void)flags;
    quic_datagram_received(user, data, len);
    return 0;
}

static int on_lost_datagram(ngtcp2_conn *conn, uint64_t id, void *user) {
    struct quic *q = user;
    (void)conn;
    (void)id;
    q->stats.datagrams_lost++;
    return 0;
}

static int on_stateless_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *sr, void *user) {
    struct quic *q = user;
    (void)conn;
    (void)sr;
    q->lost_state = true;
    return 0;
}

static void fill_crypto(ngtcp2_callbacks *cb, bool server) {
    if (server)
        cb->recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    else {
        cb->client_initial = ngtcp2_crypto_client_initial_cb;
        cb->recv_retry = ngtcp2_crypto_recv_retry_cb;
    }
    cb->recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    cb->encrypt = ngtcp2_crypto_encrypt_cb;
    cb->decrypt = on_decrypt;
    cb->hp_mask = ngtcp2_crypto_hp_mask_cb;
    cb->update_key = ngtcp2_crypto_update_key_cb;
    cb->delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    cb->delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    cb->get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb;
    cb->version_negotiation = ngtcp2_crypto_version_negotiation_cb;
}

void quic_callbacks_fill(ngtcp2_callbacks *cb, bool server) {
    memset(cb, 0, sizeof *cb);
    fill_crypto(cb, server);
    cb->rand = on_rand;
    cb->get_new_connection_id = on_new_cid;
    cb->handshake_completed = on_handshake_done;
    cb->handshake_confirmed = on_handshake_confirmed;
    cb->recv_tx_key = on_tx_key;
    cb->stream_open = on_stream_open;
    cb->stream_close = on_stream_close;
    cb->stream_reset = on_stream_reset;
    cb->recv_stream_data = on_stream_data;
    cb->acked_stream_data_offset = on_acked;
    cb->extend_max_stream_data = on_stream_window;
    cb->extend_max_local_streams_bidi = on_more_streams;
    cb->recv_datagram = on_datagram;
    cb->lost_datagram = on_lost_datagram;
    cb->recv_stateless_reset = on_stateless_reset;
}
