/* SPDX-License-Identifier: MIT
 * Private to net: a TLS context, and one session of a stream made from it. */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "net/tls.h"
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

enum { TLS_NAME_MAX = 254, TLS_ALPN_MAX = 64, TLS_ALPNS_MAX = 4, TLS_CHAIN_MAX = 16 };

/* A server's certificates, leaf first, and its key; kept to be shown with another metacert later.
 */
struct tls_chain {
    gnutls_x509_crt_t certificates[TLS_CHAIN_MAX];
    unsigned count;
    gnutls_x509_privkey_t key;
};

struct net_tls {
    atomic_uint references;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    bool server, self_signed, verify_name, has_pin;
    uint8_t pin[NET_PIN_LEN];
    char alpn[TLS_ALPN_MAX]; /* names with commas between; empty: none */
    struct tls_chain chain;  /* servers */
};

/* An empty context with one reference and TLS 1.2 as the least version. */
BK_MUST_USE enum bk_err tls_new(bool server, const char *alpn, struct net_tls **out);
void tls_chain_fini(struct tls_chain *c);
/* Copies a formatted reason, cut to NET_REASON_MAX. `reason` may be NULL. */
void tls_reason(char *reason, const char *what, const char *file, const char *why);

/* A session of `tls`, for a client talking to `server_name` (may be NULL). The verdict on the
 * server's certificate is written to `reason`, which must outlive the session. */
BK_MUST_USE enum bk_err tls_session_new(struct net_tls *tls, const char *server_name, char *reason,
                                        gnutls_session_t *out);
/* The same for DTLS. */
BK_MUST_USE enum bk_err tls_session_new_datagram(struct net_tls *tls, const char *server_name,
                                                 char *reason, gnutls_session_t *out);

void tls_session_free(gnutls_session_t session);
/* Was this protocol chosen by ALPN? */
bool tls_session_is_alpn(gnutls_session_t session, const char *name);

/* The SHA-256 of a certificate's SubjectPublicKeyInfo. */
BK_MUST_USE enum bk_err tls_pin_of(const gnutls_datum_t *der, uint8_t pin[NET_PIN_LEN]);

#endif
