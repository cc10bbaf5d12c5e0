/* SPDX-License-Identifier: MIT
 * SYNs from outside that nobody asked for, and the answers that wait. A peer that opens the same
 * connection from its side at the same time must not be refused because its SYN came first: the box
 * waits, and says nothing if a SYN goes out to meet it. RFC 5382 REQ-4. All wait equally long, so a
 * ring is in the order of their times; when it is full the oldest is forgotten, silently. */
#include "nat/state.h"

static struct nat_late_syn *at(struct nat *nat, uint32_t index) {
    return &nat->late[(nat->late_first + index) % NAT_LATE_MAX];
}

static bool same_flow(const struct nat_flow *a, const struct nat_flow *b) {
    return bk_addr_equal(&a->src, &b->src) && bk_addr_equal(&a->dst, &b->dst);
}

static void forget_first(struct nat *nat) {
    nat->late_first = (nat->late_first + 1) % NAT_LATE_MAX;
    nat->late_count--;
}

bool nat_late_wants(const struct nat *nat, const struct nat_header *in) {
    return nat->config.tcp_syn_wait_us > 0 && nat_tcp_is_fresh_syn(in);
}

void nat_late_add(struct nat *nat, const struct nat_header *in, enum nat_answer answer) {
    for (uint32_t i = 0; i < nat->late_count; i++) {
        if (same_flow(&at(nat, i)->header.flow, &in->flow))
            return; /* sent again; the first one counts */
    }
    if (nat->late_count == NAT_LATE_MAX)
        forget_first(nat);
    nat->late_count++;
    *at(nat, nat->late_count - 1) = (struct nat_late_syn){
        .header = *in, .answer = answer, .due = bk_after(nat->now, nat->config.tcp_syn_wait_us)};
}

void nat_late_meet(struct nat *nat, const struct nat_header *out) {
    if (nat->late_count == 0 || !nat_tcp_is_fresh_syn(out))
        return;
    for (uint32_t i = 0; i < nat->late_count; i++) {
        struct nat_late_syn *syn = at(nat, i);
        bool meets = bk_addr_equal(&syn->header.flow.dst, &out->flow.src) &&
                     bk_addr_equal(&syn->header.flow.src, &out->flow.dst);
        if (meets)
            syn->answer = NAT_ANSWER_NONE;
    }
}

struct bk_time nat_late_deadline(const struct nat *nat) {
    return nat->late_count == 0 ? BK_NEVER : nat->late[nat->late_first].due;
}

bool nat_next_late(struct nat *nat, struct nat_late *out) {
    while (nat->late_count > 0 && bk_due(nat->late[nat->late_first].due, nat->now)) {
        struct nat_late_syn syn = nat->late[nat->late_first];
        forget_first(nat);
        if (syn.answer == NAT_ANSWER_NONE)
            continue;
        *out = (struct nat_late){.header = syn.header, .answer = syn.answer};
        nat->counters.answered++;
        return true;
    }
    return false;
}
