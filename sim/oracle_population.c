/* SPDX-License-Identifier: MIT
 * The numbers are shares of hosts as published; what a source leaves open is filled in with the one
 * next to it, so read differences of less than a point as nothing. */
#include "sim/oracle_population.h"

#include "base/assert.h"

#include <bodkin/oracle.h>

static const struct {
    char letter;
    const char *title, *source;
} populations[] = {
    {'H', "users of a peer-to-peer program, 2011",
     "Halkes and Pouwelse, \"UDP NAT and Firewall Puncturing in the Wild\", IFIP Networking 2011, "
     "646 peers; 30 % port mapping from DiCioccio et al., \"Probe and Pray\", PAM 2012"},
    {'G', "55 % fixed lines, 35 % cellular, 10 % companies",
     "Richter et al., \"A Multi-perspective Analysis of Carrier-Grade NAT Deployment\", IMC 2016; "
     "UDP blocked from Langley et al., SIGCOMM 2017; IPv6 from Google's count of 2026"},
    {'M', "cellular to cellular", "Richter et al., IMC 2016; Wang et al., SIGCOMM 2011"},
    {'X', "45 % with endpoint-dependent mapping",
     "An assumption: the hardest mix that operators' customers report"},
};

enum { EI = BK_NAT_EI, AD = BK_NAT_AD, APD = BK_NAT_APD };
enum { KEEP = BK_NAT_PORTS_PRESERVE, COUNT = BK_NAT_PORTS_SEQUENTIAL, DRAW = BK_NAT_PORTS_RANDOM };

/* `space`: ports it draws from, 0: all. The last three are shares that have IPv6, that answer to
 * port mapping, and that are spoilt by a packet from outside that comes first. */
static const struct row {
    char population;
    const char *name;
    double weight;
    int mapping, filtering, ports;
    uint16_t space;
    bool udp;
    double ipv6, port_mapping, inbound_first;
} rows[] = {
    {'H', "open", 0.21, EI, EI, KEEP, 0, true, 0.0, 0.0, 0.0},
    {'H', "EIM, ADF", 0.12, EI, AD, KEEP, 0, true, 0.0, 0.3, 0.0},
    {'H', "EIM, APDF", 0.52, EI, APD, KEEP, 0, true, 0.0, 0.3, 0.3},
    {'H', "APDM, counting", 0.04, APD, APD, COUNT, 0, true, 0.0, 0.3, 0.0},
    {'H', "APDM, random", 0.07, APD, APD, DRAW, 0, true, 0.0, 0.2, 0.0},
    {'H', "UDP blocked", 0.04, EI, APD, KEEP, 0, false, 0.0, 0.0, 0.0},
    {'G', "fixed open", 0.05, EI, EI, KEEP, 0, true, 0.45, 0.0, 0.0},
    {'G', "fixed router, EIM, APDF", 0.345, EI, APD, KEEP, 0, true, 0.45, 0.3, 0.2},
    {'G', "fixed router, EIM, ADF", 0.05, EI, AD, KEEP, 0, true, 0.45, 0.3, 0.0},
    {'G', "fixed router, APDM, random", 0.01, APD, APD, DRAW, 0, true, 0.45, 0.2, 0.0},
    {'G', "fixed CGN, EIM", 0.08, EI, APD, DRAW, 4096, true, 0.45, 0.0, 0.0},
    {'G', "fixed CGN, APDM, counting", 0.003, APD, APD, COUNT, 0, true, 0.45, 0.0, 0.0},
    {'G', "fixed CGN, APDM, random", 0.004, APD, APD, DRAW, 0, true, 0.45, 0.0, 0.0},
    {'G', "fixed CGN, APDM, block", 0.003, APD, APD, DRAW, 1024, true, 0.45, 0.0, 0.0},
    {'G', "fixed CGN, EIF", 0.005, EI, EI, KEEP, 0, true, 0.45, 0.0, 0.0},
    {'G', "cellular CGN, EIF", 0.07, EI, EI, KEEP, 0, true, 0.6, 0.0, 0.0},
    {'G', "cellular CGN, EIM, APDF", 0.14, EI, APD, KEEP, 0, true, 0.6, 0.0, 0.0},
    {'G', "cellular, APDM, counting", 0.036, APD, APD, COUNT, 0, true, 0.6, 0.0, 0.0},
    {'G', "cellular, APDM, random", 0.082, APD, APD, DRAW, 0, true, 0.6, 0.0, 0.0},
    {'G', "cellular, APDM, block", 0.022, APD, APD, DRAW, 2048, true, 0.6, 0.0, 0.0},
    {'G', "corporate firewall, EIM", 0.03, EI, APD, KEEP, 0, true, 0.2, 0.0, 0.0},
    {'G', "corporate, APDM, random", 0.03, APD, APD, DRAW, 0, true, 0.2, 0.0, 0.0},
    {'G', "cloud NAT, block", 0.01, APD, APD, DRAW, 1024, true, 0.1, 0.0, 0.0},
    {'G', "corporate, UDP blocked", 0.03, EI, APD, KEEP, 0, false, 0.2, 0.0, 0.0},
    {'M', "cellular CGN, EIF", 0.2, EI, EI, KEEP, 0, true, 0.6, 0.0, 0.0},
    {'M', "cellular CGN, EIM, APDF", 0.4, EI, APD, KEEP, 0, true, 0.6, 0.0, 0.0},
    {'M', "cellular, APDM, counting", 0.104, APD, APD, COUNT, 0, true, 0.6, 0.0, 0.0},
    {'M', "cellular, APDM, random", 0.236, APD, APD, DRAW, 0, true, 0.6, 0.0, 0.0},
    {'M', "cellular, APDM, block", 0.06, APD, APD, DRAW, 2048, true, 0.6, 0.0, 0.0},
    {'X', "EIM, APDF", 0.5, EI, APD, KEEP, 0, true, 0.5, 0.0, 0.1},
    {'X', "APDM, random", 0.25, APD, APD, DRAW, 0, true, 0.5, 0.0, 0.0},
    {'X', "ADM, ADF", 0.12, AD, AD, DRAW, 0, true, 0.3, 0.0, 0.0},
    {'X', "APDM, block", 0.08, APD, APD, DRAW, 2048, true, 0.5, 0.0, 0.0},
    {'X', "UDP blocked", 0.05, EI, APD, KEEP, 0, false, 0.2, 0.0, 0.0},
};

