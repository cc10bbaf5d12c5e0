/* SPDX-License-Identifier: MIT */
#include "cli/turn_load.h"

#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum { TRAINS_AT_ONCE = 64 }; /* then look at the clock and at what came in */

static const uint8_t magic[4] = {'b', 'k', 'T', '1'};

static void write_load(struct wire_writer *w, const struct turn_load *l) {
    wire_put_u32(w, l->burst);
    wire_put_u32(w, l->size);
    wire_put_u32(w, l->rate);
    wire_put_u32(w, l->ms);
    wire_put_u32(w, l->stamp);
}

static void write_told(struct wire_writer *w, const struct turn_told *t) {
    wire_put_u64(w, t->packets);
    wire_put_u64(w, t->bytes);
    wire_put_u64(w, t->lost);
    wire_put_u64(w, t->sent);
    wire_put_u64(w, t->p50_ns);
    wire_put_u64(w, t->p90_ns);
    wire_put_u64(w, t->p99_ns);
    wire_put_u64(w, t->max_ns);
    wire_put_u64(w, t->stamped);
}

size_t turn_message_write(const struct turn_message *m, uint8_t *out) {
    struct wire_writer w = wire_writer(out, TURN_LOAD_MAX);
    wire_put_bytes(&w, magic, sizeof magic);
    wire_put_u32(&w, m->word);
    wire_put_u32(&w, m->run);
    wire_put_u32(&w, m->flow);
    wire_put_u64(&w, (uint64_t)m->sent_ns);
    if (m->word == TURN_WORD_HELLO || m->word == TURN_WORD_WELCOME)
        wire_put_u32(&w, m->cookie);
    if (m->word == TURN_WORD_START)
        write_load(&w, &m->load);
    if (m->word == TURN_WORD_TOLD)
        write_told(&w, &m->told);
    return w.len;
}

static struct turn_load read_load(struct wire_reader *r) {
    struct turn_load l = {.burst = wire_u32(r), .size = 0};
    l.size = wire_u32(r);
    l.rate = wire_u32(r);
    l.ms = wire_u32(r);
    l.stamp = wire_u32(r);
    return l;
}

static struct turn_told read_told(struct wire_reader *r) {
    struct turn_told t = {.packets = wire_u64(r), .bytes = 0};
    t.bytes = wire_u64(r);
    t.lost = wire_u64(r);
    t.sent = wire_u64(r);
    t.p50_ns = wire_u64(r);
    t.p90_ns = wire_u64(r);
    t.p99_ns = wire_u64(r);
    t.max_ns = wire_u64(r);
    t.stamped = wire_u64(r);
    return t;
}

bool turn_message_read(const uint8_t *data, size_t len, struct turn_message *out) {
    if (len < TURN_LOAD_HEADER || memcmp(data, magic, sizeof magic) != 0)
        return false;
    struct wire_reader r = wire_reader(data + sizeof magic, len - sizeof magic);
    struct turn_message m = {.word = (uint8_t)wire_u32(&r)};
    m.run = wire_u32(&r);
    m.flow = wire_u32(&r);
    m.sent_ns = (int64_t)wire_u64(&r);
    if (m.word == TURN_WORD_HELLO || m.word == TURN_WORD_WELCOME)
        m.cookie = wire_u32(&r);
    if (m.word == TURN_WORD_START)
        m.load = read_load(&r);
    if (m.word == TURN_WORD_TOLD)
        m.told = read_told(&r);
    if (r.failed)
        return false;
    *out = m;
    return true;
}

void turn_pace_start(struct turn_pace *p, const struct turn_load *load, int64_t now_ns) {
    *p = (struct turn_pace){.begun_ns = now_ns, .load = *load};
    p->until_ns = now_ns + (int64_t)load->ms * 1000000;
}

uint32_t turn_pace_due(const struct turn_pace *p, int64_t now_ns) {
    if (now_ns >= p->until_ns)
        return 0;
    if (p->load.rate == 0)
        return TRAINS_AT_ONCE;
    uint64_t want = (uint64_t)(now_ns - p->begun_ns) * p->load.rate / 1000000000;
    if (want < p->sent + p->load.burst)
        return 0;
    uint64_t trains = (want - p->sent) / p->load.burst;
    return trains < TRAINS_AT_ONCE ? (uint32_t)trains : TRAINS_AT_ONCE;
}

int64_t turn_pace_next(const struct turn_pace *p) {
    if (p->load.rate == 0)
        return p->begun_ns;
    uint64_t want = p->sent + p->load.burst;
    return p->begun_ns + (int64_t)((want * 1000000000 + p->load.rate - 1) / p->load.rate);
}
