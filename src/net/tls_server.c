/* SPDX-License-Identifier: MIT
 * What a server shows: a certificate from files, or one made by itself at first start. */
#include "net/tls_private.h"

#include "base/text.h"
#include "base/wipe.h"
#include "net/state_file.h"
#include <bodkin/addr.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

enum {
    PATH_MAX_LEN = 4096,
    SELF_SIGNED_YEARS = 20, /* clients check the key, not the date */
    SECONDS_A_DAY = 86400,
    SERIAL_LEN = 16
};

static const char self_signed_file[] = "tls.pem";

void tls_chain_fini(struct tls_chain *c) {
    for (unsigned i = 0; i < c->count; i++)
        gnutls_x509_crt_deinit(c->certificates[i]);
    if (c->key != NULL)
        gnutls_x509_privkey_deinit(c->key);
}

static enum bk_err read_certificates(struct tls_chain *c, const char *file, char *reason) {
    struct state_bytes pem;
    enum bk_err err = state_file_read(file, &pem, reason);
    if (err != BK_OK)
        return err;
    const gnutls_datum_t in = {pem.data, (unsigned)pem.len};
    unsigned count = TLS_CHAIN_MAX;
    int result = gnutls_x509_crt_list_import(c->certificates, &count, &in, GNUTLS_X509_FMT_PEM, 0);
    state_bytes_fini(&pem);
    if (result < 1) {
        tls_reason(reason, "no certificate in", file, gnutls_strerror(result));
        return BK_ERR_MALFORMED;
    }
    c->count = count;
    return BK_OK;
}

static enum bk_err read_key(struct tls_chain *c, const char *file, char *reason) {
    struct state_bytes pem;
    enum bk_err err = state_file_read(file, &pem, reason);
    if (err != BK_OK)
        return err;
    const gnutls_datum_t in = {pem.data, (unsigned)pem.len};
    int result = gnutls_x509_privkey_init(&c->key);
    if (result == 0)
        result = gnutls_x509_privkey_import2(c->key, &in, GNUTLS_X509_FMT_PEM, NULL, 0);
    state_bytes_fini(&pem);
    if (result < 0) {
        tls_reason(reason, "no private key in", file, gnutls_strerror(result));
        return BK_ERR_MALFORMED;
    }
    return BK_OK;
}

static bool set_subject(gnutls_x509_crt_t certificate, const char *name) {
    struct bk_ip ip;
    bool is_ip = bk_ip_parse(name, &ip) == BK_OK;
    int named =
        is_ip ? gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, ip.bytes,
                                                     ip.family == BK_IPV4 ? 4 : 16, GNUTLS_FSAN_SET)
              : gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, name,
                                                     (unsigned)strlen(name), GNUTLS_FSAN_SET);
    return named == 0 && gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
                                                       "bodkin home", 11) == 0;
}

static bool fill_certificate(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key,
                             const char *name) {
    uint8_t serial[SERIAL_LEN];
    time_t now = time(NULL);
    if (gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial) != 0)
        return false;
    serial[0] &= 0x7f; /* RFC 5280 section 4.1.2.2: positive */
    return gnutls_x509_crt_set_version(certificate, 3) == 0 &&
           gnutls_x509_crt_set_serial(certificate, serial, sizeof serial) == 0 &&
           gnutls_x509_crt_set_activation_time(certificate, now - SECONDS_A_DAY) == 0 &&
           gnutls_x509_crt_set_expiration_time(certificate, now + (time_t)SELF_SIGNED_YEARS * 365 *
                                                                      SECONDS_A_DAY) == 0 &&
           set_subject(certificate, name) && gnutls_x509_crt_set_key(certificate, key) == 0 &&
           gnutls_x509_crt_set_basic_constraints(certificate, 0, -1) == 0 &&
           gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0) == 0 &&
           gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) == 0;
}

