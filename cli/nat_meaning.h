/* SPDX-License-Identifier: MIT
 * What a NAT's behaviour means for connecting directly, in sentences for people. */
#ifndef CLI_NAT_MEANING_H
#define CLI_NAT_MEANING_H

#include <bodkin/natcheck.h>

enum { NAT_MEANINGS_MAX = 12 };

/* Writes static sentences, the most important first; gives how many. */
size_t nat_meaning(const struct bk_nat_record *record, const char *out[NAT_MEANINGS_MAX]);

#endif
