/* SPDX-License-Identifier: MIT
 * From a topology to a world. */
#include "sim/scene_state.h"

#include <stdarg.h>
#include <stdio.h>

enum { MANY_NODES = 64, SMALL_MAPPINGS = 2048 };

bool scene_fail(struct topology_error *error, unsigned line, const char *format, ...) {
    va_list args;
    error->line = line;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

static struct world_link link_of(const struct topology_node *n, enum topology_direction way) {
    const struct topology_link *from = &n->link[way];
    struct world_link link = {.delay_us = from->delay_us,
                              .jitter_us = from->jitter_us,
                              .keep_order = true,
                              .loss_ppm = from->loss_ppm,
                              .duplicate_ppm = from->duplicate_ppm,
                              .rate_bps = from->rate_bps,
                              .mtu = n->mtu};
    if (from->rate_bps > 0)
        link.queue_us =
            (int64_t)((uint64_t)from->queue_bytes * 8 * BK_US_PER_S / from->rate_bps) + 1;
    return link;
}

/* As in the lab: many boxes hold less each, unless the file says otherwise. */
static struct nat_config box_config(const struct scene *s, const struct topology_node *n) {
    struct nat_config config = n->nat;
    if (s->topology->node_count > MANY_NODES && !n->tables_set) {
        config.mappings_max = SMALL_MAPPINGS;
        config.sessions_max = 2 * SMALL_MAPPINGS;
    }
    return config;
}

static bool all_free(const struct scene *s, const struct topology_node *n, node_id parent,
                     const struct bk_ip *ips, size_t count, struct topology_error *error) {
    char text[BK_ADDR_TEXT_MAX];
    for (size_t i = 0; i < count; i++)
        if (!world_address_is_free(s->world, parent, &ips[i]))
            return scene_fail(error, n->line, "%s: %s is taken by somebody reachable from there",
                              n->name, bk_ip_format(&ips[i], text));
    return true;
}

static bool add_node(struct scene *s, int index, struct topology_error *error) {
    const struct topology_node *n = &s->topology->nodes[index];
    node_id parent = n->parent == TOPOLOGY_NOWHERE ? WORLD_CORE : s->nodes[n->parent];
    struct world_link up = link_of(n, TOPOLOGY_UP), down = link_of(n, TOPOLOGY_DOWN);
    struct bk_ip ips[TOPOLOGY_ADDRESSES_MAX] = {{0}};
    struct nat_config config = box_config(s, n);
    size_t count = n->kind == TOPOLOGY_NAT ? config.external_count : n->address_count;
    for (size_t i = 0; i < count; i++)
        ips[i] = n->kind == TOPOLOGY_NAT ? config.external[i] : n->address[i].ip;
    if (!all_free(s, n, parent, ips, count, error))
        return false;
    node_id id = n->kind == TOPOLOGY_NAT ? world_add_nat(s->world, n->name, parent, &config, &up)
                                         : world_add_host(s->world, n->name, parent, ips[0], &up);
    for (size_t i = 1; n->kind == TOPOLOGY_HOST && i < count; i++)
        world_add_address(s->world, id, ips[i]);
    world_set_link(s->world, id, &up, &down);
    s->nodes[index] = id;
    return true;
}

/* A parent must be there before its children: one generation after the other. */
static bool add_nodes(struct scene *s, struct topology_error *error) {
    const struct topology *t = s->topology;
    for (int depth = 0; depth <= TOPOLOGY_DEPTH_MAX + 1; depth++) {
        for (size_t i = 0; i < t->node_count; i++) {
            int above = 0;
            for (int up = t->nodes[i].parent; up != TOPOLOGY_NOWHERE; up = t->nodes[up].parent)
                above++;
            if (above == depth && !add_node(s, (int)i, error))
                return false;
        }
    }
    return true;
}

static bool only_lab(enum topology_step_kind kind) {
    return kind == TOPOLOGY_RUN || kind == TOPOLOGY_START || kind == TOPOLOGY_WAIT ||
           kind == TOPOLOGY_JOIN || kind == TOPOLOGY_STOP;
}

static bool steps_right(const struct scene *s, struct topology_error *error) {
    size_t meets = 0;
    for (size_t i = 0; i < s->topology->step_count; i++) {
        const struct topology_step *step = &s->topology->steps[i];
        meets += step->kind == TOPOLOGY_MEET ? 1 : 0;
        if (only_lab(step->kind))
            return scene_fail(error, step->line,
                              "a simulation runs no commands: only serve, meet, expect, sleep and "
                              "changes; bodkin lab run does");
        if (meets > SCENE_PAIRS_MAX)
            return scene_fail(error, step->line, "more than %d meetings", SCENE_PAIRS_MAX);
    }
    return true;
}

enum bk_err scene_build(struct scene *s, struct topology_error *error) {
    struct world_config config = world_config_default;
    config.seed = s->config.seed;
    config.trace_max = s->config.trace_max;
    config.nodes_max = (uint32_t)s->topology->node_count + 1;
    config.foreign_keys = true; /* TLS draws its own */
    if (!steps_right(s, error))
        return BK_ERR_ARGUMENT;
    enum bk_err err = world_new(&config, &s->alloc, &s->world);
    if (err != BK_OK)
        return err;
    s->began = world_now(s->world);
    return add_nodes(s, error) ? BK_OK : BK_ERR_ARGUMENT;
}
