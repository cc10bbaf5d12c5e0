/* SPDX-License-Identifier: MIT
 * TLS contexts and sessions on GnuTLS; tls_server.c fills in the server's certificate. */
#include "net/tls_private.h"

#include "base/assert.h"
#include "base/text.h"
#include "base/wipe.h"
#include "net/inspect.h"
#include <bodkin/addr.h>
#include <gnutls/dtls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

enum {
    DTLS_RTO_MS = 400, /* first one; RFC 9147 section 5.8.2 lets the impatient go below a second */
    DTLS_PATIENCE_MS = 60000 /* the caller's is shorter */
};

/* RFC 9325 section 3.1: nothing below TLS 1.2; DTLS 1.2 is for sessions of datagrams only. */
static const char priority_text[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-DTLS1.2";

const struct net_tls_client_config net_tls_client_config_default = {.verify_name = true};

void tls_reason(char *reason, const char *what, const char *file, const char *why) {
    if (reason == NULL)
        return;
    struct text t = text_in(reason, NET_REASON_MAX);
    text_str(&t, what);
    if (file != NULL) {
        text_char(&t, ' ');
        text_str(&t, file);
    }
    if (why != NULL) {
        text_str(&t, ": ");
        text_str(&t, why);
    }
}

enum bk_err tls_new(bool server, const char *alpn, struct net_tls **out) {
    if (alpn != NULL && strlen(alpn) >= TLS_ALPN_MAX)
        return BK_ERR_ARGUMENT;
    struct net_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return BK_ERR_NO_MEMORY;
    atomic_init(&tls->references, 1);
    tls->server = server;
    if (alpn != NULL)
        memcpy(tls->alpn, alpn, strlen(alpn));
    if (gnutls_certificate_allocate_credentials(&tls->credentials) != 0 ||
        gnutls_priority_init(&tls->priority, priority_text, NULL) != 0) {
        net_tls_unref(tls);
        return BK_ERR_NO_MEMORY;
    }
    *out = tls;
    return BK_OK;
}

struct net_tls *net_tls_ref(struct net_tls *tls) {
    atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
    return tls;
}

void net_tls_unref(struct net_tls *tls) {
    if (tls == NULL || atomic_fetch_sub_explicit(&tls->references, 1, memory_order_acq_rel) != 1)
        return;
    if (tls->credentials != NULL)
        gnutls_certificate_free_credentials(tls->credentials);
    if (tls->priority != NULL)
        gnutls_priority_deinit(tls->priority);
    tls_chain_fini(&tls->chain);
    free(tls);
}

const uint8_t *net_tls_pin(const struct net_tls *tls) {
    return tls->pin;
}

bool net_tls_is_self_signed(const struct net_tls *tls) {
    return tls->self_signed;
}

enum bk_err net_tls_client_new(const struct net_tls_client_config *config, struct net_tls **out,
                               char *reason) {
    struct net_tls *tls;
    bool verify_name = config->verify_name && !config->insecure;
    bool has_pin = config->pin != NULL && !config->insecure;
    if (!verify_name && !has_pin && !config->insecure)
        return BK_ERR_ARGUMENT;
    enum bk_err err = tls_new(false, config->alpn, &tls);
    if (err != BK_OK)
        return err;
    tls->verify_name = verify_name;
    tls->has_pin = has_pin;
    if (tls->has_pin)
        memcpy(tls->pin, config->pin, NET_PIN_LEN);
    int cas = 1;
    if (config->ca_file != NULL)
        cas = gnutls_certificate_set_x509_trust_file(tls->credentials, config->ca_file,
                                                     GNUTLS_X509_FMT_PEM);
    else if (tls->verify_name)
        cas = gnutls_certificate_set_x509_system_trust(tls->credentials);
    if (cas <= 0 && tls->verify_name) {
        tls_reason(reason, "no certificate authorities found",
                   config->ca_file == NULL
                       ? "in the system's store (package ca-certificates); a pin needs none"
                       : config->ca_file,
                   NULL);
        net_tls_unref(tls);
        return BK_ERR_NOT_FOUND;
    }
    *out = tls;
    return BK_OK;
}

enum bk_err tls_pin_of(const gnutls_datum_t *der, uint8_t pin[NET_PIN_LEN]) {
    gnutls_x509_crt_t certificate;
    size_t len = NET_PIN_LEN;
    if (gnutls_x509_crt_init(&certificate) != 0)
        return BK_ERR_NO_MEMORY;
    /* GnuTLS calls the hash of the SubjectPublicKeyInfo "key id". */
    bool made = gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == 0 &&
                gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, pin, &len) == 0 &&
                len == NET_PIN_LEN;
    gnutls_x509_crt_deinit(certificate);
    return made ? BK_OK : BK_ERR_MALFORMED;
}

/* What verification needs while the handshake runs. Freed with the session. */
struct verdict {
    const struct net_tls *tls;
    char *reason;
    char name[TLS_NAME_MAX];
};

static int refuse(const struct verdict *v, const char *text) {
    tls_reason(v->reason, text, NULL, NULL);
    return GNUTLS_E_CERTIFICATE_ERROR;
}

/* Probably: a server with a private authority, or without its intermediate, looks the same. */
static int refuse_issuer(const struct verdict *v, const char *issuer, const char *rest) {
    char what[NET_REASON_MAX];
    struct text t = text_in(what, sizeof what);
    text_str(&t, "TLS is probably inspected on the way: the certificate shown was issued by \"");
    text_str(&t, issuer);
    text_str(&t, "\"");
    text_str(&t, rest);
    return refuse(v, what);
}

