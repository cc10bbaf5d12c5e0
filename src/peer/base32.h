/* SPDX-License-Identifier: MIT
 * Base32 (RFC 4648 section 6) without padding, lower case when written, either case when read.
 * Reading is strict: left-over bits must be zero, so every byte string has exactly one text. */
#ifndef PEER_BASE32_H
#define PEER_BASE32_H

#include <bodkin/err.h>
#include <stddef.h>
#include <stdint.h>

/* Letters for `len` bytes. */
#define BASE32_TEXT_LEN(len) (((len)*8 + 4) / 5)

/* Writes BASE32_TEXT_LEN(len) letters and a NUL; returns the number of letters. */
size_t base32_encode(const uint8_t *bytes, size_t len, char *out);
/* Reads `len` letters into `out`, which has room for `cap` bytes. BK_ERR_NOT_OURS: a letter that
 * base32 does not have. BK_ERR_MALFORMED: no byte string has this text. BK_ERR_TOO_LONG: more than
 * `cap` bytes. */
BK_MUST_USE enum bk_err base32_decode(const char *text, size_t len, uint8_t *out, size_t cap,
                                      size_t *out_len);

#endif