enum { ROWS = sizeof rows / sizeof *rows, BLOCK_START = 20480 };

char oracle_population(size_t index, const char **title, const char **source) {
    if (index >= sizeof populations / sizeof *populations)
        return '\0';
    *title = populations[index].title;
    *source = populations[index].source;
    return populations[index].letter;
}

static struct bk_nat_traits traits_of(const struct row *r) {
    struct bk_nat_traits t = {
        .translated = BK_YES,
        .udp_blocked = r->udp ? BK_NO : BK_YES,
        .mapping = (enum bk_nat_dep)r->mapping,
        .filtering = (enum bk_nat_dep)r->filtering,
        .ports = (enum bk_nat_ports)r->ports,
        .step = 1,
        .paired = BK_YES,
        .hairpin = BK_NAT_HAIRPIN_NONE,
        .inbound_first = BK_NO,
        .two_nats = BK_NO,
        .port_mapping = BK_NO,
        .ipv6 = BK_NO,
    };
    if (r->space != 0) {
        t.port_min = BLOCK_START;
        t.port_max = (uint16_t)(BLOCK_START + r->space - 1);
    }
    return t;
}

bool oracle_population_class(char population, size_t index, struct oracle_class *out) {
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        if (r->population != population || index-- > 0)
            continue;
        *out = (struct oracle_class){.name = r->name,
                                     .weight = r->weight,
                                     .traits = traits_of(r),
                                     .ipv6 = r->udp ? r->ipv6 : 0, /* blocked for both versions */
                                     .port_mapping = r->port_mapping,
                                     .inbound_first = r->inbound_first};
        return true;
    }
    return false;
}

/* ---- techniques ---- */

#define BIT(method) (1U << BK_ORACLE_##method)

static const struct {
    const char *name;
    uint32_t adds;
    bool primes;
} levels[] = {
    {"punching between STUN's ports, as ICE does",
     BIT(DIRECT) | BIT(PUNCH) | BIT(PRFLX) | BIT(INNER) | BIT(HAIRPIN), false},
    {"+ first packet of low TTL, or a common start", 0, true},
    {"+ port mapping", BIT(PORT_MAPPING), true},
    {"+ IPv6", BIT(IPV6), true},
    {"+ birthday, 256 x 1024", BIT(BIRTHDAY_ONE), true},
    {"+ prediction on one side, block search", BIT(PREDICT) | BIT(BLOCK), true},
    {"+ prediction on both sides, guessing on both",
     BIT(FAN) | BIT(BIRTHDAY_MIXED) | BIT(BIRTHDAY_TWO), true},
    {"+ TCP where UDP is blocked", BIT(TCP), true},
};

enum { LEVELS = sizeof levels / sizeof *levels };

const char *oracle_level(size_t level) {
    return level < LEVELS ? levels[level].name : NULL;
}

static struct bk_oracle_budget budget_of(size_t level) {
    struct bk_oracle_budget b = bk_oracle_budget_default;
    b.methods = 0;
    for (size_t i = 0; i <= level; i++)
        b.methods |= levels[i].adds;
    b.low_ttl = b.synchronised = levels[level].primes;
    return b;
}

/* Every combination of the three things that a share of the class has. */
enum { KINDS = 8 };

static double kind(const struct oracle_class *c, unsigned k, struct bk_nat_traits *out) {
    *out = c->traits;
    out->ipv6 = (k & 1) != 0 ? BK_YES : BK_NO;
    out->port_mapping = (k & 2) != 0 ? BK_YES : BK_NO;
    out->inbound_first = (k & 4) != 0 ? BK_YES : BK_NO;
    return ((k & 1) != 0 ? c->ipv6 : 1 - c->ipv6) *
           ((k & 2) != 0 ? c->port_mapping : 1 - c->port_mapping) *
           ((k & 4) != 0 ? c->inbound_first : 1 - c->inbound_first);
}

static double chance(const struct oracle_class *a, const struct oracle_class *b,
                     const struct bk_oracle_budget *budget) {
    double sum = 0;
    for (unsigned i = 0; i < KINDS * KINDS; i++) {
        struct bk_nat_traits of_a, of_b;
        double share = kind(a, i / KINDS, &of_a) * kind(b, i % KINDS, &of_b);
        struct bk_oracle_verdict v;
        if (share <= 0)
            continue;
        enum bk_err e = bk_oracle(&of_a, &of_b, budget, &v);
        bk_assert(e == BK_OK);
        sum += share * v.p_low;
    }
    return sum;
}

double oracle_population_bound(char population, size_t level) {
    struct bk_oracle_budget budget = budget_of(level);
    struct oracle_class a, b;
    double sum = 0, weight = 0;
    for (size_t i = 0; oracle_population_class(population, i, &a); i++) {
        weight += a.weight;
        for (size_t j = 0; j <= i && oracle_population_class(population, j, &b); j++)
            sum += (i == j ? 1 : 2) * a.weight * b.weight * chance(&a, &b, &budget);
    }
    return weight > 0 ? sum / (weight * weight) : 0;
}
