/* SPDX-License-Identifier: MIT */
#include "sim/oracle_stage.h"

#include "base/assert.h"
#include "punch/chance.h"

enum { SOCKET_FIRST = 20000, SOCKET_SPREAD = 8000, STRANGER_FIRST = 1024, OTHERS = 512 };

static struct bk_ip inside(int side, uint8_t host) {
    return bk_ipv4(192, 168, (uint8_t)side, host);
}

enum bk_err stage_init(struct stage *s, const struct oracle_side_play sides[2],
                       const struct bk_oracle_budget *budget, uint32_t mappings, uint64_t seed,
                       const struct bk_alloc *alloc) {
    *s = (struct stage){.sides = sides, .budget = budget, .now = {BK_US_PER_S}};
    rng_seed(&s->seed, seed);
    s->rng = rng_from_seeded(&s->seed);
    for (int i = 0; i < 2; i++) {
        struct nat_config box = sides[i].box;
        box.mappings_max = box.sessions_max = mappings + OTHERS;
        enum bk_err e = nat_new(&box, &s->rng, alloc, &s->box[i]);
        if (e != BK_OK) {
            stage_fini(s);
            return e;
        }
        s->next_socket[i] = (uint16_t)(SOCKET_FIRST + rng_below(&s->rng, SOCKET_SPREAD));
        s->next_stranger[i] = STRANGER_FIRST;
    }
    return BK_OK;
}

void stage_fini(struct stage *s) {
    nat_free(s->box[0]);
    nat_free(s->box[1]);
}

uint16_t stage_socket(struct stage *s, int side) {
    return s->next_socket[side]++;
}

static bool leave(struct stage *s, int side, struct bk_addr from, const struct bk_addr *dst,
                  struct nat_header *out) {
    struct nat_header in = {.flow = {.proto = NAT_UDP, .src = from, .dst = *dst}};
    struct nat_verdict v;
    nat_packet(s->box[side], NAT_INSIDE, &in, s->now, &v);
    *out = v.header;
    return v.action == NAT_FORWARD;
}

bool stage_leave(struct stage *s, int side, uint16_t socket, const struct bk_addr *dst,
                 struct nat_header *out) {
    return leave(s, side, bk_addr(inside(side, 2), socket), dst, out);
}

static bool enter(struct stage *s, int side, const struct nat_header *packet,
                  struct nat_header *out) {
    struct nat_verdict v;
    nat_packet(s->box[side], NAT_OUTSIDE, packet, s->now, &v);
    *out = v.header;
    struct bk_ip host = inside(side, 2);
    return v.action == NAT_FORWARD && bk_ip_equal(&v.header.flow.dst.ip, &host);
}

/* The answer goes back the way the packet came: that is what "met" means. */
void stage_arrive(struct stage *s, int side, const struct nat_header *packet) {
    struct nat_header got, answer, back;
    int other = 1 - side;
    if (!enter(s, other, packet, &got))
        return;
    bool left = leave(s, other, got.flow.dst, &got.flow.src, &answer);
    if (left && enter(s, side, &answer, &back))
        s->try.met = true;
    else
        s->try.one_way = true;
}

void stage_send(struct stage *s, int side, uint16_t socket, const struct bk_addr *dst) {
    struct nat_header packet;
    s->try.sent[side]++;
    if (stage_leave(s, side, socket, dst, &packet))
        stage_arrive(s, side, &packet);
}

struct bk_addr stage_stun(struct stage *s, int side, uint16_t socket) {
    struct bk_addr server = bk_addr(bk_ipv4(198, 51, 100, 1), 3478);
    struct nat_header packet;
    bool left = stage_leave(s, side, socket, &server, &packet);
    bk_assert(left);
    return packet.flow.src;
}

/* Knuth's way: how many draws does it take until their product falls below e^-mean? */
static uint32_t poisson(struct stage *s, double mean) {
    double floor = chance_exp_minus(mean), product = 1;
    uint32_t count = 0;
    for (;;) {
        product *= (double)(rng_seeded_next(&s->seed) >> 11) / 9007199254740992.0;
        if (product <= floor)
            return count;
        count++;
    }
}

static void strangers(struct stage *s, int side, uint32_t count) {
    struct bk_addr server = bk_addr(bk_ipv4(198, 51, 100, 9), 443);
    struct nat_header packet;
    while (count-- > 0) {
        struct bk_addr from = bk_addr(inside(side, 9), s->next_stranger[side]++);
        (void)leave(s, side, from, &server, &packet);
    }
}

void stage_pass(struct stage *s, int64_t us) {
    for (int i = 0; i < 2; i++) {
        double mean = s->sides[i].traits.foreign_per_s * (double)us / 1e6;
        if (mean > 0)
            strangers(s, i, poisson(s, mean));
    }
    s->now = bk_after(s->now, us);
}

void stage_step(struct stage *s) {
    if (!s->try.met)
        s->try.steps++;
    stage_pass(s, BK_US_PER_S / s->budget->pace_pps);
}
