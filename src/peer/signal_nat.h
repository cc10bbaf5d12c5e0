/* SPDX-License-Identifier: MIT
 * A NAT's traits as peers tell them to each other, inside a description (signal.h). Values of a
 * newer version may follow; a reader skips them. */
#ifndef PEER_SIGNAL_NAT_H
#define PEER_SIGNAL_NAT_H

#include "wire/reader.h"
#include "wire/writer.h"

#include <bodkin/nat_traits.h>
#include <bodkin/time.h>

enum { SIGNAL_NAT_MAX = 80 };

void signal_put_nat(struct wire_writer *w, const struct bk_nat_traits *nat);
/* false: too short, or a value that no NAT has. */
bool signal_get_nat(struct wire_reader *r, struct bk_nat_traits *nat);
/* Would a peer be told the same? */
bool signal_nat_equal(const struct bk_nat_traits *a, const struct bk_nat_traits *b);

#endif
