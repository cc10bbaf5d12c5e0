/* SPDX-License-Identifier: MIT
 * Thousands of sessions of two whole ICE agents, each drawn from a seed: where they live, what the
 * network does to their packets, how they hear of each other, and what happens meanwhile. Whatever
 * it is: whom the oracle lets meet does meet, both sides use the same pair on every component, data
 * flows both ways, nothing is sent to a peer before its credentials are known, nothing leaks.
 *
 *     BODKIN_SESSIONS=10000 BODKIN_SEED=1 test-scenario-agent_sessions      (make matrix)
 *
 * A failure prints the command that replays it, and then replays it with every packet. */
#include "agent_scene.h"
#include "base/rng.h"
#include "base/text.h"
#include "sim/habitat.h"

/* ---- what is drawn ---- */

enum incident {
    NOTHING,
    RESTART,     /* once, either side, at any time */
    RESTARTS,    /* several, of both */
    FREE,        /* one of them is gone, at any time */
    FREE_INSIDE, /* in the middle of an event */
    REBOOT,      /* a box forgets its mappings */
    MOVE,        /* a box gets another public address */
    FLAP,        /* an interface goes and comes back, with new sockets */
    INCIDENTS
};

struct plan {
    uint64_t seed;
    struct sim_habitat habitat;
    uint16_t streams, components;
    enum bk_ice_role role[2];
    enum bk_ice_trickle trickle[2];
    bool lite, dead_server, by_name;
    bool relay, relay_tcp, relay_only;
    bool mdns;  /* host addresses are signalled as names */
    bool tcp;   /* candidates as well */
    bool known; /* MOVE: the system tells */
    struct sim_signal_config signal[2];
    int64_t start_us[2];
    enum incident incident;
    size_t who;
    int64_t when_us;
    uint32_t times;
};

static bool percent(const struct bk_rng *rng, uint32_t chance) {
    return rng_below(rng, 100) < chance;
}

static int64_t below_us(const struct bk_rng *rng, int64_t us) {
    return (int64_t)rng_below(rng, (uint32_t)us);
}

static void draw_side(struct plan *p, const struct bk_rng *rng, size_t i) {
    p->trickle[i] = (enum bk_ice_trickle)(percent(rng, 60) ? BK_ICE_TRICKLE : rng_below(rng, 3));
    p->signal[i].delay_us = 1000 + below_us(rng, percent(rng, 10) ? 5 * BK_US_PER_S : 200000);
    p->signal[i].jitter_us = percent(rng, 50) ? below_us(rng, 100000) : 0;
    p->signal[i].keep_order = percent(rng, 70);
    p->start_us[i] = percent(rng, 30) ? below_us(rng, 3 * BK_US_PER_S) : 0;
}

static bool is_public(const struct sim_home *home) {
    return home->ways == 1 && home->way[0].boxes == 0;
}

static void draw_incident(struct plan *p, const struct bk_rng *rng) {
    p->incident = percent(rng, 50) ? NOTHING : (enum incident)rng_below(rng, INCIDENTS);
    p->who = rng_below(rng, 2);
    p->when_us = below_us(rng, percent(rng, 50) ? 500000 : 6 * BK_US_PER_S);
    p->times = 1 + rng_below(rng, p->incident == FREE_INSIDE ? 12 : 4);
    /* Who restarts, or is made to, needs order: a description belongs to the one before (RFC 8838
     * section 4). */
    if (p->incident != NOTHING && p->incident != FREE && p->incident != FREE_INSIDE)
        p->signal[0].keep_order = p->signal[1].keep_order = true;
    /* All components share their credentials (RFC 8445 section 5.3). A box that hands out its ports
     * anew, in another order, has one answer for the other. */
    if (p->incident == REBOOT || p->incident == MOVE)
        p->streams = p->components = 1;
    p->known = percent(rng, 50);
}

