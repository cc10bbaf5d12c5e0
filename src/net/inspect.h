/* SPDX-License-Identifier: MIT
 * Private to net: when a server's certificate is not the one that was expected, who made it? A
 * middlebox that opens TLS shows a certificate for the right name under an authority of its own. */
#ifndef NET_INSPECT_H
#define NET_INSPECT_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

enum { INSPECT_NAME_MAX = 61 };

/* Is the leaf `der` a certificate for `host` (may be empty: any) that somebody else than its own
 * key has signed? Then `issuer` gets the signer's name, fit for a terminal. */
bool inspect_issuer(const gnutls_datum_t *der, const char *host, char issuer[INSPECT_NAME_MAX]);

#endif
