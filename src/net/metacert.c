/* SPDX-License-Identifier: MIT */
#include "net/metacert.h"

#include <gnutls/x509.h>
#include <string.h>

enum { PREFIX_LEN = 7, CN_LEN = PREFIX_LEN + 64, SERIAL = 2 };

static const char prefix[] = "derpkey";

static void format_cn(const uint8_t key[32], char out[CN_LEN + 1]) {
    static const char digits[] = "0123456789abcdef";
    memcpy(out, prefix, PREFIX_LEN);
    for (size_t i = 0; i < 32; i++) {
        out[PREFIX_LEN + 2 * i] = digits[key[i] >> 4];
        out[PREFIX_LEN + 2 * i + 1] = digits[key[i] & 15];
    }
    out[CN_LEN] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_cn(const char *cn, size_t len, uint8_t key[32]) {
    if (len != CN_LEN || memcmp(cn, prefix, PREFIX_LEN) != 0)
        return false;
    for (size_t i = 0; i < 32; i++) {
        int high = hex_digit(cn[PREFIX_LEN + 2 * i]), low = hex_digit(cn[PREFIX_LEN + 2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Fills in and signs. GnuTLS's result codes; 0 is good. */
static int fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *cn, int64_t unix_s) {
    const uint8_t serial = SERIAL;
    const int64_t span_s = (int64_t)NET_METACERT_DAYS * 86400;
    int rc = gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 0, 0);
    if (rc == 0)
        rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc == 0)
        rc = gnutls_x509_crt_set_serial(crt, &serial, sizeof serial);
    if (rc == 0)
        rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, CN_LEN);
    if (rc == 0)
        rc = gnutls_x509_crt_set_activation_time(crt, (time_t)(unix_s - span_s));
    if (rc == 0)
        rc = gnutls_x509_crt_set_expiration_time(crt, (time_t)(unix_s + span_s));
    if (rc == 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc == 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    /* Ed25519 hashes by itself (RFC 8032); the digest named here is not used. */
    if (rc == 0)
        rc = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA512, 0);
    return rc;
}

static enum bk_err err_of(int rc) {
    if (rc == 0)
        return BK_OK;
    return rc == GNUTLS_E_MEMORY_ERROR ? BK_ERR_NO_MEMORY : BK_ERR_IO;
}

enum bk_err net_metacert_make(const uint8_t relay_key[32], int64_t unix_s, gnutls_datum_t *out) {
    char cn[CN_LEN + 1];
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc != 0)
        return err_of(rc);
    rc = gnutls_x509_privkey_init(&key);
    if (rc != 0) {
        gnutls_x509_crt_deinit(crt);
        return err_of(rc);
    }
    format_cn(relay_key, cn);
    rc = fill(crt, key, cn, unix_s);
    if (rc == 0)
        rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, out);
    gnutls_x509_privkey_deinit(key);
    gnutls_x509_crt_deinit(crt);
    return err_of(rc);
}

static bool is_metacert(gnutls_x509_crt_t crt, uint8_t relay_key[32]) {
    char cn[CN_LEN + 32];
    uint8_t serial[8];
    size_t cn_len = sizeof cn, serial_len = sizeof serial;
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &cn_len) != 0)
        return false;
    if (gnutls_x509_crt_get_serial(crt, serial, &serial_len) != 0 || serial_len != 1 ||
        serial[0] != SERIAL)
        return false;
    return parse_cn(cn, cn_len, relay_key);
}

enum bk_err net_metacert_find(const gnutls_datum_t *certs, size_t count, uint8_t relay_key[32]) {
    for (size_t i = 0; i < count; i++) {
        gnutls_x509_crt_t crt;
        if (gnutls_x509_crt_init(&crt) != 0)
            return BK_ERR_NOT_FOUND;
        bool found = gnutls_x509_crt_import(crt, &certs[i], GNUTLS_X509_FMT_DER) == 0 &&
                     is_metacert(crt, relay_key);
        gnutls_x509_crt_deinit(crt);
        if (found)
            return BK_OK;
    }
    return BK_ERR_NOT_FOUND;
}
