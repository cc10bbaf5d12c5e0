/* SPDX-License-Identifier: MIT */
#include "sim/habitat.h"

#include "base/assert.h"
#include "base/rng.h"
#include "base/text.h"
#include "sim/oracle_prove.h"

#include <string.h>

/* ---- drawing ---- */

enum { TABLE = 256 };

static bool percent(const struct bk_rng *rng, uint32_t chance) {
    return rng_below(rng, 100) < chance;
}

/* Any of the presets and of the 27 types. */
static void draw_box(const struct bk_rng *rng, struct nat_config *out, char *name) {
    size_t presets = 0;
    while (nat_preset_name(presets, NULL) != NULL)
        presets++;
    size_t i = rng_below(rng, (uint32_t)presets + NAT_TYPES27);
    const char *chosen = i < presets ? nat_preset_name(i, NULL) : nat_type27(i - presets, out);
    if (i < presets) {
        enum bk_err e = nat_preset(chosen, out);
        bk_assert(e == BK_OK);
    }
    out->mappings_max = out->mappings_max < TABLE ? out->mappings_max : TABLE;
    out->sessions_max = out->mappings_max * 4;
    struct text text = text_in(name, SIM_HABITAT_NAME);
    text_str(&text, chosen);
}

static void draw_link(const struct bk_rng *rng, const struct sim_habitat_limits *limits,
                      struct world_link *out) {
    *out = (struct world_link){
        .delay_us = 500 + rng_below(rng, (uint32_t)limits->delay_us + 1),
        /* A path passes two such links. Half of the worlds lose nothing. */
        .loss_ppm = percent(rng, 50) ? 0 : rng_below(rng, limits->loss_ppm / 2 + 1),
        .duplicate_ppm = percent(rng, 50) ? 0 : rng_below(rng, limits->duplicate_ppm + 1),
    };
    if (percent(rng, 50))
        out->jitter_us = rng_below(rng, (uint32_t)limits->jitter_us + 1);
}

static void draw_way(const struct bk_rng *rng, const struct sim_habitat_limits *limits,
                     struct sim_way *out) {
    uint32_t kind = rng_below(rng, 100);
    memset(out, 0, sizeof *out);
    out->boxes = kind < 10 ? 0 : kind < 80 ? 1 : 2;
    for (size_t i = 0; i < out->boxes; i++)
        draw_box(rng, &out->box[i], out->name[i]);
    out->ipv6 = percent(rng, 12);
    draw_link(rng, limits, &out->link);
}

void sim_habitat_draw(struct sim_habitat *h, const struct bk_rng *rng,
                      const struct sim_habitat_limits *limits) {
    memset(h, 0, sizeof *h);
    for (size_t i = 0; i < 2; i++) {
        struct sim_home *home = &h->home[i];
        home->ways = limits->second_ways && percent(rng, 15) ? 2 : 1;
        for (size_t k = 0; k < home->ways; k++)
            draw_way(rng, limits, &home->way[k]);
    }
    h->shared = h->home[0].way[0].boxes > 0 && percent(rng, 8);
    h->same_inside = percent(rng, 30);
}

/* ---- building ---- */

static struct bk_ip outside(size_t home, size_t way) {
    return bk_ipv4(203, 0, 113, (uint8_t)(1 + 2 * home + way));
}

static struct bk_ip between(size_t home, size_t way) {
    return bk_ipv4(100, 64, (uint8_t)(2 * home + way), 2);
}

static struct bk_ip inside(const struct sim_habitat *h, size_t home, size_t way) {
    uint8_t net = (uint8_t)(1 + (h->same_inside ? 0 : home) + 8 * way);
    return bk_ipv4(192, 168, net, h->shared && home == 1 && way == 0 ? 3 : 2);
}

static struct bk_ip global6(size_t home, size_t way) {
    uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)(1 + 2 * home + way)};
    bytes[15] = 2;
    return bk_ipv6(bytes);
}

static char *name_of(const char *what, size_t home, size_t way, char *out) {
    struct text text = text_in(out, WORLD_NAME_MAX);
    text_str(&text, what);
    text_str(&text, home == 0 ? "-a" : "-b");
    text_str(&text, way == 0 ? "" : "2");
    return out;
}

/* The number of the box that has the public address; SIM_HABITAT_BOXES: the host has it itself,
 * because nothing translates. */
static size_t public_box(const struct sim_way *way) {
    for (size_t i = way->boxes; i-- > 0;) {
        if (way->box[i].ipv4 == NAT_MODE_TRANSLATE)
            return i;
    }
    return SIM_HABITAT_BOXES;
}

/* The box, or the host's router, that its host hangs on. */
static node_id build_boxes(const struct sim_habitat *h, struct world *w, size_t home, size_t way) {
    const struct sim_way *at = &h->home[home].way[way];
    node_id parent = WORLD_CORE;
    char name[WORLD_NAME_MAX];
    for (size_t i = at->boxes; i-- > 0;) {
        struct nat_config c = at->box[i];
        bool outmost = i + 1 == at->boxes;
        c.external[0] = i == public_box(at) ? outside(home, way) : between(home, way);
        c.external_count = c.ipv4 == NAT_MODE_TRANSLATE ? 1 : 0;
        parent = world_add_nat(w, name_of(outmost ? "box" : "inner", home, way, name), parent, &c,
                               outmost ? &at->link : NULL);
    }
    return parent;
}

