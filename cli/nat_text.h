/* SPDX-License-Identifier: MIT
 * What `bodkin nat` shows of a record: pure functions from the record to text, at most 80 columns
 * wide, no escape sequences. */
#ifndef CLI_NAT_TEXT_H
#define CLI_NAT_TEXT_H

#include "base/text.h"
#include <bodkin/natcheck.h>

enum {
    NAT_TEXT_MAX = 65536,   /* room for the longest card with its evidence */
    NAT_SENTENCE_MAX = 320, /* room for one finding in words */
    NAT_TEXT_COLUMNS = 80
};

/* "mapping", "TCP mapping", "second NAT" ...: the attribute's name for people. */
const char *nat_text_label(enum bk_nat_attr attr);
/* The finding in words: what it is and, behind a colon, what that does. "cannot tell: ..." if it is
 * not known, "" if it was not asked. `out` has room for NAT_SENTENCE_MAX. Returns `out`. */
char *nat_text_finding(const struct bk_nat_record *record, enum bk_nat_attr attr, char *out);

/* The card: what it is, what that means, attribute by attribute, what was asked. */
void nat_text_card(const struct bk_nat_record *record, const struct bk_addr *server,
                   struct text *out);
/* Every question, its answer and the attributes it is a witness for. */
void nat_text_evidence(const struct bk_nat_record *record, struct text *out);

/* Appends `words` broken into lines, each indented by `indent` spaces; the first line is taken to
 * have `column` columns already. Ends with a newline. */
void nat_text_wrap(struct text *out, size_t column, size_t indent, const char *words);

#endif
