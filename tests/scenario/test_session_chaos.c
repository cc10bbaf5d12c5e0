/* SPDX-License-Identifier: MIT
 * Sessions in a hostile world: NATs of every kind, loss, reordering and duplication, and a script
 * of faults drawn from the seed (silent cuts, reboots of NAT boxes, restarts of the relay). After
 * the last fault the network is whole again: then every byte must arrive, exactly once and in
 * order, and the path must become direct wherever plain punching can.
 *
 * BODKIN_SEEDS=N runs N seeds (12); BODKIN_SEED=S begins with that one. */
#include "../unit/test.h"

#include "base/rng.h"
#include "sim/duo.h"

#include <stdio.h>

enum { FAULTS = 6, BYTES = 3000000 };

static const char *const nats[] = {"home",      "full-cone",     "restricted", "port-restricted",
                                   "symmetric", "symmetric-seq", "udp-blocked"};
enum { NATS = sizeof nats / sizeof *nats };

static void print_line(void *ctx, const char *text) {
    (void)ctx;
    fprintf(stderr, "%s\n", text);
}

static void print_side(const char *name, const struct duo_side *s) {
    fprintf(stderr, "%s: %llu sent, %llu received, end %d, state %d, %s\n", name,
            (unsigned long long)s->sent, (unsigned long long)s->received,
            s->ended ? (int)s->end : -1,
            s->session == NULL ? -1 : (int)session_get_state(s->session),
            duo_side_is_direct(s) ? "direct" : "relayed");
}

static void give_up(struct duo *d, const char *what) {
    print_side("alice", &d->a);
    print_side("bob", &d->b);
    world_dump(d->world, print_line, NULL);
    fail_msg("seed %llu (%s, %s): %s", (unsigned long long)d->config.seed, d->config.nat_a,
             d->config.nat_b, what);
}

static bool is(const char *name, const char *kind) {
    return strncmp(name, kind, strlen(kind)) == 0;
}

/* Plain punching gets through unless UDP is blocked or one side's ports cannot be known and the
 * other side's filter asks for them: docs on mapping and filtering, RFC 4787 sections 4 and 5. */
static bool can_punch(const char *a, const char *b) {
    if (is(a, "udp-blocked") || is(b, "udp-blocked"))
        return false;
    if (!is(a, "symmetric") && !is(b, "symmetric"))
        return true;
    const char *other = is(a, "symmetric") ? b : a;
    return is(other, "full-cone") || is(other, "restricted");
}

static void one_fault(struct duo *d, const struct bk_rng *rng) {
    switch (rng_below(rng, 5)) {
    case 0:
        world_cut_hosts(d->world, d->host_a, d->host_b, WORLD_CUT_UDP);
        break;
    case 1:
        world_cut_link(d->world, rng_below(rng, 2) == 0 ? d->box_a : d->box_b, WORLD_CUT_UDP);
        break;
    case 2:
        world_reboot_nat(d->world, rng_below(rng, 2) == 0 ? d->box_a : d->box_b);
        break;
    case 3:
        assert_int_equal(sim_relay_restart(&d->relay, &test_alloc), BK_OK);
        break;
    default:
        world_cut_link(d->world, rng_below(rng, 2) == 0 ? d->box_a : d->box_b, WORLD_CUT_ALL);
        break;
    }
    world_run(d->world, (int64_t)rng_below(rng, 3000) * BK_US_PER_MS);
    world_cut_hosts(d->world, d->host_a, d->host_b, WORLD_CUT_NONE);
    world_cut_link(d->world, d->box_a, WORLD_CUT_NONE);
    world_cut_link(d->world, d->box_b, WORLD_CUT_NONE);
    world_run(d->world, (int64_t)rng_below(rng, 2000) * BK_US_PER_MS);
}

static void run(uint64_t seed) {
    struct rng_seeded seeded;
    rng_seed(&seeded, seed);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct duo_config config = duo_config_default;
    config.seed = seed;
    config.nat_a = nats[rng_below(&rng, NATS)];
    config.nat_b = nats[rng_below(&rng, NATS)];
    config.bytes = BYTES;
    config.bytes_back = rng_below(&rng, 100000);
    config.link.loss_ppm = rng_below(&rng, 3) * 10000;
    config.link.jitter_us = rng_below(&rng, 5000);
    config.link.duplicate_ppm = rng_below(&rng, 2) * 5000;
    config.link.rate_bps = 8000000;
    struct duo *d = calloc(1, sizeof *d);
    assert_non_null(d);
    assert_int_equal(duo_init(d, &config, &test_alloc), BK_OK);
    /* An offer gives up after 15 s, as it should: the faults begin when both sides know each other.
     */
    for (int i = 0; i < 600 && (bk_is_never(d->a.secured) || bk_is_never(d->b.secured)); i++)
        (void)duo_run_until_direct(d, 50 * BK_US_PER_MS);
    world_run(d->world, (int64_t)rng_below(&rng, 1500) * BK_US_PER_MS);
    for (int i = 0; i < FAULTS; i++)
        one_fault(d, &rng);
    if (!duo_run_until_done(d, 600 * BK_US_PER_S))
        give_up(d, "the transfer does not end");
    if (d->b.received != BYTES || d->b.corrupt || d->a.received != config.bytes_back ||
        d->a.corrupt)
        give_up(d, "bytes differ");
    if (can_punch(config.nat_a, config.nat_b) && !duo_run_until_direct(d, 400 * BK_US_PER_S))
        give_up(d, "the path does not become direct again");
    duo_fini(d);
    free(d);
}

static uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void test_everything_arrives_whatever_happens(void **state) {
    (void)state;
    uint64_t first = from_environment("BODKIN_SEED", 1),
             count = from_environment("BODKIN_SEEDS", 12);
    for (uint64_t seed = first; seed < first + count; seed++)
        run(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