void sim_habitat_build(const struct sim_habitat *h, struct world *w,
                       node_id host[2][SIM_HABITAT_WAYS]) {
    static const char *const who[] = {"alice", "bob"};
    node_id first_box = WORLD_CORE;
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < h->home[i].ways; k++) {
            const struct sim_way *at = &h->home[i].way[k];
            bool guest = h->shared && i == 1 && k == 0;
            node_id parent = guest ? first_box : build_boxes(h, w, i, k);
            bool open = public_box(guest ? &h->home[0].way[0] : at) == SIM_HABITAT_BOXES;
            char name[WORLD_NAME_MAX];
            first_box = i == 0 && k == 0 ? parent : first_box;
            host[i][k] = world_add_host(w, name_of(who[i], i, k, name), parent,
                                        open ? outside(i, k) : inside(h, i, k),
                                        parent == WORLD_CORE ? &at->link : NULL);
            if (at->ipv6)
                world_add_address(w, host[i][k], global6(i, k));
        }
    }
}

/* ---- judging ---- */

static enum bk_nat_dep stricter(enum bk_nat_dep a, enum bk_nat_dep b) {
    return a > b ? a : b;
}

static enum bk_maybe either(enum bk_maybe a, enum bk_maybe b) {
    return a == BK_YES || b == BK_YES ? BK_YES : BK_NO;
}

/* Two boxes in a row are at least as good as one that has the stricter behaviours of both. */
static struct bk_nat_traits traits_of(const struct sim_way *way, uint8_t number) {
    struct nat_config open;
    enum bk_err e = nat_preset("open", &open);
    bk_assert(e == BK_OK);
    const struct nat_config *outmost = way->boxes > 0 ? &way->box[way->boxes - 1] : &open;
    struct bk_nat_traits t = oracle_side_of(outmost, number).traits;
    if (way->boxes < 2)
        return t;
    const struct bk_nat_traits inner = oracle_side_of(&way->box[0], number).traits;
    t.mapping = stricter(t.mapping, inner.mapping);
    t.filtering = stricter(t.filtering, inner.filtering);
    t.translated = either(t.translated, inner.translated);
    t.udp_blocked = either(t.udp_blocked, inner.udp_blocked);
    t.udp_limited = either(t.udp_limited, inner.udp_limited);
    t.inbound_first = either(t.inbound_first, inner.inbound_first);
    t.two_nats = BK_YES;
    return t;
}

/* Mappings that change with the clock outlive no session. */
static bool is_steady(const struct sim_way *way) {
    for (size_t i = 0; i < way->boxes; i++) {
        if (way->box[i].mapping == NAT_DEP_TIME)
            return false;
    }
    return true;
}

static bool ways_meet(const struct sim_way *a, const struct sim_way *b) {
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    struct bk_nat_traits ta = traits_of(a, 1), tb = traits_of(b, 2);
    struct bk_oracle_verdict v;
    budget.methods = 1U << BK_ORACLE_DIRECT | 1U << BK_ORACLE_PUNCH | 1U << BK_ORACLE_PRFLX;
    budget.low_ttl = budget.synchronised = false;
    enum bk_err e = bk_oracle(&ta, &tb, &budget, &v);
    bk_assert(e == BK_OK);
    return v.method != BK_ORACLE_RELAY && v.p_low >= 1 && is_steady(a) && is_steady(b);
}

bool sim_habitat_can_meet(const struct sim_habitat *h) {
    if (h->shared)
        return true; /* one switch */
    for (size_t i = 0; i < h->home[0].ways; i++) {
        for (size_t k = 0; k < h->home[1].ways; k++) {
            if (ways_meet(&h->home[0].way[i], &h->home[1].way[k]))
                return true;
        }
    }
    return false;
}

static bool way_has_udp(const struct sim_way *way) {
    struct bk_nat_traits t = traits_of(way, 1);
    return t.udp_blocked != BK_YES && t.udp_limited != BK_YES;
}

bool sim_habitat_has_udp(const struct sim_habitat *h, size_t home) {
    if (h->shared && home == 1 && way_has_udp(&h->home[0].way[0]))
        return true;
    for (size_t k = h->shared && home == 1 ? 1 : 0; k < h->home[home].ways; k++) {
        if (way_has_udp(&h->home[home].way[k]))
            return true;
    }
    return false;
}

char *sim_habitat_text(const struct sim_habitat *h, char *out, size_t cap) {
    struct text text = text_in(out, cap);
    for (size_t i = 0; i < 2; i++) {
        text_str(&text, i > 0 ? " | " : "");
        for (size_t k = 0; k < h->home[i].ways; k++) {
            const struct sim_way *way = &h->home[i].way[k];
            text_str(&text, k > 0 ? " + " : "");
            text_str(&text, way->boxes == 0 ? "public" : way->name[0]);
            if (way->boxes == 2) {
                text_str(&text, " behind ");
                text_str(&text, way->name[1]);
            }
            text_str(&text, way->ipv6 ? " (IPv6)" : "");
        }
    }
    text_str(&text, h->shared ? ", shared" : "");
    return out;
}
