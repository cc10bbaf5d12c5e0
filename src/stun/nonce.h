/* SPDX-License-Identifier: MIT
 * The "nonce cookie", RFC 8489 section 9.2: 13 characters at a nonce's start that say which
 * security features the server offered, so that nobody can take them out of the offer unseen
 * (9.2.1).
 *
 * Section 18.1 counts bits from the left, but its own example (appendix B.1) and erratum 6290 count
 * from the right. We send the latter and understand both. Inside stun only. */
#ifndef STUN_NONCE_H
#define STUN_NONCE_H

#include <stddef.h>
#include <stdint.h>

enum { NONCE_COOKIE_LEN = 13 };

enum nonce_feature { NONCE_ALGORITHMS = 1, NONCE_ANONYMITY = 2 };

void nonce_cookie_write(unsigned features, uint8_t out[NONCE_COOKIE_LEN]);
/* The features in a nonce; 0 when it has no cookie. */
unsigned nonce_cookie_read(const uint8_t *nonce, size_t len);

#endif
