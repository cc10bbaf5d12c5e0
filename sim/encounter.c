/* SPDX-License-Identifier: MIT */
#include "sim/encounter.h"

#include "sim/actor_ice.h"
#include "sim/actor_stun.h"

const struct encounter_config encounter_config_default = {.seed = 1, .wait_us = 12 * BK_US_PER_S};

enum { TABLE = 64, LINK_US = 10000, JITTER_US = 500 };

struct encounter {
    struct world *w;
    struct sim_stun stun;
    struct sim_ice ice[2];
};

static enum bk_err make_world(const struct encounter_config *config, const struct bk_alloc *alloc,
                              struct world **out) {
    struct world_config c = world_config_default;
    c.seed = config->seed;
    c.nodes_max = c.actors_max = c.sockets_max = 8;
    c.streams_max = 2;
    c.packets_max = 256;
    c.trace_max = 1;
    return world_new(&c, alloc, out);
}

static node_id add_home(struct world *w, const struct encounter_config *config, uint8_t who,
                        const struct world_link *link) {
    struct nat_config nat = config->nat[who];
    nat.external[0] = bk_ipv4(203, 0, 113, (uint8_t)(who + 1));
    nat.external_count = 1;
    nat.mappings_max = nat.sessions_max = TABLE;
    node_id box = world_add_nat(w, who == 0 ? "a" : "b", WORLD_CORE, &nat, link);
    struct bk_ip inside = bk_ipv4(192, 168, (uint8_t)(who + 1), 2);
    return world_add_host(w, who == 0 ? "alice" : "bob", box, inside, NULL);
}

static bool both_selected(void *ctx) {
    const struct encounter *e = ctx;
    return !bk_is_never(e->ice[0].selected_at) && !bk_is_never(e->ice[1].selected_at);
}

static void look(const struct encounter *e, struct encounter_outcome *out) {
    const struct sim_ice *a = &e->ice[0], *b = &e->ice[1];
    out->sent = world_get_counters(e->w)->sent;
    out->events = world_get_counters(e->w)->events;
    out->hash = world_hash(e->w);
    if (out->direct)
        out->direct_us = bk_elapsed_us(bk_later(a->signalled_at, b->signalled_at),
                                       bk_later(a->selected_at, b->selected_at));
}

enum bk_err encounter_run(const struct encounter_config *config, const struct bk_alloc *alloc,
                          struct encounter_outcome *out) {
    static const uint16_t stun_port = 3478;
    struct world_link link = {
        .delay_us = LINK_US, .jitter_us = JITTER_US, .loss_ppm = config->loss_ppm};
    struct bk_ip server_ip = bk_ipv4(198, 51, 100, 1);
    struct encounter e;
    enum bk_err err = make_world(config, alloc, &e.w);
    if (err != BK_OK)
        return err;
    node_id server = world_add_host(e.w, "stun", WORLD_CORE, server_ip, &link);
    node_id host[2] = {add_home(e.w, config, 0, &link), add_home(e.w, config, 1, &link)};
    err = sim_stun_init(&e.stun, e.w, server, &stun_port, 1);
    for (size_t i = 0; i < 2; i++) {
        struct sim_ice_config ice = sim_ice_config(bk_addr(server_ip, stun_port), i == 0);
        int64_t later = i == 0 ? -config->skew_us : config->skew_us;
        ice.port = 5000;
        ice.start_us = later > 0 ? later : 0;
        ice.ice.early_max = ice.ice.prflx_max = 8;
        ice.ice.pairs_max = ice.ice.remotes_max = 16;
        ice.ice.locals_max = 4;
        sim_ice_init(&e.ice[i], e.w, host[i], &ice, alloc);
    }
    sim_ice_join(&e.ice[0], &e.ice[1]);
    *out = (struct encounter_outcome){.direct = false};
    out->direct = world_run_until(e.w, both_selected, &e, config->wait_us);
    look(&e, out);
    sim_ice_fini(&e.ice[0]);
    sim_ice_fini(&e.ice[1]);
    world_free(e.w);
    return err;
}
