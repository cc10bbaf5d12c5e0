/* SPDX-License-Identifier: MIT */
#include "server/lease.h"

#include "wire/stun.h"

enum {
    IDLE_US = 30000000,        /* without a message */
    GRACE_US = 5000000,        /* after the allocation has expired */
    ALLOCATE_SUCCESS = 0x0103, /* RFC 8656 section 17, as they stand in the first two bytes */
    REFRESH_SUCCESS = 0x0104,
    RESPONSE_BIT = 0x01 /* of a message's first byte, RFC 8489 section 5: it is a response */
};

bool lease_is_answer(const uint8_t *message, size_t len) {
    return len >= STUN_HEADER_LEN && message[0] == RESPONSE_BIT;
}

bool lease_learn(struct lease *l, const uint8_t *answer, size_t len, struct bk_time now) {
    struct stun_msg m;
    uint32_t lifetime_s = 0;
    uint16_t type = (uint16_t)(answer[0] << 8 | answer[1]);
    if (type != ALLOCATE_SUCCESS && type != REFRESH_SUCCESS)
        return false;
    if (stun_parse(&m, answer, len) != BK_OK ||
        stun_get_u32(&m, TURN_LIFETIME, &lifetime_s) != BK_OK)
        return false;
    l->until = bk_after(now, (int64_t)lifetime_s * BK_US_PER_S);
    return type == ALLOCATE_SUCCESS;
}

bool lease_has_allocation(const struct lease *l, struct bk_time now) {
    return bk_before(now, l->until);
}

struct bk_time lease_end(const struct lease *l) {
    struct bk_time idle = bk_after(l->last, IDLE_US), over = bk_after(l->until, GRACE_US);
    return bk_before(idle, over) ? over : idle;
}
