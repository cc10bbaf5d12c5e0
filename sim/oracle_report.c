/* SPDX-License-Identifier: MIT
 * No table here knows a figure: all are asked of the oracle. The counts in the prose are those that
 * tests/unit/punch/test_oracle.c asserts. */
#include "sim/oracle_report.h"

#include "base/assert.h"
#include "sim/oracle_population.h"
#include "sim/oracle_prove.h"

#include <stdarg.h>
#include <stdio.h>

struct report {
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
say(const struct report *r, const char *format, ...) {
    char text[ORACLE_LINE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bk_assert(len >= 0 && len < ORACLE_LINE_MAX);
    r->line(r->ctx, text);
}

static void say_all(const struct report *r, const char *const *lines, size_t count) {
    for (size_t i = 0; i < count; i++)
        r->line(r->ctx, lines[i]);
}

#define SAY_ALL(report, lines) say_all(report, lines, sizeof(lines) / sizeof *(lines))

static struct bk_oracle_verdict ask(size_t a, size_t b) {
    struct oracle_cell cell = oracle_cell_type27(a, b);
    struct bk_oracle_verdict v;
    enum bk_err e = bk_oracle(&cell.sides[0].traits, &cell.sides[1].traits, &cell.budget, &v);
    bk_assert(e == BK_OK && v.certain);
    return v;
}

/* ---- text ---- */

static const char *const opening[] = {
    "# What is possible between two NATs",
    "",
    "Made by `bodkin sim oracle --markdown`; a test holds this file against what the program",
    "says.",
    "",
    "The oracle (`include/bodkin/oracle.h`, `src/punch/oracle*.c`) takes what two NATs do and",
    "gives the best that any method could do to join the hosts behind them, and its price. It",
    "is held against the methods themselves, played packet by packet against the NAT model:",
    "`bodkin sim oracle --prove`, and in short `tests/scenario/test_oracle.c`.",
    "",
    "## Rules",
    "",
    "- Two hosts have met when one packet of either was delivered to the other: the answer",
    "  goes back through the session that this packet made. That is how connection tracking",
    "  works; a NAT that looks up a mapping for the answer instead, and has",
    "  endpoint-dependent mapping, would not.",
    "- A packet is delivered when it is sent to the outside port of a mapping whose filter",
    "  lets it in (RFC 4787 section 5): any packet (EIF), any from an address that the",
    "  mapping sent to (ADF), or only one from the very port that it sent to (APDF).",
    "- With endpoint-independent mapping (EIM, RFC 4787 section 4.1) the port is what STUN",
    "  showed. With any other it is that of a fresh mapping: predicted if the NAT preserves",
    "  or counts ports, guessed if it draws them.",
    "- With address-dependent mapping (ADM) all packets of a socket to one peer share a port,",
    "  though nobody knows which before it is hit; with address- and port-dependent mapping",
    "  (APDM) each destination port has its own.",
    "- A packet from outside that comes first makes some boxes move the mapping. A first",
    "  packet of low TTL prevents it; so do starts less than half a round trip apart.",
    "- Packets are counted until the one that is delivered leaves. Losses are not counted,",
    "  STUN and answers neither.",
    "",
    "## Formulas",
    "",
    "S ports to draw from, K mappings opened, n ports tried, w predicted ports tried.",
    "",
    "| method | probability |",
    "|---|---|",
    "| prediction | P(X < w), X ~ Poisson(rate x age) |",
    "| fan-in, fan-out | P(X + Y < w) (1 - f)(1 - g) |",
    "| birthday, block | 1 - C(S - K, n) / C(S, n) |",
    "| guess against prediction | 1 - (1 - (n / q) / S)^q |",
    "| both guess | 1 - (1 - (m / S') (n / q) / S)^q |",
    "| a clock's port | 1 - (1 - 0.1255)^12 |",
    "",
    "- Prediction: X mappings of others come between prediction and use.",
    "- Fan-in, fan-out: one side aims w mappings at the other's w-th predicted port, that",
    "  one sends to p + 1 to p + w. f, g: the share of others among the ports that are given",
    "  meanwhile, rate / (rate + pace).",
    "- Birthday: none of n tries among K open ports, hypergeometric.",
    "- Guess against prediction: n mappings, aimed at q targets.",
    "- Both guess: n mappings of one side aimed at q targets, m of the other at as many ports.",
    "- A clock's port: regression, 12 trials of a second, 80 % in NetPiculet (Wang et al.,",
    "  SIGCOMM 2011).",
    "",
    "Both guess: with one socket a side every mapping has a target of its own, q = n, and the",
    "formula is the textbook's 1 - e^(-n m / (S S')). With one target for all mappings, which",
    "takes a socket for each, it is n m / (S S'), the expected number of meetings: by the",
    "union bound no method has more. Two whole blocks of 1024 ports meet for certain that",
    "way, not with 63 %.",
    "",
};

static const char *const pairs_opening[] = {
    "## All pairs of 27 types",
    "",
    "The types of NATCracker (doi 10.1109/ICCCN.2009.5235278): mapping, ports, filtering. EI,",
    "AD and APD: endpoint-independent, address-dependent, address- and port-dependent. Ports:",
    "PP preserving, PC contiguous (a counter), RD random of 64512.",
    "",
};

static const char *const summary_note[] = {
    "",
    "A count of the same pairs by a table of rules had 78 with an open side, 150 that punch,",
    "48 with prediction on one side, 36 on both, 59 for the birthday paradox, 4 mixed, 3",
    "hard. It agrees on the last two; the others are counted in other rows here, and packets",
    "played against the model decide for this count:",
    "",
    "- A NAT with EIF is open whatever its mapping is: its mapping towards the STUN server",
    "  hears everybody and answers through the session. That takes 93 pairs from punching,",
    "  and the 36 of endpoint-dependent mapping with EIF against the same with APDF: 16 from",
    "  prediction and 20 from the birthday paradox.",
    "- With ADF only that side's port has to be hit, because its filter does not ask for the",
    "  other's. So 26 pairs need one prediction instead of two, and 8 need a prediction",
    "  instead of the birthday paradox though the other side is random.",
    "",
};

static const char *const populations_opening[] = {
    "## Populations",
    "",
    "The share of pairs, both hosts drawn from one population, that meet directly with a set",
    "of techniques that grows from row to row. TCP simultaneous open is taken to succeed in",
    "60 % of the pairs where UDP is blocked and both map by EIM: an assumption, nobody has",
    "measured it.",
    "",
};

static const char *const populations_note[] = {
    "",
    "The first row counts a box that is spoilt by early packets (shares below) as lost",
    "whenever the peer starts more than half a round trip (40 ms) before it, starts being up",
    "to 100 ms apart, also when only one of the two boxes is of that kind.",
    "",
};

/* ---- tables ---- */

static void say_budget(const struct report *r) {
    const struct bk_oracle_budget *b = &bk_oracle_budget_default;
    say(r,
        "Budget: %u sockets and %u probes a side, %u packets a second, %lld ms between the peers, "
        "%lld ms",
        b->sockets, b->probes, b->pace_pps, (long long)b->rtt_us / 1000,
        (long long)b->signal_rtt_us / 1000);
    say(r, "to the server. A counting NAT gives %.0f port a second to others.", b->foreign_per_s);
    say(r, "%s", "");
}

static const struct {
    const char *name;
    enum bk_oracle_method first, last;
} techniques[] = {
    {"one side open: send to its STUN mapping", BK_ORACLE_DIRECT, BK_ORACLE_DIRECT},
    {"punching, both or one port known", BK_ORACLE_PUNCH, BK_ORACLE_PRFLX},
    {"+ prediction on one side", BK_ORACLE_PREDICT, BK_ORACLE_PREDICT},
    {"+ prediction on both (fan-in, fan-out)", BK_ORACLE_FAN, BK_ORACLE_FAN},
    {"+ birthday on one side", BK_ORACLE_BLOCK, BK_ORACLE_BIRTHDAY_ONE},
    {"mixed (one predictable, one random)", BK_ORACLE_BIRTHDAY_MIXED, BK_ORACLE_BIRTHDAY_MIXED},
    {"hard (both random, both APDF)", BK_ORACLE_BIRTHDAY_TWO, BK_ORACLE_RELAY},
};

static void say_summary(const struct report *r) {
    unsigned count[BK_ORACLE_METHODS] = {0}, total = 0, so_far = 0, likely = 0;
    double least[BK_ORACLE_METHODS];
    for (int m = 0; m < BK_ORACLE_METHODS; m++)
        least[m] = 1;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        for (size_t j = i; j < NAT_TYPES27; j++, total++) {
            struct bk_oracle_verdict v = ask(i, j);
            count[v.method]++;
            likely += v.p_low >= 0.98 ? 1 : 0;
            least[v.method] = v.p_low < least[v.method] ? v.p_low : least[v.method];
        }
    }
    say(r, "%s", "| technique needed | pairs | share | cumulative | P at least |");
    say(r, "%s", "|---|---|---|---|---|");
    for (size_t t = 0; t < sizeof techniques / sizeof *techniques; t++) {
        unsigned pairs = 0;
        double p = 1;
        for (int m = (int)techniques[t].first; m <= (int)techniques[t].last; m++) {
            pairs += count[m];
            p = least[m] < p ? least[m] : p;
        }
        so_far += pairs;
        say(r, "| %s | %u | %.1f %% | %.1f %% | %.4f |", techniques[t].name, pairs,
            100.0 * pairs / total, 100.0 * so_far / total, p);
    }
    say(r, "%s", "");
    say(r, "%u of the %u pairs meet with P >= 0.98; only the others need a relay in principle.",
        likely, total);
}

static void say_pair(const struct report *r, size_t i, size_t j) {
    struct nat_config box;
    struct bk_oracle_verdict v = ask(i, j);
    const struct bk_oracle_side *a = &v.side[0], *b = &v.side[1];
    const char *name_a = nat_type27(i, &box), *name_b = nat_type27(j, &box);
    say(r, "| %s | %s | %s | %.4f | %.1f, %.0f | %.1f, %.0f | %.0f, %.0f |", name_a, name_b,
        bk_oracle_method_name(v.method), v.p_low, a->packets_mean, a->packets_p95, b->packets_mean,
        b->packets_p95, (double)v.time_mean_us / 1000, (double)v.time_p95_us / 1000);
}

static void say_pairs(const struct report *r) {
    say(r, "%s", "### Each pair");
    say(r, "%s", "");
    say(r, "%s",
        "Packets of each side and milliseconds: mean, 95th percentile; of a try that fails,");
    say(r, "%s", "the whole budget.");
    say(r, "%s", "");
    say(r, "%s", "| A | B | method | P | packets A | packets B | ms |");
    say(r, "%s", "|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        for (size_t j = i; j < NAT_TYPES27; j++)
            say_pair(r, i, j);
    }
}

static void say_bounds(const struct report *r) {
    const char *title, *source;
    char letter;
    for (size_t i = 0; (letter = oracle_population(i, &title, &source)) != '\0'; i++)
        say(r, "- %c: %s. %s.", letter, title, source);
    say(r, "%s", "");
    say(r, "%s", "| techniques, % of pairs direct | H | G | M | X |");
    say(r, "%s", "|---|---|---|---|---|");
    for (size_t level = 0; oracle_level(level) != NULL; level++)
        say(r, "| %s | %.1f | %.1f | %.1f | %.1f |", oracle_level(level),
            100 * oracle_population_bound('H', level), 100 * oracle_population_bound('G', level),
            100 * oracle_population_bound('M', level), 100 * oracle_population_bound('X', level));
}

/* In RFC 4787's letters. */
static const char *dep_letters(enum bk_nat_dep dep) {
    static const char *const letters[] = {"?", "EI", "AD", "APD"};
    return letters[dep];
}

static void say_ports(const struct bk_nat_traits *t, char *out, size_t cap) {
    if (t->port_max != 0)
        (void)snprintf(out, cap, "%s of %d", bk_nat_ports_text(t->ports),
                       t->port_max - t->port_min + 1);
    else
        (void)snprintf(out, cap, "%s", bk_nat_ports_text(t->ports));
}

static void say_classes(const struct report *r) {
    const char *title, *source;
    char letter, ports[64];
    struct oracle_class c;
    say(r, "%s",
        "| population | class | share | mapping | filtering | ports | IPv6 | port mapping | "
        "spoilt by early packets |");
    say(r, "%s", "|---|---|---|---|---|---|---|---|---|");
    for (size_t i = 0; (letter = oracle_population(i, &title, &source)) != '\0'; i++) {
        for (size_t j = 0; oracle_population_class(letter, j, &c); j++) {
            say_ports(&c.traits, ports, sizeof ports);
            say(r, "| %c | %s | %.1f %% | %sM | %sF | %s | %.0f %% | %.0f %% | %.0f %% |", letter,
                c.name, 100 * c.weight, dep_letters(c.traits.mapping),
                dep_letters(c.traits.filtering), ports, 100 * c.ipv6, 100 * c.port_mapping,
                100 * c.inbound_first);
        }
    }
}

void oracle_report(void (*line)(void *ctx, const char *text), void *ctx) {
    struct report r = {line, ctx};
    SAY_ALL(&r, opening);
    SAY_ALL(&r, pairs_opening);
    say_budget(&r);
    say_summary(&r);
    SAY_ALL(&r, summary_note);
    SAY_ALL(&r, populations_opening);
    say_bounds(&r);
    SAY_ALL(&r, populations_note);
    say_classes(&r);
    say(&r, "%s", "");
    say_pairs(&r);
}
