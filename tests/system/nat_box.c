/* SPDX-License-Identifier: MIT
 * The NAT model as a program, for tests that compare it with others: packets in, packets out, time
 * by hand. What it is comes as arguments ("preset=home", "public=203.0.113.1", fields of
 * nat/option.c); then one command a line:
 *
 *     i HEX    an IP packet arrives on the inside        o HEX    ... on the outside
 *     t US     so much time passes                       r        the box reboots
 *
 * and for each command the packets that leave, in the same form (the letter is the side they leave
 * by), and a line with a dot. */
#include "base/rng.h"
#include "nat/fragment.h"
#include "nat/nat.h"
#include "nat/packet.h"

#include <bodkin/env.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 4096, LINE_MAX_ = 2 * BYTES_MAX + 16 };

struct bench {
    struct nat *nat;
    struct fragments *fragments;
    struct nat_config config;
    struct bk_time now;
};

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static void emit(enum nat_side side, const uint8_t *data, size_t len) {
    putchar(side == NAT_INSIDE ? 'i' : 'o');
    putchar(' ');
    for (size_t i = 0; i < len; i++)
        printf("%02x", data[i]);
    putchar('\n');
}

/* Like a host that is called, the box answers from the address that was called. */
static void answer(const struct packet *cause, enum nat_side side, enum nat_answer what) {
    uint8_t out[PACKET_ANSWER_MAX];
    size_t len;
    const struct bk_ip *from = &cause->header.flow.dst.ip;
    if (packet_build_answer(cause, what, from, out, sizeof out, &len) == BK_OK)
        emit(side, out, len);
}

static void forward(struct packet *p, const struct nat_verdict *v) {
    if (v->action != NAT_FORWARD && v->action != NAT_HAIRPIN)
        return;
    packet_rewrite(p, &v->header);
    emit(v->to, p->data, p->len);
}

static void carry_later(struct bench *b, enum nat_side side, struct packet *p) {
    enum nat_side to;
    if (fragments_pass(b->fragments, side, p, b->now, &to) == FRAGMENT_PASSES)
        emit(to, p->data, p->len);
}

static void carry_first(struct bench *b, enum nat_side side, const struct packet *p,
                        const struct nat_header *before, const struct nat_verdict *v) {
    struct packet waited;
    enum nat_side to;
    fragments_learn(b->fragments, side, p, before, v, b->now);
    while (fragments_next(b->fragments, &waited, &to))
        emit(to, waited.data, waited.len);
}

static void carry(struct bench *b, enum nat_side side, uint8_t *data, size_t len) {
    struct packet p;
    struct nat_verdict v;
    if (packet_parse_any(&p, data, len, false) != BK_OK || packet_hop(&p) != BK_OK)
        return;
    if (p.part == PACKET_LATER) {
        carry_later(b, side, &p);
        return;
    }
    const struct nat_header before = p.header;
    nat_packet(b->nat, side, &p.header, b->now, &v);
    nat_check(b->nat);
    if (v.action == NAT_ANSWER)
        answer(&p, side, v.answer);
    forward(&p, &v);
    if (p.part == PACKET_FIRST)
        carry_first(b, side, &p, &before, &v);
}

static size_t read_hex(const char *text, uint8_t *out) {
    size_t len = 0;
    unsigned byte;
    while (len < BYTES_MAX && sscanf(text + 2 * len, "%2x", &byte) == 1)
        out[len++] = (uint8_t)byte;
    return len;
}

static void obey(struct bench *b, const char *line) {
    static uint8_t bytes[BYTES_MAX];
    if (line[0] == 't')
        b->now = bk_after(b->now, strtoll(line + 2, NULL, 10));
    else if (line[0] == 'r')
        nat_reboot(b->nat);
    else
        carry(b, line[0] == 'i' ? NAT_INSIDE : NAT_OUTSIDE, bytes, read_hex(line + 2, bytes));
}

static bool set(struct nat_config *c, char *word) {
    char *value = strchr(word, '=');
    if (value == NULL)
        return false;
    *value++ = '\0';
    if (strcmp(word, "preset") == 0)
        return nat_preset(value, c) == BK_OK;
    if (strcmp(word, "public") != 0)
        return nat_config_set(c, word, value) == BK_OK;
    return c->external_count < NAT_EXTERNAL_MAX &&
           bk_ip_parse(value, &c->external[c->external_count++]) == BK_OK;
}

int main(int argc, char **argv) {
    static char line[LINE_MAX_];
    struct bench b = {.config = nat_config_default, .now = {BK_US_PER_S}};
    for (int i = 1; i < argc; i++) {
        if (set(&b.config, argv[i]))
            continue;
        fprintf(stderr, "nat-box: no such setting: %s\n", argv[i]);
        return 2;
    }
    struct rng_seeded seeded;
    rng_seed(&seeded, 7);
    struct bk_rng rng = rng_from_seeded(&seeded);
    const struct bk_alloc alloc = {.get = get, .put = put};
    const char *field = NULL;
    if (nat_config_check(&b.config, &field) != BK_OK ||
        nat_new(&b.config, &rng, &alloc, &b.nat) != BK_OK ||
        fragments_new(b.config.fragments, b.config.fragments_max, &rng, &alloc, &b.fragments) !=
            BK_OK) {
        fprintf(stderr, "nat-box: bad configuration: %s\n", field != NULL ? field : "memory");
        return 2;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        obey(&b, line);
        puts(".");
        fflush(stdout);
    }
    fragments_free(b.fragments);
    nat_free(b.nat);
    return 0;
}