static int check_pin(gnutls_session_t session, const struct verdict *v) {
    unsigned count = 0;
    uint8_t pin[NET_PIN_LEN];
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    if (chain == NULL || count == 0 || tls_pin_of(&chain[0], pin) != BK_OK)
        return refuse(v, "the server showed no usable certificate");
    char issuer[INSPECT_NAME_MAX];
    if (equal_secret(pin, v->tls->pin, NET_PIN_LEN))
        return 0;
    if (inspect_issuer(&chain[0], v->name, issuer))
        return refuse_issuer(v, issuer, "; or the server has a new key, then its pin is new, too");
    return refuse(v, "the server's certificate does not match the pin: another server answers, "
                     "or the server got a new key");
}

static int check_name(gnutls_session_t session, const struct verdict *v) {
    unsigned status = 0;
    if (gnutls_certificate_verify_peers3(session, v->name, &status) != 0)
        return refuse(v, "the server showed no usable certificate");
    if (status == 0)
        return 0;
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    char issuer[INSPECT_NAME_MAX];
    if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0 && count > 0 &&
        inspect_issuer(&chain[0], v->name, issuer))
        return refuse_issuer(v, issuer, ", whom this machine does not trust");
    gnutls_datum_t text;
    if (gnutls_certificate_verification_status_print(status, gnutls_certificate_type_get(session),
                                                     &text, 0) != 0)
        return refuse(v, "the server's certificate is not valid");
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '.'))
        text.data[--text.size] = '\0';
    tls_reason(v->reason, "the server's certificate was refused", NULL, (const char *)text.data);
    gnutls_free(text.data);
    return GNUTLS_E_CERTIFICATE_ERROR;
}

static int on_verify(gnutls_session_t session) {
    const struct verdict *v = gnutls_session_get_ptr(session);
    int result = v->tls->has_pin ? check_pin(session, v) : 0;
    if (result == 0 && v->tls->verify_name)
        result = check_name(session, v);
    return result;
}

static enum bk_err start_client(gnutls_session_t session, const struct net_tls *tls,
                                const char *server_name, char *reason) {
    struct bk_ip ip;
    size_t len = server_name == NULL ? 0 : strlen(server_name);
    if (len >= TLS_NAME_MAX || (len == 0 && tls->verify_name))
        return BK_ERR_ARGUMENT;
    struct verdict *v = calloc(1, sizeof *v);
    if (v == NULL)
        return BK_ERR_NO_MEMORY;
    v->tls = tls;
    v->reason = reason;
    memcpy(v->name, server_name == NULL ? "" : server_name, len);
    gnutls_session_set_ptr(session, v);
    gnutls_session_set_verify_function(session, on_verify);
    if (len > 0 && bk_ip_parse(server_name, &ip) != BK_OK && /* RFC 6066 section 3: no addresses */
        gnutls_server_name_set(session, GNUTLS_NAME_DNS, server_name, len) != 0)
        return BK_ERR_ARGUMENT;
    return BK_OK;
}

static bool offer_alpn(gnutls_session_t session, struct net_tls *tls) {
    gnutls_datum_t names[TLS_ALPNS_MAX];
    unsigned count = 0;
    for (char *at = tls->alpn; *at != '\0' && count < TLS_ALPNS_MAX;) {
        size_t len = strcspn(at, ",");
        names[count++] = (gnutls_datum_t){(unsigned char *)at, (unsigned)len};
        at += len + (at[len] == ',');
    }
    return count == 0 || gnutls_alpn_set_protocols(session, names, count, 0) == 0;
}

static enum bk_err session_new(struct net_tls *tls, unsigned kind, const char *server_name,
                               char *reason, gnutls_session_t *out) {
    gnutls_session_t session;
    /* No tickets: a resumed session shows no certificates, so no pin and no metacert. */
    unsigned flags =
        kind | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | (tls->server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    if (gnutls_init(&session, flags) != 0)
        return BK_ERR_NO_MEMORY;
    gnutls_session_set_ptr(session, NULL);
    enum bk_err err = BK_OK;
    if (gnutls_priority_set(session, tls->priority) != 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) != 0 ||
        !offer_alpn(session, tls))
        err = BK_ERR_NO_MEMORY;
    gnutls_handshake_set_timeout(session, GNUTLS_INDEFINITE_TIMEOUT); /* the stream has a timer */
    if (err == BK_OK && !tls->server)
        err = start_client(session, tls, server_name, reason);
    if (err != BK_OK) {
        tls_session_free(session);
        return err;
    }
    *out = session;
    return BK_OK;
}

enum bk_err tls_session_new(struct net_tls *tls, const char *server_name, char *reason,
                            gnutls_session_t *out) {
    return session_new(tls, 0, server_name, reason, out);
}

enum bk_err tls_session_new_datagram(struct net_tls *tls, const char *server_name, char *reason,
                                     gnutls_session_t *out) {
    enum bk_err err = session_new(tls, GNUTLS_DATAGRAM, server_name, reason, out);
    if (err == BK_OK)
        gnutls_dtls_set_timeouts(*out, DTLS_RTO_MS, DTLS_PATIENCE_MS);
    return err;
}

bool tls_session_is_alpn(gnutls_session_t session, const char *name) {
    gnutls_datum_t chosen;
    return gnutls_alpn_get_selected_protocol(session, &chosen) == 0 &&
           chosen.size == strlen(name) && memcmp(chosen.data, name, chosen.size) == 0;
}

void tls_session_free(gnutls_session_t session) {
    void *verdict = gnutls_session_get_ptr(session);
    gnutls_deinit(session);
    free(verdict);
}
