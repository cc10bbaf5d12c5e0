/* SPDX-License-Identifier: MIT
 * bodkin sim oracle: what is possible between two NATs, and the proof. */
#include "cli/command.h"
#include "cli/options.h"
#include "cli/sim.h"
#include "net/alloc.h"
#include "sim/oracle_prove.h"
#include "sim/oracle_report.h"

#include <inttypes.h>
#include <stdio.h>

static const char help[] =
    "Examples:\n"
    "  bodkin sim oracle home symmetric    the best way between two NATs\n"
    "  bodkin sim oracle --prove           the oracle's figures against counted hits\n"
    "\n"
    "Usage: bodkin sim oracle [OPTIONS] [A B]\n"
    "Says by which method two hosts can meet, with what probability, in how many\n"
    "packets. A and B are presets of the NAT model or types such as APD-RD-AD; a\n"
    "wrong name lists them all. Without them: all pairs of 27 types, and whole\n"
    "populations, as Markdown.\n"
    "      --markdown   the same (docs/oracle.md is made of it)\n"
    "      --prove      plays each method against the NAT model; exit status 1 if\n"
    "                   hits or packets differ from the oracle's by more than 4 sigma\n"
    "      --seeds N    with --prove: tries per cell; default 1000\n"
    "      --help       this text\n";

static void print_line(void *ctx, const char *text) {
    (void)ctx;
    puts(text);
}

/* ---- two NATs ---- */

static void list_presets(FILE *out) {
    const char *name, *summary;
    for (size_t i = 0; (name = nat_preset_name(i, &summary)) != NULL; i++)
        fprintf(out, "  %-20s %s\n", name, summary);
}

static bool side_by_name(const char *name, uint8_t number, struct oracle_side_play *out) {
    struct nat_config box;
    if (nat_preset(name, &box) != BK_OK) {
        fprintf(stderr, "bodkin sim: there is no NAT \"%s\". There are:\n", name);
        list_presets(stderr);
        return false;
    }
    *out = oracle_side_of(&box, number);
    return true;
}

static void print_side(const char *name, const struct bk_oracle_side *side) {
    printf("%s %s: %u socket%s, %u port%s; %.1f packets, 95 %% of tries within %.0f\n", name,
           bk_oracle_role_text(side->role), side->sockets, side->sockets == 1 ? "" : "s",
           side->ports, side->ports == 1 ? "" : "s", side->packets_mean, side->packets_p95);
}

static void print_verdict(const struct bk_oracle_verdict *v) {
    printf("%s\n%s\n", bk_oracle_method_text(v->method), v->why);
    printf("probability %.4f", v->p_low);
    if (!v->certain)
        printf(" to %.4f (%s)", v->p_high, bk_oracle_method_text(v->method_best));
    printf("; %.0f ms, 95 %% of tries within %.0f ms\n", (double)v->time_mean_us / 1000,
           (double)v->time_p95_us / 1000);
    print_side("A", &v->side[0]);
    print_side("B", &v->side[1]);
    if ((v->needs & BK_ORACLE_NEEDS_LOW_TTL) != 0)
        puts("needs: a first packet of low TTL");
    if ((v->needs & BK_ORACLE_NEEDS_START) != 0)
        puts("needs: a common start");
    if ((v->needs & BK_ORACLE_NEEDS_FRESH) != 0)
        puts("needs: fresh sockets");
    if ((v->needs & BK_ORACLE_NEEDS_ORDER) != 0)
        puts("needs: all mappings open before the first probe");
}

static int show_pair(const char *a, const char *b) {
    struct oracle_side_play sides[2];
    struct bk_oracle_verdict v;
    if (!side_by_name(a, 1, &sides[0]) || !side_by_name(b, 2, &sides[1]))
        return EXIT_USAGE;
    if (bk_oracle(&sides[0].traits, &sides[1].traits, NULL, &v) != BK_OK)
        return EXIT_OTHER;
    print_verdict(&v);
    return EXIT_FINE;
}

/* ---- the proof ---- */

/* false: the cell disagrees, or could not be played. */
static bool prove(const struct oracle_cell *cell, uint64_t seed, uint32_t tries) {
    struct oracle_proof p;
    if (oracle_prove(cell, seed, tries, net_alloc(), &p) != BK_OK) {
        printf("%s: cannot be played\n", cell->name);
        return false;
    }
    const struct bk_oracle_side *a = &p.verdict.side[0], *b = &p.verdict.side[1];
    bool fine = p.agrees && p.one_way == 0;
    printf("%-4s %-48s %-14s P %.4f counted %.4f (%u of %u, seeds %" PRIu64 "+)",
           fine ? "ok" : "BAD", cell->name,
           cell->plainly ? "punching only" : bk_oracle_method_name(p.verdict.method), p.p,
           (double)p.met / p.tries, p.met, p.tries, seed);
    if (!cell->plainly)
        printf(" packets %.1f, %.1f counted %.1f, %.1f", a->packets_mean, b->packets_mean,
               p.packets[0], p.packets[1]);
    puts("");
    return fine;
}

static unsigned prove_special(uint32_t tries) {
    struct oracle_cell cell;
    unsigned bad = 0;
    for (size_t i = 0; oracle_cell_special(i, &cell); i++) {
        uint32_t n = cell.dear && tries >= 10 ? tries / 10 : tries;
        bad += prove(&cell, 1 + (uint64_t)i * 10000000, n) ? 0 : 1;
    }
    return bad;
}

/* A tenth of the tries: there are 378 pairs, and most have one outcome only. */
static unsigned prove_types(uint32_t tries) {
    uint32_t few = tries >= 10 ? tries / 10 : 1;
    unsigned bad = 0;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        for (size_t j = i; j < NAT_TYPES27; j++) {
            struct oracle_cell cell = oracle_cell_type27(i, j);
            uint64_t seed = 1 + (uint64_t)(i * NAT_TYPES27 + j) * 10000000;
            bad += prove(&cell, seed, few) ? 0 : 1;
            cell.plainly = true;
            bad += prove(&cell, seed, few) ? 0 : 1;
        }
    }
    return bad;
}

static int prove_all(uint32_t tries) {
    if (tries == 0)
        return EXIT_USAGE;
    unsigned bad = prove_special(tries) + prove_types(tries);
    printf("%u cells disagree\n", bad);
    return bad == 0 ? EXIT_FINE : EXIT_OTHER;
}

int sim_oracle(int argc, char **argv) {
    bool markdown = false, proof = false;
    uint32_t seeds = 1000;
    const struct option_row rows[] = {{"markdown", '\0', OPTION_FLAG, &markdown},
                                      {"prove", '\0', OPTION_FLAG, &proof},
                                      {"seeds", '\0', OPTION_NUMBER, &seeds},
                                      {NULL, '\0', OPTION_FLAG, NULL}};
    struct option_words words = {.max = 2};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    if (words.count == 1) {
        fputs("bodkin sim: oracle needs two NATs, or none; see bodkin sim oracle --help\n", stderr);
        return EXIT_USAGE;
    }
    if (proof)
        return prove_all(seeds);
    if (words.count == 2)
        return show_pair(words.items[0], words.items[1]);
    oracle_report(print_line, NULL);
    return EXIT_FINE;
}