static struct plan draw(uint64_t seed) {
    static const struct sim_habitat_limits limits = {.loss_ppm = 300000,
                                                     .duplicate_ppm = 50000,
                                                     .delay_us = 40000,
                                                     .jitter_us = 30000,
                                                     .second_ways = true};
    struct rng_seeded seeded;
    rng_seed(&seeded, seed);
    const struct bk_rng rng = rng_from_seeded(&seeded);
    struct plan p = {.seed = seed};
    sim_habitat_draw(&p.habitat, &rng, &limits);
    p.streams = p.components = 1;
    if (percent(&rng, 20)) {
        p.streams = (uint16_t)(1 + rng_below(&rng, 3));
        p.components = (uint16_t)(1 + rng_below(&rng, 2));
    }
    for (size_t i = 0; i < 2; i++)
        draw_side(&p, &rng, i);
    p.role[0] = percent(&rng, 50) ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
    p.role[1] = p.role[0] == BK_ICE_CONTROLLING ? BK_ICE_CONTROLLED : BK_ICE_CONTROLLING;
    if (percent(&rng, 15))
        p.role[1] = p.role[0]; /* a conflict */
    p.lite = is_public(&p.habitat.home[1]) && !p.habitat.shared && percent(&rng, 40);
    p.dead_server = percent(&rng, 4);
    p.by_name = percent(&rng, 20);
    p.tcp = percent(&rng, 15);
    p.mdns = percent(&rng, 10);
    p.relay = !p.dead_server && percent(&rng, 40);
    p.relay_tcp = p.relay && percent(&rng, 50);
    p.relay_only = p.relay && !p.lite && percent(&rng, 25);
    /* Behind one box that preserves ports or nothing only the first of two equal ports gets out. */
    if (p.habitat.shared && p.habitat.home[0].way[0].box[0].ports == NAT_PORT_PRESERVE_STRICT)
        p.relay_only = false;
    draw_incident(&p, &rng);
    return p;
}

static void tell(const struct plan *p) {
    static const char *const incidents[] = {"nothing",     "restart", "restarts", "free",
                                            "free inside", "reboot",  "move",     "flap"};
    static const char *const trickles[] = {"trickle", "half", "none"};
    char text[512];
    print_error("seed %llu: %s\n", (unsigned long long)p->seed,
                sim_habitat_text(&p->habitat, text, sizeof text));
    for (size_t i = 0; i < 2; i++)
        print_error("  %c: %s, %s, hears after %lld + %lld us%s, starts at %lld us; loss %u ppm\n",
                    'A' + (int)i, p->role[i] == BK_ICE_CONTROLLING ? "controlling" : "controlled",
                    trickles[p->trickle[i]], (long long)p->signal[i].delay_us,
                    (long long)p->signal[i].jitter_us, p->signal[i].keep_order ? " in order" : "",
                    (long long)p->start_us[i], p->habitat.home[i].way[0].link.loss_ppm);
    print_error("  %u x %u%s%s%s%s%s%s%s%s%s; %s by %c at %lld us, %u\n", p->streams, p->components,
                p->lite ? ", B is lite" : "", p->by_name ? ", server by name" : "",
                p->relay ? ", relay" : "", p->relay_tcp ? ", also over TCP" : "",
                p->relay_only ? ", nothing else" : "", p->tcp ? ", TCP" : "",
                p->mdns ? ", mDNS" : "", p->known ? ", known" : "",
                p->dead_server ? ", dead server" : "", incidents[p->incident], 'A' + (int)p->who,
                (long long)p->when_us, p->times);
}

/* ---- the play ---- */

static void configure(const struct plan *p, size_t i, const node_id *host,
                      struct sim_agent_config *out) {
    *out = sim_agent_config(p->role[i]);
    out->hosts = p->habitat.home[i].ways;
    memcpy(out->host, host, out->hosts * sizeof *host);
    out->ice.streams = p->streams;
    out->ice.components = p->components;
    out->ice.trickle = p->trickle[i];
    out->ice.lite = p->lite && i == 1;
    out->ice.tcp = p->tcp;
    out->ice.mdns = p->mdns;
    out->ice.locals_max = out->ice.remotes_max = 128;
    out->signal = p->signal[i];
    out->start_us = p->start_us[i];
    out->ice.policy = p->relay_only ? BK_ICE_RELAYED_ONLY : BK_ICE_ALL;
    if (!out->ice.lite) {
        scene_ask(out, p->dead_server ? "stun:198.51.100.9"
                       : p->by_name   ? "stun:server.example"
                                      : "stun:198.51.100.1");
        if (p->relay)
            scene_ask(out, p->by_name ? "turn:server.example" : "turn:198.51.100.1");
        if (p->relay_tcp)
            scene_ask(out, "turn:198.51.100.1?transport=tcp");
    }
    out->server[0] = scene_server();
    out->server[1] = bk_addr(bk_ipv4(198, 51, 100, 9), SCENE_PORT);
    out->servers = 2;
    if (p->incident == FREE_INSIDE && i == p->who)
        out->die_at_event = p->times;
}

