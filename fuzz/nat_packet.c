/* SPDX-License-Identifier: MIT
 * links: nat
 * Any bytes as an IP packet: parsed, passed through a box, rewritten, answered. What was right
 * before a rewrite must be right after it, and every answer must itself be a right packet. */
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
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
    for (int a = NAT_ANSWER_NONE; a <= NAT_ANSWER_TIME_EXCEEDED; a++) {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rng_seeded seeded;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct packet p;
    if (size < 1 || size > 4096)
        return 0;
    uint8_t *bytes = malloc(size - 1);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    bool partial = (data[0] & 1) != 0;
    if (packet_parse(&p, bytes, size - 1, partial) == BK_OK) {
        struct nat *nat = new_box(&rng);
        struct bk_time now = {0};
        struct nat_verdict v;
        enum nat_side from = (data[0] & 2) != 0 ? NAT_OUTSIDE : NAT_INSIDE;
        try_answers(&p);
        nat_packet(nat, from, &p.header, now, &v);
        nat_check(nat);
        if (v.action == NAT_FORWARD || v.action == NAT_HAIRPIN)
            rewrite(&p, &v.header);
        (void)!packet_hop(&p);
        nat_free(nat);
    }
    free(bytes);
    return 0;
}
