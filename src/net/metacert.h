/* SPDX-License-Identifier: MIT
 * The extra certificate that lets a relay client skip a round trip ("fast start"). The server
 * appends it to the certificate list of its TLS handshake; it carries no trust, only the server's
 * relay key: self-signed Ed25519, CN=derpkey<64 hex digits>, serial number = protocol version (2).
 * Over TLS 1.3 the list is encrypted, and a client that finds this certificate may send its
 * handshake together with the HTTP request. */
#ifndef NET_METACERT_H
#define NET_METACERT_H

#include <bodkin/err.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NET_METACERT_DAYS = 30 };

/* Makes the certificate for the relay key `relay_key` (32 bytes), valid for 30 days on each side of
 * `unix_s`. The signing key is made and forgotten here. On success `out` is the DER certificate;
 * free it with gnutls_free(out->data). BK_ERR_NO_MEMORY, BK_ERR_IO: GnuTLS failed. */
BK_MUST_USE enum bk_err net_metacert_make(const uint8_t relay_key[32], int64_t unix_s,
                                          gnutls_datum_t *out);

/* Looks through a certificate list (gnutls_certificate_get_peers()) for a metacert and gives its
 * relay key. Validity dates are not looked at, as the Go client does not. BK_ERR_NOT_FOUND: there
 * is none, or only damaged ones, or of another protocol version. */
BK_MUST_USE enum bk_err net_metacert_find(const gnutls_datum_t *certs, size_t count,
                                          uint8_t relay_key[32]);

#endif
