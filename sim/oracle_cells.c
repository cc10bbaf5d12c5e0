/* SPDX-License-Identifier: MIT
 * What is played: the 27 types, and the cells that they do not reach. */
#include "base/text.h"
#include "sim/oracle_prove.h"

#include <string.h>

struct oracle_side_play oracle_side_of(const struct nat_config *box, uint8_t number) {
    struct oracle_side_play s = {.box = *box};
    s.box.external[0] = bk_ipv4(203, 0, 113, number);
    s.box.external_count = 1;
    nat_traits_of(&s.box, &s.traits);
    s.traits.two_nats = s.traits.port_mapping = s.traits.ipv6 = BK_NO;
    s.traits.tcp_punch = BK_YES;
    if (s.traits.ports == BK_NAT_PORTS_SEQUENTIAL)
        s.traits.foreign_per_s = bk_oracle_budget_default.foreign_per_s;
    return s;
}

struct oracle_cell oracle_cell_type27(size_t a, size_t b) {
    struct oracle_cell c = {.budget = bk_oracle_budget_default};
    struct nat_config box[2];
    struct text name = text_in(c.name, sizeof c.name);
    text_str(&name, nat_type27(a, &box[0]));
    text_str(&name, " x ");
    text_str(&name, nat_type27(b, &box[1]));
    c.sides[0] = oracle_side_of(&box[0], 1);
    c.sides[1] = oracle_side_of(&box[1], 2);
    return c;
}

/* ---- beyond the 27 types ---- */

/* A box in a few words. `size` is the number of ports it draws from; 0: all. */
struct box {
    enum nat_dep mapping, filtering;
    enum nat_port_choice ports;
    uint16_t size;
    int16_t step;
    double foreign_per_s;
    bool inbound_first;
};

#define CONE                                                                                       \
    { NAT_EI, NAT_APD, NAT_PORT_PRESERVE, 0, 0, 0, false }
#define CONE_AD                                                                                    \
    { NAT_EI, NAT_AD, NAT_PORT_PRESERVE, 0, 0, 0, false }
#define DELICATE                                                                                   \
    { NAT_EI, NAT_APD, NAT_PORT_PRESERVE, 0, 0, 0, true }
#define BLOCK(size)                                                                                \
    { NAT_APD, NAT_APD, NAT_PORT_RANDOM, size, 0, 0, false }
#define HOST_BLOCK(size)                                                                           \
    { NAT_AD, NAT_APD, NAT_PORT_RANDOM, size, 0, 0, false }
#define BLOCK_AD(size)                                                                             \
    { NAT_APD, NAT_AD, NAT_PORT_RANDOM, size, 0, 0, false }
#define SEQ(step, rate)                                                                            \
    { NAT_APD, NAT_APD, NAT_PORT_SEQUENTIAL, 0, step, rate, false }
#define HOST_SEQ(step, rate)                                                                       \
    { NAT_AD, NAT_APD, NAT_PORT_SEQUENTIAL, 0, step, rate, false }
#define KEEP                                                                                       \
    { NAT_APD, NAT_APD, NAT_PORT_PRESERVE_NEXT, 0, 0, 0, false }
#define HARD BLOCK(0)

enum { PRIMED, UNPRIMED, DEAR, UNPREDICTED };

/* The server is 40 ms away: mean foreign mappings are the rate x 0.04 for a prediction on one side,
 * x 0.08 where it has to reach the peer first. */