/* Writes key and certificate, both PEM, into one file nobody else may read. */
static enum bk_err store(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key, const char *dir,
                         char *reason) {
    gnutls_datum_t parts[2] = {{NULL, 0}, {NULL, 0}};
    enum bk_err err = BK_ERR_NO_MEMORY;
    if (gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                          &parts[0]) == 0 &&
        gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &parts[1]) == 0) {
        const struct state_bytes pieces[2] = {{parts[0].data, parts[0].size},
                                              {parts[1].data, parts[1].size}};
        err = state_file_write(dir, self_signed_file, pieces, 2, reason);
    }
    if (parts[0].data != NULL)
        wipe(parts[0].data, parts[0].size);
    gnutls_free(parts[0].data);
    gnutls_free(parts[1].data);
    return err;
}

static enum bk_err make_self_signed(const char *dir, const char *name, char *reason) {
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t certificate = NULL;
    enum bk_err err = BK_ERR_NO_MEMORY;
    if (gnutls_x509_privkey_init(&key) == 0 && gnutls_x509_crt_init(&certificate) == 0) {
        bool made = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                                 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                                 0) == 0 &&
                    fill_certificate(certificate, key, name);
        err = made ? store(certificate, key, dir, reason) : BK_ERR_ARGUMENT;
        if (!made)
            tls_reason(reason, "cannot make a certificate for the name", name, NULL);
    }
    if (certificate != NULL)
        gnutls_x509_crt_deinit(certificate);
    if (key != NULL)
        gnutls_x509_privkey_deinit(key);
    return err;
}

static enum bk_err load(struct tls_chain *c, const struct net_tls_server_config *config,
                        char *reason) {
    const char *certificate = config->cert_file, *key = config->key_file;
    char path[PATH_MAX_LEN];
    if (certificate == NULL) {
        struct text t = text_in(path, sizeof path);
        text_str(&t, config->state_dir);
        text_char(&t, '/');
        text_str(&t, self_signed_file);
        if (t.cut)
            return BK_ERR_TOO_LONG;
        if (!state_file_exists(path)) {
            enum bk_err err = make_self_signed(config->state_dir, config->name, reason);
            if (err != BK_OK)
                return err;
        }
        certificate = key = path;
    }
    enum bk_err err = read_certificates(c, certificate, reason);
    if (err != BK_OK)
        return err;
    return read_key(c, key == NULL ? certificate : key, reason);
}

static enum bk_err import_der(const uint8_t *der, size_t len, gnutls_x509_crt_t *out) {
    union { /* GnuTLS takes no const */
        const uint8_t *in;
        unsigned char *out;
    } bytes = {.in = der};
    const gnutls_datum_t in = {bytes.out, (unsigned)len};
    gnutls_x509_crt_t certificate;
    if (gnutls_x509_crt_init(&certificate) != 0)
        return BK_ERR_NO_MEMORY;
    if (gnutls_x509_crt_import(certificate, &in, GNUTLS_X509_FMT_DER) != 0) {
        gnutls_x509_crt_deinit(certificate);
        return BK_ERR_MALFORMED;
    }
    *out = certificate;
    return BK_OK;
}

/* Hands the key and the certificates to the credentials, in this order. GnuTLS's other call for
 * this, gnutls_certificate_set_x509_key(), sorts the list into a chain and so drops the metacert,
 * which signs nothing (seen with GnuTLS 3.7.9). Gives GnuTLS's result code. */
static int set_key(struct net_tls *tls, gnutls_x509_crt_t *list, unsigned count) {
    gnutls_pcert_st certs[TLS_CHAIN_MAX + 1];
    gnutls_privkey_t key = NULL;
    unsigned done = 0;
    int result = gnutls_privkey_init(&key);
    if (result >= 0)
        result = gnutls_privkey_import_x509(key, tls->chain.key, GNUTLS_PRIVKEY_IMPORT_COPY);
    while (result >= 0 && done < count) {
        result = gnutls_pcert_import_x509(&certs[done], list[done], 0);
        if (result >= 0)
            done++;
    }
    if (result >= 0)
        result = gnutls_certificate_set_key(tls->credentials, NULL, 0, certs, (int)count, key);
    if (result >= 0)
        return result; /* both belong to the credentials now */
    for (unsigned i = 0; i < done; i++)
        gnutls_pcert_deinit(&certs[i]);
    if (key != NULL)
        gnutls_privkey_deinit(key);
    return result;
}

