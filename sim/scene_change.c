/* SPDX-License-Identifier: MIT
 * Faults of a scene: what the file's changes do to the world. */
#include "sim/scene_state.h"

static node_id node_of(const struct scene *s, int index) {
    return index == TOPOLOGY_NOWHERE ? WORLD_CORE : s->nodes[index];
}

static unsigned protocols_of(const struct topology_change *c) {
    return ((c->protocols & TOPOLOGY_UDP) != 0 ? WORLD_UDP : 0U) |
           ((c->protocols & TOPOLOGY_TCP) != 0 ? WORLD_TCP : 0U) |
           ((c->protocols & TOPOLOGY_OTHER) != 0 ? WORLD_OTHER : 0U);
}

static void set_way(const struct topology_change *c, enum topology_direction way,
                    struct world_link *link) {
    const struct topology_link *want = &c->link[way];
    link->delay_us = c->set_delay ? want->delay_us : link->delay_us;
    link->jitter_us = c->set_jitter ? want->jitter_us : link->jitter_us;
    link->loss_ppm = c->set_loss ? want->loss_ppm : link->loss_ppm;
    link->rate_bps = c->set_rate ? want->rate_bps : link->rate_bps;
    link->duplicate_ppm = c->set_duplicate ? want->duplicate_ppm : link->duplicate_ppm;
    if (c->set_queue && link->rate_bps > 0)
        link->queue_us =
            (int64_t)((uint64_t)want->queue_bytes * 8 * BK_US_PER_S / link->rate_bps) + 1;
}

static void set_link(struct scene *s, const struct topology_change *c) {
    struct world_link up, down;
    world_get_link(s->world, s->nodes[c->node], &up, &down);
    set_way(c, TOPOLOGY_UP, &up);
    set_way(c, TOPOLOGY_DOWN, &down);
    world_set_link(s->world, s->nodes[c->node], &up, &down);
}

static bool readdress(struct scene *s, const struct topology_step *step,
                      struct topology_error *error) {
    const struct topology_change *c = &step->change;
    const struct topology_node *n = &s->topology->nodes[c->node];
    char text[BK_ADDR_TEXT_MAX];
    const struct nat_config *config = nat_get_config(world_nat(s->world, s->nodes[c->node]));
    bool has = false;
    for (size_t i = 0; i < config->external_count; i++)
        has |= config->external[i].family == c->ip.family;
    if (!has)
        return scene_fail(error, step->line, "readdress: %s translates no such addresses", n->name);
    if (!world_address_is_free(s->world, node_of(s, n->parent), &c->ip))
        return scene_fail(error, step->line, "readdress: %s is taken", bk_ip_format(&c->ip, text));
    world_readdress_nat(s->world, s->nodes[c->node], c->ip);
    return true;
}

/* Back to the full length of the link's up time for whoever flapped before. */
static bool start_flap(struct scene *s, const struct topology_step *step,
                       struct topology_error *error) {
    if (s->flap_count == SCENE_FLAPS_MAX)
        return scene_fail(error, step->line, "flap: more than %d of them", SCENE_FLAPS_MAX);
    s->flaps[s->flap_count++] =
        (struct scene_flap){.change = step->change, .since = world_now(s->world)};
    (void)scene_flap(s);
    return true;
}

/* The next moment at which the link goes down or up; BK_NEVER: it stays up. */
static struct bk_time next_turn(const struct scene_flap *f, struct bk_time now) {
    const struct topology_change *c = &f->change;
    int64_t in = bk_elapsed_us(f->since, now);
    if (topology_flap_is_down(c, f->since.us, now.us)) {
        int64_t turn = c->every_us == 0 ? 0 : in / c->every_us * c->every_us;
        return bk_after(f->since, turn + c->down_us);
    }
    if (c->every_us == 0 || in / c->every_us + 1 >= c->count)
        return BK_NEVER;
    return bk_after(f->since, (in / c->every_us + 1) * c->every_us);
}

struct bk_time scene_flap(struct scene *s) {
    struct bk_time now = world_now(s->world), next = BK_NEVER;
    for (size_t i = 0; i < s->flap_count; i++) {
        struct scene_flap *f = &s->flaps[i];
        bool down = topology_flap_is_down(&f->change, f->since.us, now.us);
        if (down != f->down)
            world_cut_link(s->world, s->nodes[f->change.node],
                           down ? WORLD_CUT_ALL : WORLD_CUT_NONE);
        f->down = down;
        next = bk_earlier(next, next_turn(f, now));
    }
    return next;
}

/* Ends flaps, too, as it ends cuts: in the lab they are the same. */
static void restore(struct scene *s, const struct topology_change *c) {
    world_restore_path(s->world, node_of(s, c->node), node_of(s, c->other), protocols_of(c));
    size_t kept = 0;
    for (size_t i = 0; i < s->flap_count; i++) {
        struct scene_flap f = s->flaps[i];
        bool same = f.change.node == c->node && c->other == TOPOLOGY_NOWHERE;
        if (!same && c->node != TOPOLOGY_NOWHERE)
            s->flaps[kept++] = f;
        else if (f.down)
            world_cut_link(s->world, s->nodes[f.change.node], WORLD_CUT_NONE);
    }
    s->flap_count = kept;
}

static bool make(struct scene *s, const struct topology_step *step, struct topology_error *error) {
    const struct topology_change *c = &step->change;
    struct nat *nat = NULL;
    if (c->node != TOPOLOGY_NOWHERE && s->topology->nodes[c->node].kind == TOPOLOGY_NAT)
        nat = world_nat(s->world, s->nodes[c->node]);
    switch (c->kind) {
    case TOPOLOGY_CUT:
        if (world_cut_path(s->world, node_of(s, c->node), node_of(s, c->other), protocols_of(c)) !=
            BK_OK)
            return scene_fail(error, step->line, "cut: too many of them at once");
        return true;
    case TOPOLOGY_RESTORE:
        restore(s, c);
        return true;
    case TOPOLOGY_SET:
        set_link(s, c);
        return true;
    case TOPOLOGY_REBOOT:
        world_reboot_nat(s->world, s->nodes[c->node]);
        return true;
    case TOPOLOGY_EVICT:
        (void)nat_evict(nat, c->any ? NAT_EVICT_RANDOM : NAT_EVICT_OLDEST, c->count);
        return true;
    case TOPOLOGY_EXHAUST:
        nat_exhaust(nat, !c->off);
        return true;
    case TOPOLOGY_LIMIT:
        nat_limit_rate(nat, c->count);
        return true;
    case TOPOLOGY_READDRESS:
        return readdress(s, step, error);
    case TOPOLOGY_FLAP:
        return start_flap(s, step, error);
    }
    return false;
}

bool scene_change(struct scene *s, const struct topology_step *step, struct topology_error *error) {
    world_note(s->world, step->text);
    if (!make(s, step, error))
        return false;
    scene_tell(s,
               (struct scene_event){.kind = SCENE_CHANGE, .line = step->line, .text = step->text});
    return true;
}
