/* SPDX-License-Identifier: MIT
 * The checklist that is ticked off while `bodkin nat` runs: on standard error, only on a terminal,
 * and gone when the card is shown. */
#ifndef CLI_NAT_LIVE_H
#define CLI_NAT_LIVE_H

#include "base/text.h"
#include <bodkin/natcheck.h>
#include <stdbool.h>

struct nat_live {
    bool on;
    size_t shown; /* lines on the screen that are ours */
};

/* `wanted`: false for --json. */
void nat_live_init(struct nat_live *live, bool wanted);
void nat_live_show(struct nat_live *live, const struct bk_nat_record *record);
/* Takes the checklist off the screen. */
void nat_live_end(struct nat_live *live);

/* The checklist as lines of at most `columns` columns, at most `lines_max` of them; gives how many.
 * What waits for an answer is left out first when there is no room, then what is known. */
size_t nat_live_lines(const struct bk_nat_record *record, size_t columns, size_t lines_max,
                      struct text *out);

#endif
