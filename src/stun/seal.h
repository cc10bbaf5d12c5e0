/* SPDX-License-Identifier: MIT
 * The attributes that close a message: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT,
 * RFC 8489 sections 14.5 to 14.7. Put them last and in this order. Each covers the message before
 * it, with a header length that ends at itself. */
#ifndef STUN_SEAL_H
#define STUN_SEAL_H

#include "wire/stun.h"

enum { STUN_SHA256_MAC_MIN = 16, STUN_SHA256_MAC_LEN = 32 };

/* `key`: the password itself (short-term, which is what ICE uses), or a key of stun/auth.h. */
void stun_put_integrity(struct stun_builder *b, const void *key, size_t key_len);
void stun_put_integrity_sha256(struct stun_builder *b, const void *key, size_t key_len);
void stun_put_fingerprint(struct stun_builder *b);

/* In constant time. BK_ERR_NOT_FOUND: no such attribute. BK_ERR_AUTH: it does not match.
 * A MESSAGE-INTEGRITY-SHA256 may be truncated to no less than STUN_SHA256_MAC_MIN bytes. */
BK_MUST_USE enum bk_err stun_check_integrity(const struct stun_msg *msg, const void *key,
                                             size_t key_len);
BK_MUST_USE enum bk_err stun_check_integrity_sha256(const struct stun_msg *msg, const void *key,
                                                    size_t key_len);
/* BK_ERR_NOT_FOUND: no FINGERPRINT. BK_ERR_NOT_OURS: wrong, or not the last attribute: RFC 8489
 * section 6.3 reads such a packet as another protocol's. */
BK_MUST_USE enum bk_err stun_check_fingerprint(const struct stun_msg *msg);

#endif
