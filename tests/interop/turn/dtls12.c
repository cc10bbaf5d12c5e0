/* SPDX-License-Identifier: MIT
 * For LD_PRELOAD before turnutils_uclient, which asks OpenSSL for DTLS 1.0 and nothing else (coturn
 * 4.6.1). No server may speak that (RFC 8996 section 4); with this it offers what OpenSSL has. */
const void *DTLS_client_method(void);
const void *DTLSv1_client_method(void);

const void *DTLSv1_client_method(void) {
    return DTLS_client_method();
}
