/* SPDX-License-Identifier: MIT
 * What the outside hears when it knocks at a closed door. RFC 5382 REQ-4 (waiting 6 s before
 * refusing a SYN, in case it is one half of a simultaneous open) would go here. */
#include "nat/state.h"

enum nat_answer nat_unsolicited_answer(const struct nat *nat, const struct nat_header *in,
                                       enum nat_drop why) {
    bool knocked = why == NAT_DROP_UNSOLICITED || why == NAT_DROP_FILTERED;
    if (!knocked || nat->config.unsolicited == NAT_UNSOLICITED_DROP)
        return NAT_ANSWER_NONE;
    switch (in->flow.proto) {
    case NAT_UDP:
        return NAT_ANSWER_PORT_UNREACHABLE;
    case NAT_TCP: /* never a reset for a reset: RFC 9293 section 3.5.2 */
        return (in->tcp_flags & NAT_TCP_RST) != 0 ? NAT_ANSWER_NONE : NAT_ANSWER_TCP_RESET;
    case NAT_ICMP:
    case NAT_PROTOS:
        break;
    }
    return NAT_ANSWER_NONE;
}
