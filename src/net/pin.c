/* SPDX-License-Identifier: MIT
 * Pins as text: base64url without padding, RFC 4648 section 5. GnuTLS knows the plain alphabet. */
#include "net/tls.h"

#include "base/assert.h"
#include <gnutls/gnutls.h>
#include <string.h>

char *net_pin_format(const uint8_t *pin, char *out) {
    union { /* GnuTLS takes no const */
        const uint8_t *in;
        unsigned char *out;
    } bytes = {.in = pin};
    const gnutls_datum_t raw = {bytes.out, NET_PIN_LEN};
    gnutls_datum_t text;
    bk_assert(gnutls_base64_encode2(&raw, &text) == 0 && text.size == NET_PIN_TEXT_MAX);
    for (size_t i = 0; i < NET_PIN_TEXT_MAX - 1; i++) {
        out[i] = (char)text.data[i];
        if (out[i] == '+')
            out[i] = '-';
        if (out[i] == '/')
            out[i] = '_';
    }
    out[NET_PIN_TEXT_MAX - 1] = '\0'; /* 32 bytes end in one '=', left out */
    gnutls_free(text.data);
    return out;
}

enum bk_err net_pin_parse(const char *text, size_t len, uint8_t pin[NET_PIN_LEN]) {
    unsigned char padded[NET_PIN_TEXT_MAX];
    if (len != NET_PIN_TEXT_MAX - 1)
        return BK_ERR_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+' || c == '/' || c == '=' || c == '\n' || c == '\r')
            return BK_ERR_MALFORMED;
        padded[i] = (unsigned char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    padded[len] = '=';
    const gnutls_datum_t in = {padded, sizeof padded};
    gnutls_datum_t raw;
    if (gnutls_base64_decode2(&in, &raw) != 0)
        return BK_ERR_MALFORMED;
    bool right = raw.size == NET_PIN_LEN;
    if (right)
        memcpy(pin, raw.data, NET_PIN_LEN);
    gnutls_free(raw.data);
    return right ? BK_OK : BK_ERR_MALFORMED;
}
