/* SPDX-License-Identifier: MIT
 * Two buffers of equal size: writers fill one under the lock, the owner swaps them under the lock
 * and reads the other at leisure. The lock is held for one copy. */
#include "server/inbox.h"

#include <stdlib.h>
#include <string.h>

struct header {
    enum inbox_kind kind;
    uint32_t from;
    size_t len;
    uint8_t key[INBOX_KEY_LEN], dst[INBOX_KEY_LEN];
};

enum { PACKETS_MAX = INBOX_BYTES / 4 * 3, ALIGN = _Alignof(struct header) };

enum bk_err inbox_init(struct inbox *box) {
    memset(box, 0, sizeof *box);
    box->filling = malloc(INBOX_BYTES);
    box->taken = malloc(INBOX_BYTES);
    if (box->filling == NULL || box->taken == NULL || pthread_mutex_init(&box->lock, NULL) != 0) {
        free(box->filling);
        free(box->taken);
        return BK_ERR_NO_MEMORY;
    }
    return BK_OK;
}

void inbox_fini(struct inbox *box) {
    free(box->filling);
    free(box->taken);
    pthread_mutex_destroy(&box->lock);
}

static size_t room_for(size_t len) {
    return (sizeof(struct header) + len + ALIGN - 1) / ALIGN * ALIGN;
}

enum bk_err inbox_put(struct inbox *box, const struct inbox_message *message, bool *first) {
    bool has_data = message->kind == INBOX_PACKET || message->kind == INBOX_DATAGRAM;
    size_t len = has_data ? message->len : 0, need = room_for(len);
    bool news = message->kind == INBOX_PRESENT || message->kind == INBOX_GONE;
    size_t limit = news ? INBOX_BYTES : PACKETS_MAX;
    struct header h = {.kind = message->kind, .from = message->from, .len = len};
    if (len > INBOX_DATA_MAX)
        return BK_ERR_TOO_LONG;
    memcpy(h.key, message->key, INBOX_KEY_LEN);
    memcpy(h.dst, message->dst, INBOX_KEY_LEN);
    pthread_mutex_lock(&box->lock);
    bool fits = box->used + need <= limit;
    if (fits) {
        *first = box->used == 0;
        memcpy(box->filling + box->used, &h, sizeof h);
        if (len > 0)
            memcpy(box->filling + box->used + sizeof h, message->data, len);
        box->used += need;
    }
    pthread_mutex_unlock(&box->lock);
    return fits ? BK_OK : BK_ERR_FULL;
}

static bool swap(struct inbox *box) {
    pthread_mutex_lock(&box->lock);
    uint8_t *filled = box->filling;
    box->filling = box->taken;
    box->taken = filled;
    box->taken_len = box->used;
    box->taken_at = 0;
    box->used = 0;
    pthread_mutex_unlock(&box->lock);
    return box->taken_len > 0;
}

bool inbox_take(struct inbox *box, struct inbox_message *out) {
    struct header h;
    if (box->taken_at == box->taken_len && !swap(box))
        return false;
    const uint8_t *at = box->taken + box->taken_at;
    memcpy(&h, at, sizeof h);
    *out =
        (struct inbox_message){.kind = h.kind, .from = h.from, .data = at + sizeof h, .len = h.len};
    memcpy(out->key, h.key, INBOX_KEY_LEN);
    memcpy(out->dst, h.dst, INBOX_KEY_LEN);
    box->taken_at += room_for(h.len);
    return true;
}
