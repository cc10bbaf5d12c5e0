/* SPDX-License-Identifier: MIT
 * One whole session between two NAT types, as the program has it: relay first, signalling, ICE, the
 * methods for hard NATs, QUIC (the scene of duo.h), and what came of it. For matrices of thousands.
 */
#ifndef SIM_MEETING_H
#define SIM_MEETING_H

#include "nat/nat.h"
#include <bodkin/env.h>
#include <bodkin/oracle.h>

struct meeting_config {
    struct nat_config nat[2]; /* alice's box, who connects, and bob's; addresses are chosen here */
    uint64_t seed;
    int64_t skew_us;   /* alice starts so much later: bob's signalling is held back */
    uint32_t loss_ppm; /* of each link */
    int64_t wait_us;   /* until it counts as relayed; 25 s */
};
extern const struct meeting_config meeting_config_default; /* no NATs: fill them in */

struct meeting_outcome {
    bool direct; /* both sides' packets go directly */
    bool over;   /* relayed, and both sides have nothing left to try for now */
    enum bk_oracle_method method;
    int64_t direct_us;     /* from the moment both knew each other's candidates */
    int64_t first_byte_us; /* from the connect() to alice's first byte of data */
    uint64_t probes[2];    /* checks sent until then */
};

/* BK_ERR_NO_MEMORY. A wrong NAT configuration asserts. */
BK_MUST_USE enum bk_err meeting_run(const struct meeting_config *config,
                                    const struct bk_alloc *alloc, struct meeting_outcome *out);

#endif
