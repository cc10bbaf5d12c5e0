/* SPDX-License-Identifier: MIT
 * Ranges of addresses as coturn writes them, "FIRST-LAST", as prefixes. */
#ifndef SERVER_IMPORT_RANGE_H
#define SERVER_IMPORT_RANGE_H

#include "turn/filter.h"

enum { IMPORT_RANGES_MAX = 64, IMPORT_RANGE_TEXT_MAX = BK_ADDR_TEXT_MAX + 4 };

struct import_ranges {
    struct turn_range list[IMPORT_RANGES_MAX];
    size_t count;
};

/* "10.0.0.0-10.255.255.255", "10.0.0.1" or "10.0.0.0/8". false: none of these, or it would take
 * more prefixes than there is room for. */
bool import_ranges_read(const char *text, struct import_ranges *out);
/* Is no peer in it allowed anyway? */
bool import_range_is_closed(const struct turn_range *range);
/* `out` has room for IMPORT_RANGE_TEXT_MAX. Returns `out`. */
char *import_range_text(const struct turn_range *range, char *out);

#endif