static void set_up(struct scene *s, const struct plan *p) {
    const struct world_link link = {.delay_us = 5000};
    node_id host[2][SIM_HABITAT_WAYS];
    (void)scene_world(s, p->seed, &link);
    sim_habitat_build(&p->habitat, s->w, host);
    for (size_t i = 0; i < 2; i++) {
        struct sim_agent_config config;
        configure(p, i, host[i], &config);
        scene_add(s, i, &config);
    }
    sim_agent_join(&s->agent[0], &s->agent[1]);
}

/* A restart answers to a description, as with offers and answers: before the peer's has come there
 * is nothing to start again. */
static bool may_restart(const struct sim_agent *a) {
    return a->ice != NULL && a->described && a->remote_known;
}

/* The box in front of the core, if it has an address of its own. */
static bool has_box(const struct plan *p) {
    const struct sim_way *way = &p->habitat.home[p->who].way[0];
    return way->boxes > 0 && way->box[way->boxes - 1].ipv4 == NAT_MODE_TRANSLATE &&
           !(p->habitat.shared && p->who == 1);
}

static void move(struct scene *s, const struct plan *p) {
    if (!has_box(p))
        return;
    world_readdress_nat(s->w, world_find(s->w, p->who == 0 ? "box-a" : "box-b"),
                        bk_ipv4(203, 0, 113, (uint8_t)(101 + p->who)));
    if (p->known)
        sim_agent_network_changed(&s->agent[p->who]);
}

static void happen(struct scene *s, const struct plan *p) {
    switch (p->incident) {
    case NOTHING:
    case FREE_INSIDE:
    case INCIDENTS:
        return;
    case RESTART:
        if (may_restart(&s->agent[p->who]))
            sim_agent_restart(&s->agent[p->who]);
        return;
    case RESTARTS:
        for (uint32_t i = 0; i < p->times; i++) {
            if (may_restart(&s->agent[(p->who + i) % 2]))
                sim_agent_restart(&s->agent[(p->who + i) % 2]);
            world_run(s->w, p->when_us / 4 + 1000);
        }
        return;
    case FREE:
        sim_agent_fini(&s->agent[p->who]);
        return;
    case REBOOT:
        if (has_box(p))
            world_reboot_nat(s->w, world_find(s->w, p->who == 0 ? "box-a" : "box-b"));
        return;
    case MOVE:
        move(s, p);
        return;
    case FLAP:
        sim_agent_interface(&s->agent[p->who], 0, false);
        world_run(s->w, p->times * INT64_C(700000));
        sim_agent_interface(&s->agent[p->who], 0, true);
        return;
    }
}

/* Data comes every 100 ms. */
static bool is_hearing(struct scene *s, size_t who) {
    struct sim_agent *a = &s->agent[who];
    for (size_t i = 0; i < sim_agent_components(a); i++) {
        struct bk_time at = sim_agent_path_at(a, i)->heard_at;
        if (bk_is_never(at) || bk_elapsed_us(at, world_now(s->w)) > 2 * BK_US_PER_S)
            return false;
    }
    return true;
}

static bool is_done(void *ctx) {
    struct scene *s = ctx;
    struct sim_agent *a = &s->agent[0], *b = &s->agent[1];
    return sim_agent_is_selected(a) && sim_agent_is_selected(b) && is_hearing(s, 0) &&
           is_hearing(s, 1) && sim_agent_agree(a, b);
}

static bool must_meet(const struct plan *p) {
    bool gone = p->incident == FREE || p->incident == FREE_INSIDE;
    bool seen = !p->dead_server || p->habitat.shared;
    if (gone || !seen)
        return false;
    /* Where UDP gets out to the relay, a relayed candidate meets whatever the other side has. */
    bool relayed =
        p->relay && sim_habitat_has_udp(&p->habitat, 0) && sim_habitat_has_udp(&p->habitat, 1);
    return relayed || (!p->relay_only && sim_habitat_can_meet(&p->habitat));
}

/* Long enough for a dozen losses in a row at the pace of retries. */
enum { PATIENCE_S = 150, HOLD_S = 3, FAILURES_MAX = 5 };

/* Checks to the peer in any second: one per Ta of 50 ms, a burst of 8, what is triggered by the
 * peer's and sent again, with several restarts in that second. What happens without a storm is 47
 * with one component. */
static uint32_t most_checks(const struct plan *p) {
    return 40 + 24 * (uint32_t)p->streams * p->components;
}