static const struct special {
    const char *name;
    struct box a, b;
    uint32_t sockets, probes;
    int flags;
} specials[] = {
    {"64 sockets x 1024 probes", CONE, HARD, 64, 1024, PRIMED},
    {"256 x 256", CONE, HARD, 256, 256, PRIMED},
    {"256 x 1024", CONE, HARD, 256, 1024, PRIMED},
    {"256 x 2048", CONE, HARD, 256, 2048, PRIMED},
    {"512 x 1024", CONE, HARD, 512, 1024, PRIMED},
    {"256 x 1024, openers of low TTL", DELICATE, HARD, 256, 1024, PRIMED},
    {"64 x 1024, filter by address", HARD, BLOCK_AD(0), 64, 1024, PRIMED},
    {"256 x 256, filter by address", HARD, BLOCK_AD(0), 256, 256, PRIMED},
    {"block of 64, 16 x 64", CONE, BLOCK(64), 16, 64, PRIMED},
    {"block of 1024, 128 x 64", CONE, BLOCK(1024), 128, 64, PRIMED},
    {"block of 1024, 16 x 64", CONE, BLOCK(1024), 16, 64, PRIMED},
    {"block of 1024, 32 x 256", CONE, BLOCK(1024), 32, 256, PRIMED},
    {"128 x 512, counting NAT", CONE, SEQ(1, 25), 128, 512, UNPREDICTED},
    {"predict 0.1, window 1", CONE, SEQ(1, 2.5), 256, 1, PRIMED},
    {"predict 0.1, window 2", CONE, SEQ(1, 2.5), 256, 2, PRIMED},
    {"predict 1, window 2", CONE, SEQ(1, 25), 256, 2, PRIMED},
    {"predict 1, window 5", CONE, SEQ(1, 25), 256, 5, PRIMED},
    {"predict 5, window 4", CONE, SEQ(-1, 125), 256, 4, PRIMED},
    {"predict 5, window 12", CONE, SEQ(7, 125), 256, 12, PRIMED},
    {"predict 20, window 16", CONE, SEQ(2, 500), 256, 16, PRIMED},
    {"predict 20, window 32", CONE, SEQ(1, 500), 256, 32, PRIMED},
    {"predict 50, window 68", CONE, SEQ(1, 1250), 256, 68, PRIMED},
    {"predict, a delicate prober", DELICATE, SEQ(1, 25), 256, 8, PRIMED},
    {"fan 0.16, window 1", SEQ(1, 1), SEQ(1, 1), 256, 1, PRIMED},
    {"fan 0.8, window 2", SEQ(1, 5), SEQ(-2, 5), 256, 2, PRIMED},
    {"fan 0.8, all of the window", SEQ(1, 5), SEQ(1, 5), 256, 64, PRIMED},
    {"fan 0.8, address-dependent mapping", HOST_SEQ(1, 5), SEQ(1, 5), 256, 64, PRIMED},
    {"fan, preserving x counting", KEEP, SEQ(1, 5), 256, 64, PRIMED},
    {"mixed, block of 1024, 1024 sockets", SEQ(1, 0), BLOCK(1024), 1024, 512, PRIMED},
    {"mixed, block of 1024, 64 sockets", SEQ(1, 0), BLOCK(1024), 64, 512, PRIMED},
    {"mixed, block of 1024, 1 socket", SEQ(1, 0), BLOCK(1024), 1, 512, PRIMED},
    {"mixed, preserving, block of 1024", KEEP, BLOCK(1024), 256, 512, PRIMED},
    {"mixed, one mapping in a block of 1024", SEQ(1, 0), HOST_BLOCK(1024), 256, 512, PRIMED},
    {"mixed, one mapping predicted", HOST_SEQ(1, 5), BLOCK(1024), 32, 96, PRIMED},
    {"two blocks of 256, 256 sockets", BLOCK(256), BLOCK(256), 256, 128, PRIMED},
    {"two blocks of 256, 16 sockets", BLOCK(256), BLOCK(256), 16, 128, PRIMED},
    {"two blocks of 256, 1 socket", BLOCK(256), BLOCK(256), 1, 128, PRIMED},
    {"two blocks of 1024, all of them, 256 sockets", BLOCK(1024), BLOCK(1024), 256, 1024, PRIMED},
    {"two blocks of 1024, all of them, 1 socket", BLOCK(1024), BLOCK(1024), 1, 1024, PRIMED},
    {"two blocks, one mapping each", HOST_BLOCK(256), HOST_BLOCK(256), 256, 128, PRIMED},
    {"two blocks, one mapping on one side", HOST_BLOCK(256), BLOCK(512), 256, 200, PRIMED},
    {"block of 256 x all ports", BLOCK(256), HARD, 4096, 4096, PRIMED},
    {"hard x hard, 16384 sockets", HARD, HARD, 16384, 16384, DEAR},
    {"both delicate, first packet of low TTL", DELICATE, DELICATE, 1, 1, PRIMED},
    {"one delicate, first packet of low TTL", DELICATE, CONE, 1, 1, PRIMED},
    {"both delicate, not primed, up to 100 ms apart", DELICATE, DELICATE, 1, 1, UNPRIMED},
    {"one delicate, not primed, up to 100 ms apart", DELICATE, CONE, 1, 1, UNPRIMED},
    {"one delicate, the other asks for no port", DELICATE, CONE_AD, 1, 1, UNPRIMED},
};

enum { BLOCK_START = 20480 };

static struct nat_config box_of(const struct box *b) {
    struct nat_config c = nat_config_default;
    c.mapping = b->mapping;
    c.filtering = b->filtering;
    c.ports = b->ports;
    if (b->size != 0) {
        c.port_min = BLOCK_START;
        c.port_max = (uint16_t)(BLOCK_START + b->size - 1);
    }
    if (b->step != 0)
        c.port_step = b->step;
    c.overload = b->inbound_first ? NAT_OVERLOAD_REMOTE : NAT_OVERLOAD_OFF;
    c.inbound_first = b->inbound_first;
    c.udp_first_us = c.udp_replied_us = 120 * BK_US_PER_S; /* RFC 4787 REQ-5 */
    return c;
}

bool oracle_cell_special(size_t index, struct oracle_cell *out) {
    if (index >= sizeof specials / sizeof *specials)
        return false;
    const struct special *s = &specials[index];
    struct nat_config a = box_of(&s->a), b = box_of(&s->b);
    *out = (struct oracle_cell){.budget = bk_oracle_budget_default, .dear = s->flags == DEAR};
    struct text name = text_in(out->name, sizeof out->name);
    text_str(&name, s->name);
    out->sides[0] = oracle_side_of(&a, 1);
    out->sides[1] = oracle_side_of(&b, 2);
    out->sides[0].traits.foreign_per_s = s->a.foreign_per_s;
    out->sides[1].traits.foreign_per_s = s->b.foreign_per_s;
    out->budget.sockets = s->sockets;
    out->budget.probes = s->probes;
    out->budget.foreign_per_s = 0;
    if (s->flags == UNPREDICTED)
        out->budget.methods = 1U << BK_ORACLE_BIRTHDAY_ONE;
    out->budget.low_ttl = out->budget.synchronised = s->flags != UNPRIMED;
    return true;
}
