/* SPDX-License-Identifier: MIT
 * What the STUN harnesses share: a reader of their script, and the repair of a message's header so
 * that mutation is spent on attributes and not on the cookie. */
#ifndef FUZZ_STUN_INPUT_H
#define FUZZ_STUN_INPUT_H

#include "fuzz/fuzz.h"
#include "stun/seal.h"

#include <string.h>

/* Gives `data` a right cookie and length, when it is long enough to have them. Bit 1 of `how`: a
 * right FINGERPRINT as well, over the last eight bytes. */
static inline void fuzz_repair(uint8_t *data, size_t len, unsigned how) {
    static const uint8_t cookie[] = {0x21, 0x12, 0xa4, 0x42};
    struct stun_builder b;
    if ((how & 1) == 0 || len < STUN_HEADER_LEN || len - STUN_HEADER_LEN > UINT16_MAX)
        return;
    data[0] &= 0x3f;
    data[2] = (uint8_t)((len - STUN_HEADER_LEN) >> 8);
    data[3] = (uint8_t)(len - STUN_HEADER_LEN);
    memcpy(data + 4, cookie, sizeof cookie);
    if ((how & 2) == 0 || len < STUN_HEADER_LEN + 8 || len % 4 != 0)
        return;
    b.bad_value = false;
    b.w = wire_writer(data, len);
    b.w.len = len - 8;
    stun_put_fingerprint(&b);
}

#endif
