/* SPDX-License-Identifier: MIT
 * links: nat
 * Any bytes as IP packets: parsed, passed through a box, rewritten, answered, their payload
 * searched for addresses; fragments sent after each other. What was right before a rewrite must be
 * right after it, and every answer must itself be a right packet. */
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "nat/alg.h"
#include "nat/fragment.h"
#include "nat/packet.h"

#include <stdlib.h>
#include <string.h>

static struct nat *new_box(const struct bk_rng *rng) {
    struct nat_config c = nat_config_default;
    struct nat *nat;
    c.filtering = NAT_EI;
    c.ports = NAT_PORT_RANDOM;
    c.hairpin = NAT_HAIRPIN_EXTERNAL;
    c.unsolicited = NAT_UNSOLICITED_REJECT;
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external_count = 1;
    c.mappings_max = c.sessions_max = 16;
    bk_assert(nat_new(&c, rng, &fuzz_alloc, &nat) == BK_OK);
    return nat;
}

static void try_answers(const struct packet *p) {
    uint8_t out[PACKET_ANSWER_MAX];
    for (int a = NAT_ANSWER_NONE; a <= NAT_ANSWER_HOST_UNREACHABLE; a++) {
        size_t len = 0;
        struct packet answer;
        struct bk_ip from = p->header.flow.dst.ip;
        if (packet_build_answer(p, (enum nat_answer)a, &from, out, sizeof out, &len) != BK_OK)
            continue;
        bk_assert(packet_parse(&answer, out, len, false) == BK_OK);
        bk_assert(packet_checksums_right(&answer));
        bk_assert(bk_ip_equal(&answer.header.flow.dst.ip, &p->header.flow.src.ip));
    }
}

static void rewrite(struct packet *p, const struct nat_header *to) {
    struct packet again;
    bool right = !p->partial_csum && packet_checksums_right(p);
    packet_rewrite(p, to);
    if (p->partial_csum)
        return;
    bk_assert(packet_checksums_right(p) == right);
    bk_assert(packet_parse(&again, p->data, p->len, false) == BK_OK);
    bk_assert(bk_addr_equal(&again.header.flow.src, &to->flow.src));
    bk_assert(bk_addr_equal(&again.header.flow.dst, &to->flow.dst));
    bk_assert(again.header.icmp == to->icmp);
    bk_assert(bk_addr_equal(&again.header.inner.src, &to->inner.src));
}

/* The payload may grow into `room` bytes behind the packet. */
static void search(struct packet *p, uint8_t how, const struct nat_header *before, size_t room) {
    bool right = !p->partial_csum && packet_checksums_right(p);
    (void)packet_alg(p, (enum nat_alg)(how % 4), before, p->len + room);
    struct packet again;
    bk_assert(packet_parse_any(&again, p->data, p->len, p->partial_csum) == BK_OK);
    bk_assert(p->partial_csum || packet_checksums_right(p) == right);
}

struct bench {
    struct nat *nat;
    struct fragments *fragments;
    struct bk_time now;
};

static void one_packet(struct bench *b, uint8_t how, uint8_t *bytes, size_t len) {
    enum { ROOM = 16 };
    struct packet p;
    struct nat_verdict v;
    enum nat_side to, from = (how & 2) != 0 ? NAT_OUTSIDE : NAT_INSIDE;
    if (packet_parse_any(&p, bytes, len, (how & 1) != 0) != BK_OK)
        return;
    if (p.part == PACKET_LATER) {
        (void)fragments_pass(b->fragments, from, &p, b->now, &to);
        return;
    }
    struct nat_header before = p.header;
    if (p.part == PACKET_WHOLE)
        try_answers(&p);
    nat_packet(b->nat, from, &p.header, b->now, &v);
    nat_check(b->nat);
    bool passes = v.action == NAT_FORWARD || v.action == NAT_HAIRPIN;
    if (passes && p.part == PACKET_WHOLE)
        rewrite(&p, &v.header);
    else if (passes)
        packet_rewrite(&p, &v.header);
    if (p.part == PACKET_FIRST)
        fragments_learn(b->fragments, from, &p, &before, &v, b->now);
    if (passes && p.part == PACKET_WHOLE)
        search(&p, how >> 2, &before, ROOM);
    (void)!packet_hop(&p);
    while (fragments_next(b->fragments, &p, &to))
        (void)!packet_hop(&p);
}

/* Packets of up to 255 bytes, or the whole input: how to treat it, its length, its bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { LEN_MAX = 4096, ROOM = 16 };
    static uint8_t bytes[LEN_MAX + ROOM];
    struct rng_seeded seeded;
    struct bench b = {0};
    if (size < 2 || size > LEN_MAX)
        return 0;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    b.nat = new_box(&rng);
    bk_assert(fragments_new((enum nat_fragments)(data[0] >> 6 & 1 ? 2 : data[0] >> 7), 4, &rng,
                            &fuzz_alloc, &b.fragments) == BK_OK);
    for (size_t at = 0; at + 2 < size;) {
        uint8_t how = data[at];
        size_t len = data[at + 1] == 0 ? size - at - 2 : data[at + 1];
        at += 2;
        if (len > size - at)
            len = size - at;
        uint8_t *exact = fuzz_copy(data + at, len); /* parsing must not look behind it */
        struct packet p;
        (void)!packet_parse_any(&p, exact, len, false);
        free(exact);
        memcpy(bytes, data + at, len);
        one_packet(&b, how, bytes, len);
        b.now.us += (int64_t)how * 100000;
        at += len;
    }
    fragments_free(b.fragments);
    nat_free(b.nat);
    return 0;
}
