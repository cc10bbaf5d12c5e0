/* SPDX-License-Identifier: MIT
 * TLS contexts: what a client expects of a server, and what a server shows. TLS 1.2 is the least,
 * TLS 1.3 the rule. A context is read-only after its creation, counted, and may be shared by
 * threads; streams hold their own reference. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pin: SHA-256 of the SubjectPublicKeyInfo (DER) of a server's own certificate. */
enum { NET_PIN_LEN = 32, NET_PIN_TEXT_MAX = 44, NET_REASON_MAX = 200 };

struct net_tls;

struct net_tls_client_config {
    bool verify_name;    /* demand a chain to a system CA, and the host name; default true */
    const uint8_t *pin;  /* NET_PIN_LEN bytes the server's certificate must hash to, or NULL. At
                            least one of these must be set */
    bool insecure;       /* demand nothing, for tests: verify_name and pin are not looked at */
    const char *ca_file; /* PEM file of CAs instead of the system's, or NULL */
    const char *alpn;    /* the one protocol offered, or NULL: no ALPN (DERP clients send none) */
};
extern const struct net_tls_client_config net_tls_client_config_default;

/* BK_ERR_ARGUMENT: neither name nor pin is to be checked. BK_ERR_NOT_FOUND: no usable CA file; only
 * then and for MALFORMED is `reason` (room for NET_REASON_MAX) written. */
BK_MUST_USE enum bk_err net_tls_client_new(const struct net_tls_client_config *config,
                                           struct net_tls **out, char *reason);

struct net_tls_server_config {
    const char *cert_file; /* PEM chain, leaf first; NULL: self-signed, kept in state_dir */
    const char *key_file;  /* PEM key; NULL: in cert_file */
    const char *state_dir; /* for self-signed: tls.pem (0600) is read there, or made */
    const char *name;      /* for self-signed: host name or IP address put into it */
    const uint8_t
        *metacert; /* DER certificate appended to what is sent (DERP fast start), or NULL */
    size_t metacert_len;
    const char *alpn; /* the protocols chosen when a client offers one, best first, with commas
                         between (at most 4), or NULL. A client that offers others is served, too */
};

/* `reason` (room for NET_REASON_MAX) gets one sentence that names the file on failure.
 * BK_ERR_NOT_FOUND, BK_ERR_PERMISSION, BK_ERR_MALFORMED, BK_ERR_AUTH: the key does not fit the
 * certificate, BK_ERR_IO. */
BK_MUST_USE enum bk_err net_tls_server_new(const struct net_tls_server_config *config,
                                           struct net_tls **out, char *reason);

/* The same certificate and key as `from` shows, with another metacert: it expires every 30 days,
 * and by then the files may be out of reach. */
BK_MUST_USE enum bk_err net_tls_server_renew(const struct net_tls *from, const uint8_t *metacert,
                                             size_t metacert_len, struct net_tls **out);

struct net_tls *net_tls_ref(struct net_tls *tls); /* returns its argument; thread-safe */
void net_tls_unref(struct net_tls *tls);          /* thread-safe; NULL is fine */

/* Server contexts: the pin of the leaf certificate, NET_PIN_LEN bytes. */
const uint8_t *net_tls_pin(const struct net_tls *tls);
/* Server contexts: made by us (clients need the pin), not given in files. */
bool net_tls_is_self_signed(const struct net_tls *tls);

/* 43 characters of base64url without padding (RFC 4648 section 5). `out` has room for
 * NET_PIN_TEXT_MAX. Returns `out`. */
char *net_pin_format(const uint8_t *pin, char *out);
/* BK_ERR_MALFORMED: not such a text. `text` need not end after it: `len` characters are read. */
BK_MUST_USE enum bk_err net_pin_parse(const char *text, size_t len, uint8_t pin[NET_PIN_LEN]);

#endif
