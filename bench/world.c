/* SPDX-License-Identifier: MIT
 * How fast the NAT model and the simulated world are on this machine, in packets and events per
 * second of real time, and how many tries of ICE it plays; one thread. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl*): POSIX's own name */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "sim/world.h"
#include "base/rng.h"
#include "nat/packet.h"
#include "sim/encounter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static const struct bk_alloc alloc = {get, put, NULL};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const char *what, double count, double took) {
    printf("%-52s %8.2f million/s\n", what, count / took / 1e6);
}

static struct nat_config home(uint8_t last) {
    struct nat_config c = nat_config_default;
    c.external[0] = bk_ipv4(203, 0, 113, last);
    c.external_count = 1;
    return c;
}

static struct nat *new_box(struct rng_seeded *seeded, enum nat_dep mapping) {
    struct nat_config c = home(1);
    struct nat *nat;
    c.mapping = mapping;
    rng_seed(seeded, 1);
    struct bk_rng rng = rng_from_seeded(seeded);
    if (nat_new(&c, &rng, &alloc, &nat) != BK_OK)
        exit(1);
    return nat;
}

/* Out and in again, over `flows` flows that exist. */
static void bench_box(uint32_t flows, const char *what) {
    enum { ROUNDS = 2000000 };
    struct rng_seeded seeded;
    struct nat *nat = new_box(&seeded, NAT_EI);
    struct nat_verdict v;
    double start = seconds();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t flow = i % flows;
        struct nat_header h = {.flow.proto = NAT_UDP};
        struct bk_time now = {(int64_t)i};
        h.flow.src = bk_addr(bk_ipv4(192, 168, (uint8_t)(flow >> 8), (uint8_t)flow), 5000);
        h.flow.dst = bk_addr(bk_ipv4(198, 51, 100, 1), 443);
        nat_packet(nat, NAT_INSIDE, &h, now, &v);
        h.flow.src = v.header.flow.dst;
        h.flow.dst = v.header.flow.src;
        nat_packet(nat, NAT_OUTSIDE, &h, now, &v);
    }
    report(what, 2.0 * ROUNDS, seconds() - start);
    nat_free(nat);
}

/* Every packet opens a mapping; the table is full after a while and the oldest expire. */
static void bench_new_mappings(void) {
    enum { ROUNDS = 1000000 };
    struct rng_seeded seeded;
    struct nat *nat = new_box(&seeded, NAT_APD);
    struct nat_verdict v;
    double start = seconds();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct nat_header h = {.flow.proto = NAT_UDP};
        struct bk_time now = {(int64_t)i * 3000};
        h.flow.src = bk_addr(bk_ipv4(192, 168, 0, 2), 5000);
        h.flow.dst = bk_addr(bk_ipv4(198, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i), 443);
        nat_packet(nat, NAT_INSIDE, &h, now, &v);
    }
    report("NAT, a new mapping for every packet", ROUNDS, seconds() - start);
    nat_free(nat);
}

/* A 1400-byte UDP packet: parse, translate, rewrite. */
static void bench_bytes(void) {
    enum { ROUNDS = 2000000, LEN = 1428 };
    struct rng_seeded seeded;
    struct nat *nat = new_box(&seeded, NAT_EI);
    static const uint8_t header[28] = {0x45, 0,    0x05, 0x94, 0,    0,    0x40, 0,   64,  17,
                                       0x49, 0x7a, 192,  168,  1,    2,    198,  51,  100, 1,
                                       0x13, 0x88, 0x01, 0xbb, 0x05, 0x80, 0x12, 0x34};
    static uint8_t bytes[LEN];
    double start = seconds();
    uint32_t passed = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct packet p;
        struct nat_verdict v;
        struct bk_time now = {(int64_t)i};
        memcpy(bytes, header, sizeof header);
        if (packet_parse(&p, bytes, LEN, false) != BK_OK)
            continue;
        nat_packet(nat, NAT_INSIDE, &p.header, now, &v);
        packet_rewrite(&p, &v.header);
        passed += packet_hop(&p) == BK_OK ? 1 : 0;
    }
    if (passed != ROUNDS)
        exit(1);
    report("NAT on bytes: parse, translate, rewrite", ROUNDS, seconds() - start);
    nat_free(nat);
}

/* ---- the world: pairs of hosts behind two NATs each, answering each other for ever ---- */
static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    (void)ctx;
    world_udp_send(w, socket,
                   &(struct bk_datagram){.remote = in->remote, .data = in->data, .len = in->len});
}

static void add_pair(struct world *w, uint8_t number) {
    struct world_link link = {.delay_us = 10000 + number * 10, .jitter_us = 1000};
    struct bk_addr outside[2];
    socket_id socket[2];
    for (uint8_t side = 0; side < 2; side++) {
        struct nat_config c = home((uint8_t)(number * 2 + side + 1));
        c.mappings_max = c.sessions_max = 256;
        node_id box = world_add_nat(w, "box", WORLD_CORE, &c, &link);
        node_id host = world_add_host(w, "host", box, bk_ipv4(192, 168, 1, 2), NULL);
        actor_id a = world_add_actor(w, host, &(struct world_actor){.on_datagram = on_datagram});
        outside[side] = bk_addr(c.external[0], 5000);
        if (world_udp_bind(w, a, bk_addr(bk_ipv4(192, 168, 1, 2), 5000), &socket[side]) != BK_OK)
            exit(1);
    }
    static const uint8_t bytes[100];
    for (int burst = 0; burst < 64; burst++) {
        for (int side = 0; side < 2; side++) {
            struct bk_datagram out = {
                .remote = outside[1 - side], .data = bytes, .len = sizeof bytes};
            world_udp_send(w, socket[side], &out);
        }
    }
}

static void bench_world(void) {
    enum { PAIRS = 8, EVENTS = 5000000 };
    struct world_config config = world_config_default;
    struct world *w;
    if (world_new(&config, &alloc, &w) != BK_OK)
        exit(1);
    for (int i = 0; i < PAIRS; i++)
        add_pair(w, (uint8_t)i);
    double start = seconds();
    for (uint32_t i = 0; i < EVENTS && world_step(w); i++)
        continue;
    double took = seconds() - start;
    const struct world_counters *c = world_get_counters(w);
    report("world, events (two NATs on every path)", (double)c->events, took);
    report("world, datagrams from host to host", (double)c->delivered, took);
    world_free(w);
}

/* What `bodkin sim matrix` does, without its output. */
static void bench_encounters(void) {
    enum { SEEDS = 10 };
    struct encounter_config config = encounter_config_default;
    struct encounter_outcome outcome;
    uint32_t runs = 0;
    double start = seconds();
    config.loss_ppm = 10000;
    for (size_t a = 0; a < NAT_TYPES27; a++)
        for (size_t b = 0; b < NAT_TYPES27; b++)
            for (config.seed = 1; config.seed <= SEEDS; config.seed++, runs++) {
                (void)nat_type27(a, &config.nat[0]);
                (void)nat_type27(b, &config.nat[1]);
                if (encounter_run(&config, &alloc, &outcome) != BK_OK)
                    exit(1);
            }
    printf("%-52s %8.0f runs/s\n", "ICE agents behind pairs of the 27 NAT types",
           runs / (seconds() - start));
}

int main(void) {
    bench_box(1, "NAT, UDP both ways, one flow");
    bench_box(10000, "NAT, UDP both ways, 10 000 flows");
    bench_new_mappings();
    bench_bytes();
    bench_world();
    bench_encounters();
    return 0;
}
