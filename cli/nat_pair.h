/* SPDX-License-Identifier: MIT
 * What the oracle says about this machine and a peer, for people and for scripts. */
#ifndef CLI_NAT_PAIR_H
#define CLI_NAT_PAIR_H

#include "base/text.h"
#include <bodkin/oracle.h>

struct cJSON;

/* Direct or relayed, by which method, how likely, at what price. `peer` names the other side. */
void nat_pair_text(const struct bk_oracle_verdict *v, const char *peer, struct text *out);
/* The member "pair" of docs/nat-json.md. NULL: no memory. The caller's. */
struct cJSON *nat_pair_json(const struct bk_oracle_verdict *v);

#endif