/* Puts the chain, with `metacert` behind it unless that is NULL, into the credentials. */
static enum bk_err install(struct net_tls *tls, gnutls_x509_crt_t metacert, const char *file,
                           char *reason) {
    gnutls_x509_crt_t list[TLS_CHAIN_MAX + 1];
    unsigned count = tls->chain.count;
    size_t len = NET_PIN_LEN;
    if (count == 0)
        return BK_ERR_MALFORMED;
    for (unsigned i = 0; i < count; i++)
        list[i] = tls->chain.certificates[i];
    if (metacert != NULL)
        list[count++] = metacert;
    if (gnutls_x509_crt_get_key_id(list[0], GNUTLS_KEYID_USE_SHA256, tls->pin, &len) != 0)
        return BK_ERR_MALFORMED;
    int result = set_key(tls, list, count);
    if (result < 0) {
        tls_reason(reason, "cannot use the certificate in", file, gnutls_strerror(result));
        return result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH ? BK_ERR_AUTH : BK_ERR_MALFORMED;
    }
    return BK_OK;
}

static enum bk_err install_with(struct net_tls *tls, const uint8_t *metacert, size_t len,
                                const char *file, char *reason) {
    gnutls_x509_crt_t extra = NULL;
    if (metacert != NULL) {
        enum bk_err err = import_der(metacert, len, &extra);
        if (err != BK_OK)
            return err;
    }
    enum bk_err err = install(tls, extra, file, reason);
    if (extra != NULL)
        gnutls_x509_crt_deinit(extra);
    return err;
}

enum bk_err net_tls_server_new(const struct net_tls_server_config *config, struct net_tls **out,
                               char *reason) {
    struct net_tls *tls = NULL;
    const char *file = config->cert_file == NULL ? self_signed_file : config->cert_file;
    tls_reason(reason, "cannot make a TLS context", NULL, NULL);
    enum bk_err err = tls_new(true, config->alpn, &tls);
    if (err != BK_OK)
        return err;
    tls->self_signed = config->cert_file == NULL;
    err = load(&tls->chain, config, reason);
    if (err == BK_OK)
        err = install_with(tls, config->metacert, config->metacert_len, file, reason);
    if (err != BK_OK) {
        net_tls_unref(tls);
        return err;
    }
    *out = tls;
    return BK_OK;
}

static enum bk_err copy_chain(const struct tls_chain *from, struct tls_chain *to) {
    for (unsigned i = 0; i < from->count; i++) {
        gnutls_datum_t der;
        if (gnutls_x509_crt_export2(from->certificates[i], GNUTLS_X509_FMT_DER, &der) != 0)
            return BK_ERR_NO_MEMORY;
        enum bk_err err = import_der(der.data, der.size, &to->certificates[i]);
        gnutls_free(der.data);
        if (err != BK_OK)
            return err;
        to->count++;
    }
    if (gnutls_x509_privkey_init(&to->key) != 0 || gnutls_x509_privkey_cpy(to->key, from->key) != 0)
        return BK_ERR_NO_MEMORY;
    return BK_OK;
}

enum bk_err net_tls_server_renew(const struct net_tls *from, const uint8_t *metacert,
                                 size_t metacert_len, struct net_tls **out) {
    struct net_tls *tls;
    enum bk_err err = tls_new(true, from->alpn[0] == '\0' ? NULL : from->alpn, &tls);
    if (err != BK_OK)
        return err;
    tls->self_signed = from->self_signed;
    err = copy_chain(&from->chain, &tls->chain);
    if (err == BK_OK)
        err = install_with(tls, metacert, metacert_len, self_signed_file, NULL);
    if (err != BK_OK) {
        net_tls_unref(tls);
        return err;
    }
    *out = tls;
    return BK_OK;
}
