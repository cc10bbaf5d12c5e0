/* SPDX-License-Identifier: MIT
 * CRC-32 of ITU V.42 (the one of Ethernet and zip), which FINGERPRINT uses, RFC 8489 section 14.7.
 */
#ifndef CRYPTO_CRC32_H
#define CRYPTO_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues from `crc`, the result for the bytes before; start with 0. */
uint32_t crc32(uint32_t crc, const void *data, size_t len);

#endif
