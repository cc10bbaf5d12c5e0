/* SPDX-License-Identifier: MIT */
#include "net/inspect.h"

#include "base/text.h"
#include <gnutls/x509.h>
#include <stddef.h>

/* The name comes from the network: visible letters only, and not for ever. */
static void sanitise(const char *name, size_t len, char out[INSPECT_NAME_MAX]) {
    struct text t = text_in(out, INSPECT_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        bool visible = name[i] >= ' ' && name[i] < 0x7f && name[i] != '"';
        text_bytes(&t, visible ? &name[i] : "?", 1);
    }
}

/* RFC 5280 section 4.1.2.4: any of these may be missing. */
static bool issuer_name(gnutls_x509_crt_t certificate, char out[INSPECT_NAME_MAX]) {
    static const char *const oids[] = {GNUTLS_OID_X520_COMMON_NAME,
                                       GNUTLS_OID_X520_ORGANIZATION_NAME,
                                       GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME};
    for (size_t i = 0; i < sizeof oids / sizeof oids[0]; i++) {
        char name[256];
        size_t len = sizeof name;
        if (gnutls_x509_crt_get_issuer_dn_by_oid(certificate, oids[i], 0, 0, name, &len) == 0 &&
            len > 0) {
            sanitise(name, len, out);
            return true;
        }
    }
    return false;
}

bool inspect_issuer(const gnutls_datum_t *der, const char *host, char issuer[INSPECT_NAME_MAX]) {
    gnutls_x509_crt_t certificate;
    if (gnutls_x509_crt_init(&certificate) != 0)
        return false;
    bool foreign = gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == 0 &&
                   gnutls_x509_crt_check_issuer(certificate, certificate) == 0 &&
                   (host[0] == '\0' || gnutls_x509_crt_check_hostname(certificate, host) != 0) &&
                   issuer_name(certificate, issuer);
    gnutls_x509_crt_deinit(certificate);
    return foreign;
}