/* NULL: all is well. */
static const char *broken_promise(struct scene *s, const struct plan *p) {
    for (size_t i = 0; i < 2; i++) {
        const struct sim_agent_seen *seen = &s->agent[i].seen;
        if (seen->requests_per_s > most_checks(p))
            return "a storm of checks";
        if (seen->early_requests > 0)
            return "a check left before the peer's credentials were known";
        if (p->relay_only && seen->direct > 0)
            return "a datagram left for the peer though only relays may be used";
        if (seen->foreign_data > 0)
            return "data was delivered that is not the peer's, or on another component";
        if (seen->unbound > 0)
            return "a datagram left from an address that is no base";
        if (seen->signal_errors > 0)
            return "a line of the peer's was refused";
    }
    return NULL;
}

struct tally {
    unsigned runs, must, met, lucky;
    int64_t *took;
    uint32_t requests_most;
    uint64_t busiest;
    size_t bytes_most;
};

static const char *play(struct scene *s, const struct plan *p, struct tally *t) {
    bool must = must_meet(p);
    set_up(s, p);
    world_run(s->w, p->when_us);
    happen(s, p);
    bool met = world_run_until(s->w, is_done, s, (must ? PATIENCE_S : 20) * BK_US_PER_S);
    struct bk_time known =
        bk_later(bk_is_never(s->agent[0].known_at) ? world_now(s->w) : s->agent[0].known_at,
                 bk_is_never(s->agent[1].known_at) ? world_now(s->w) : s->agent[1].known_at);
    t->runs++;
    t->must += must ? 1 : 0;
    t->lucky += met && !must ? 1 : 0;
    for (size_t i = 0; i < 2; i++) {
        t->bytes_most =
            s->memory[i].bytes_most > t->bytes_most ? s->memory[i].bytes_most : t->bytes_most;
        if (s->agent[i].seen.requests_per_s > t->requests_most) {
            t->requests_most = s->agent[i].seen.requests_per_s;
            t->busiest = p->seed;
        }
    }
    if (must && met)
        t->took[t->met++] = bk_elapsed_us(known, world_now(s->w));
    if (must && !met)
        return "did not connect";
    if (met && p->incident != FREE_INSIDE) {
        world_run(s->w, HOLD_S * BK_US_PER_S);
        if (!world_run_until(s->w, is_done, s, PATIENCE_S * BK_US_PER_S))
            return "did not hold";
    }
    return broken_promise(s, p);
}

static bool one_session(uint64_t seed, struct tally *t) {
    const struct plan p = draw(seed);
    static struct scene s;
    memset(&s, 0, sizeof s);
    s.loud = getenv("BODKIN_LOUD") != NULL;
    const char *why = play(&s, &p, t);
    if (why != NULL) {
        tell(&p);
        scene_tell(&s);
        print_error("%s after %lld ms\nreplay: BODKIN_LOUD=1 BODKIN_SESSIONS=1 BODKIN_SEED=%llu "
                    "test-scenario-agent_sessions\n",
                    why, (long long)(world_now(s.w).us / 1000 - 1000), (unsigned long long)seed);
    }
    scene_fini(&s);
    return why == NULL;
}

static int compare_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_sessions(void **state) {
    (void)state;
    uint64_t first = scene_env("BODKIN_SEED", 1), count = scene_env("BODKIN_SESSIONS", 1000);
    struct tally t = {.took = calloc(count + 1, sizeof(int64_t))};
    unsigned failed = 0;
    for (uint64_t seed = first; seed < first + count && failed < FAILURES_MAX; seed++)
        failed += one_session(seed, &t) ? 0 : 1;
    qsort(t.took, t.met, sizeof t.took[0], compare_us);
    print_message("%u sessions: %u of %u that must connect did, %u others too; at most %u checks a "
                  "second (seed %llu), %zu bytes\n",
                  t.runs, t.met, t.must, t.lucky, t.requests_most, (unsigned long long)t.busiest,
                  t.bytes_most);
    if (t.met > 0)
        print_message(
            "from the last signalled word: p50 %lld ms, p95 %lld ms, p99 %lld ms, most "
            "%lld ms\n",
            (long long)t.took[t.met / 2] / 1000, (long long)t.took[t.met * 95 / 100] / 1000,
            (long long)t.took[t.met * 99 / 100] / 1000, (long long)t.took[t.met - 1] / 1000);
    free(t.took);
    assert_int_equal(failed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sessions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
