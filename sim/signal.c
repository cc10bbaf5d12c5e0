/* SPDX-License-Identifier: MIT */
#include "sim/signal.h"

#include "base/assert.h"
#include "base/rng.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

void sim_signal_init(struct sim_signal *s, struct world *w, actor_id to,
                     const struct sim_signal_config *config, const struct bk_rng *rng,
                     const struct bk_alloc *alloc) {
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->world = w;
    s->to = to;
    s->rng = *rng;
    s->alloc = *alloc;
    s->last = world_now(w);
}

void sim_signal_fini(struct sim_signal *s) {
    for (size_t i = 0; i < SIM_SIGNAL_SLOTS; i++) {
        if (s->slots[i].text != NULL)
            s->alloc.put(s->alloc.ctx, s->slots[i].text);
    }
    if (s->taken != NULL)
        s->alloc.put(s->alloc.ctx, s->taken);
    memset(s, 0, sizeof *s);
}

static struct sim_signal_slot *free_slot(struct sim_signal *s) {
    for (size_t i = 0; s->world != NULL && i < SIM_SIGNAL_SLOTS; i++) {
        if (s->slots[i].text == NULL)
            return &s->slots[i];
    }
    return NULL;
}

static int64_t delay(struct sim_signal *s) {
    struct bk_time now = world_now(s->world);
    int64_t us = s->config.delay_us;
    if (s->config.jitter_us > 0)
        us += rng_below(&s->rng, (uint32_t)s->config.jitter_us + 1);
    struct bk_time when = bk_after(now, us);
    if (s->config.keep_order)
        when = bk_later(when, s->last);
    s->last = bk_later(when, s->last);
    return bk_elapsed_us(now, when);
}

void sim_signal_send(struct sim_signal *s, const struct sim_signal_message *message) {
    struct sim_signal_slot *slot = free_slot(s);
    uint8_t buf[WORLD_DATAGRAM_MAX];
    if (slot == NULL) {
        s->lost++;
        return;
    }
    slot->text = s->alloc.get(s->alloc.ctx, message->len + 1);
    bk_assert(slot->text != NULL);
    memcpy(slot->text, message->text, message->len);
    slot->text[message->len] = '\0';
    slot->message = *message;
    slot->message.text = slot->text;
    /* The text goes along as far as it fits, so that the world's hash covers it. */
    struct wire_writer m = wire_writer(buf, sizeof buf);
    wire_put_u8(&m, SIM_SIGNAL_TAG);
    wire_put_u16(&m, (uint16_t)(slot - s->slots));
    size_t room = sizeof buf - m.len;
    wire_put_bytes(&m, message->text, message->len < room ? message->len : room);
    s->sent++;
    world_post(s->world, s->to, delay(s), m.data, m.len);
}

bool sim_signal_take(struct sim_signal *s, const uint8_t *data, size_t len,
                     struct sim_signal_message *out) {
    struct wire_reader m = wire_reader(data, len);
    if (wire_u8(&m) != SIM_SIGNAL_TAG || s->world == NULL)
        return false;
    size_t index = wire_u16(&m);
    bk_assert(!m.failed && index < SIM_SIGNAL_SLOTS && s->slots[index].text != NULL);
    if (s->taken != NULL)
        s->alloc.put(s->alloc.ctx, s->taken);
    s->taken = s->slots[index].text;
    *out = s->slots[index].message;
    s->slots[index].text = NULL;
    return true;
}
