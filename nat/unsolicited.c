/* SPDX-License-Identifier: MIT
 * What the outside hears when it knocks at a closed door. When it hears it, if it was a SYN, is in
 * late.c. */
#include "nat/state.h"

enum nat_answer nat_unsolicited_answer(const struct nat *nat, enum nat_side from,
                                       const struct nat_header *in, enum nat_drop why) {
    bool knocked = why == NAT_DROP_UNSOLICITED || why == NAT_DROP_FILTERED ||
                   (why == NAT_DROP_HAIRPIN_OFF && from == NAT_INSIDE);
    bool outside = from == NAT_OUTSIDE;
    enum nat_unsolicited how = outside ? nat->config.unsolicited : nat->config.unsolicited_inside;
    if (!knocked || how == NAT_UNSOLICITED_DROP)
        return NAT_ANSWER_NONE;
    switch (in->flow.proto) {
    case NAT_UDP:
        return how == NAT_UNSOLICITED_RESET ? NAT_ANSWER_NONE : NAT_ANSWER_PORT_UNREACHABLE;
    case NAT_TCP: /* never a reset for a reset: RFC 9293 section 3.5.2 */
        if ((in->tcp_flags & NAT_TCP_RST) != 0)
            return NAT_ANSWER_NONE;
        return how == NAT_UNSOLICITED_ICMP ? NAT_ANSWER_PORT_UNREACHABLE : NAT_ANSWER_TCP_RESET;
    case NAT_ICMP:
    case NAT_PROTOS:
        break;
    }
    return NAT_ANSWER_NONE;
}
