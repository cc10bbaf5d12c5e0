/* SPDX-License-Identifier: MIT
 * The oracle's figures against counted hits: cells to play, and the comparison. */
#ifndef SIM_ORACLE_PROVE_H
#define SIM_ORACLE_PROVE_H

#include "sim/oracle_play.h"

enum { ORACLE_NAME_MAX = 96 };

/* What is played, and with what. */
struct oracle_cell {
    char name[ORACLE_NAME_MAX];
    struct oracle_side_play sides[2];
    struct bk_oracle_budget budget;
    bool plainly; /* punch whatever the verdict; expected to meet never or, where punching is the
                     method, always */
    bool dear;    /* takes long: a tenth of the tries is enough */
};

/* A side from a box, whose external address is the `number`-th (1 or 2) of a documentation range.
 * Of what the model does not show, the traits say no; a counting box serves one stranger a second.
 */
struct oracle_side_play oracle_side_of(const struct nat_config *box, uint8_t number);
/* Two of the 27 types (nat_type27()). */
struct oracle_cell oracle_cell_type27(size_t a, size_t b);
/* The index-th cell beyond the 27 types: blocks, rates, budgets, inbound-first boxes. false: there
 * are no more. */
bool oracle_cell_special(size_t index, struct oracle_cell *out);

struct oracle_proof {
    struct bk_oracle_verdict verdict;
    double p; /* expected: the verdict's, or of punching alone */
    uint64_t seed;
    uint32_t tries, met, one_way;
    double packets[2]; /* means, as counted */
    bool agrees;       /* hits within 4 sigma; packets, of 50 tries or more, within 4 and 1 % */
};

/* Plays `tries` tries with the seeds `seed`, `seed` + 1 ... BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT (a
 * cell that bk_oracle() or nat_new() refuses). */
BK_MUST_USE enum bk_err oracle_prove(const struct oracle_cell *cell, uint64_t seed, uint32_t tries,
                                     const struct bk_alloc *alloc, struct oracle_proof *out);

#endif
