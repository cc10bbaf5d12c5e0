/* SPDX-License-Identifier: MIT
 * TLS 1.3 with raw public keys (RFC 7250, RFC 8446 section 4.4.2): our Ed25519 key as certificate,
 * and exactly one accepted key on the other side. */
#include <base/wipe.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <peer/quic_internal.h>
#include <string.h>

/* AES-128-GCM first: on machines with AES instructions it costs a tenth of GnuTLS's ChaCha20.
 * Nothing but raw public keys and Ed25519 signatures is offered. */
static const char priority[] =
    "NONE:+VERS-TLS1.3:+AES-128-GCM:+CHACHA20-POLY1305:+AEAD:+ECDHE-ECDSA:+GROUP-X25519:"
    "+GROUP-SECP256R1:+SHA256:+SIGN-EDDSA-ED25519:+COMP-NULL:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK:"
    "%DISABLE_TLS13_COMPAT_MODE";

/* SubjectPublicKeyInfo and PrivateKeyInfo of Ed25519 up to the key, RFC 8410 sections 4 and 7. */
static const uint8_t spki_prefix[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                        0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t pkcs8_prefix[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                         0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
static unsigned char alpn[] = "bodkin/1";

static void spki(const struct peer_key *key, uint8_t out[44]) {
    memcpy(out, spki_prefix, sizeof spki_prefix);
    memcpy(out + sizeof spki_prefix, key->bytes, PEER_KEY_LEN);
}

static int verify(gnutls_session_t session) {
    ngtcp2_crypto_conn_ref *ref = gnutls_session_get_ptr(session);
    struct quic *q = ref->user_data;
    unsigned int count = 0;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &count);
    q->wrong_peer = shown == NULL || count != 1 || shown->size != sizeof q->expected_spki ||
                    !equal_secret(shown->data, q->expected_spki, sizeof q->expected_spki);
    return q->wrong_peer ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref) {
    const struct quic *q = ref->user_data;
    return q->conn;
}

static int load_key(struct quic *q, const struct identity *id) {
    uint8_t public_der[44], secret_der[48];
    spki(&id->key, public_der);
    memcpy(secret_der, pkcs8_prefix, sizeof pkcs8_prefix);
    memcpy(secret_der + sizeof pkcs8_prefix, id->seed, sizeof id->seed);
    const gnutls_datum_t pub = {public_der, sizeof public_der};
    const gnutls_datum_t sec = {secret_der, sizeof secret_der};
    int r = gnutls_certificate_set_rawpk_key_mem(q->cred, &pub, &sec, GNUTLS_X509_FMT_DER, NULL, 0,
                                                 NULL, 0, 0);
    wipe(secret_der, sizeof secret_der);
    return r;
}

static int session_configure(struct quic *q) {
    const gnutls_datum_t protocol = {alpn, sizeof alpn - 1};
    gnutls_session_set_ptr(q->tls, &q->conn_ref);
    gnutls_session_set_verify_function(q->tls, verify);
    int r = gnutls_priority_set_direct(q->tls, priority, NULL);
    if (r == 0)
        r = gnutls_credentials_set(q->tls, GNUTLS_CRD_CERTIFICATE, q->cred);
    if (r == 0)
        r = gnutls_alpn_set_protocols(q->tls, &protocol, 1, GNUTLS_ALPN_MANDATORY);
    if (r == 0)
        r = q->config.server ? ngtcp2_crypto_gnutls_configure_server_session(q->tls)
                             : ngtcp2_crypto_gnutls_configure_client_session(q->tls);
    if (r == 0 && q->config.server)
        gnutls_certificate_server_set_request(q->tls, GNUTLS_CERT_REQUIRE);
    return r;
}

static enum bk_err session_new(struct quic *q) {
    unsigned flags = GNUTLS_ENABLE_RAWPK | GNUTLS_NO_END_OF_EARLY_DATA | GNUTLS_NO_TICKETS;
    flags |= q->config.server ? (unsigned)GNUTLS_SERVER : (unsigned)GNUTLS_CLIENT;
    if (gnutls_init(&q->tls, flags) != 0)
        return BK_ERR_NO_MEMORY;
    q->conn_ref = (ngtcp2_crypto_conn_ref){.get_conn = conn_of, .user_data = q};
    return session_configure(q) == 0 ? BK_OK : BK_ERR_UNSUPPORTED;
}

enum bk_err quic_tls_init(struct quic *q) {
    if (q->cred == NULL) {
        spki(&q->config.peer, q->expected_spki);
        if (gnutls_certificate_allocate_credentials(&q->cred) != 0)
            return BK_ERR_NO_MEMORY;
        if (load_key(q, q->config.identity) != 0)
            return BK_ERR_UNSUPPORTED;
    }
    q->config.identity = NULL; /* borrowed for quic_new only; the credentials have it now */
    if (q->tls != NULL)
        gnutls_deinit(q->tls);
    q->tls = NULL;
    return session_new(q);
}

void quic_tls_fini(struct quic *q) {
    if (q->tls != NULL)
        gnutls_deinit(q->tls);
    if (q->cred != NULL)
        gnutls_certificate_free_credentials(q->cred);
    q->tls = NULL;
    q->cred = NULL;
}
