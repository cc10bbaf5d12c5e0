/* SPDX-License-Identifier: MIT
 * Filtering behaviour, RFC 5780 section 4.4. Each test has a socket of its own that has never sent
 * to the endpoint its answer is to come from: a packet to the server's other address would open the
 * filter, and the mapping tests send just that.
 *
 * Silence is the usual answer, so the questions are repeated in even steps whatever happens; all of
 * them must be lost for a wrong verdict. */
#include "natcheck/state.h"

enum { TRIES = 3 };

static enum bk_nat_attr attr_of(enum family f) {
    return f == V4 ? BK_NAT_FILTERING : BK_NAT_IPV6_FILTERING;
}

static uint32_t ask(struct bk_natcheck *nc, enum family f, enum bk_nat_test test, uint32_t socket) {
    const struct ask a = {.test = test,
                          .socket = socket,
                          .remote = nc->side[f].server[0][0],
                          .attrs = attr_bit(attr_of(f)),
                          .pace = pace_even(nc, TRIES)};
    return probe_ask(nc, &a);
}

/* The plain request makes the first socket one more sample for ports.c, and tells inbound_first.c
 * the mapping that it compares with. */
static void ask_plain(struct bk_natcheck *nc) {
    struct side *s = &nc->side[V4];
    const struct ask a = {.test = BK_NAT_TEST_BINDING,
                          .socket = s->f1,
                          .remote = s->server[0][0],
                          .attrs = attr_bit(BK_NAT_PORTS) | attr_bit(BK_NAT_INBOUND_FIRST),
                          .pace = pace_soon(nc, 3)};
    s->plain = probe_ask(nc, &a);
}

static void start(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    bool both = has_addr(&s->server[1][1]), port = has_addr(&s->server[0][1]);
    s->filtering_started = true;
    s->f1 = socket_open(nc, f);
    if (f == V4)
        ask_plain(nc);
    if (both)
        s->change_both = ask(nc, f, BK_NAT_TEST_CHANGE_BOTH, s->f1);
    if (port) {
        s->f2 = socket_open(nc, f);
        s->change_port = ask(nc, f, BK_NAT_TEST_CHANGE_PORT, s->f2);
    }
}

enum answer { ANSWER_NONE, ANSWER_GOOD, ANSWER_REFUSED };

/* A server that knows no CHANGE-REQUEST answers from where it was asked, or with 420. */
static enum answer answer_of(const struct bk_natcheck *nc, uint32_t probe) {
    if (probe == NONE || nc->probes[probe].state != PROBE_ANSWERED)
        return ANSWER_NONE;
    const struct probe *p = &nc->probes[probe];
    bool changed = !bk_addr_equal(&p->from, &p->ask.remote);
    return p->code == 0 && changed ? ANSWER_GOOD : ANSWER_REFUSED;
}

static void tell(struct bk_natcheck *nc, enum family f, enum bk_nat_dep dep,
                 enum bk_nat_reason reason) {
    struct bk_nat_traits *traits = f == V4 ? &nc->record.traits : &nc->record.traits6;
    nc->side[f].filtering_done = true;
    if (reason == BK_NAT_REASON_NONE) {
        traits->filtering = dep;
        finding_known(nc, attr_of(f), dep, 995);
    } else {
        finding_unclear(nc, attr_of(f), dep, reason);
    }
    probe_cancel(nc, nc->side[f].change_port);
    nc->changed = true;
}

static bool ran_dry(const struct bk_natcheck *nc, uint32_t probe) {
    const struct probe *p = probe == NONE ? NULL : &nc->probes[probe];
    return p != NULL && p->why != BK_NAT_REASON_NO_ANSWER && p->sends < TRIES - 1;
}

/* Where only some ports get through, silence may be that rule's doing. */
static bool only_some_ports(const struct bk_natcheck *nc, enum family f) {
    const struct bk_nat_finding *udp = &nc->record.findings[BK_NAT_UDP];
    return f == V4 && udp->status != BK_NAT_PENDING && udp->value == BK_NAT_UDP_SOME_PORTS;
}

static void judge_silence(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    if (f == V4 && finding_is_pending(nc, BK_NAT_UDP))
        return; /* mapping.c will tell */
    if (only_some_ports(nc, f)) {
        tell(nc, f, BK_NAT_APD, BK_NAT_REASON_HIDDEN);
    } else if (ran_dry(nc, s->change_both) || ran_dry(nc, s->change_port)) {
        uint32_t dry = ran_dry(nc, s->change_both) ? s->change_both : s->change_port;
        tell(nc, f, BK_NAT_APD, nc->probes[dry].why);
    } else if (s->change_port != NONE) {
        tell(nc, f, BK_NAT_APD, BK_NAT_REASON_NONE);
    } else {
        tell(nc, f, BK_NAT_APD, BK_NAT_REASON_ONE_ADDRESS); /* or AD: no other port to ask from */
    }
}

static void judge(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    enum answer both = answer_of(nc, s->change_both), port = answer_of(nc, s->change_port);
    bool unasked = s->change_both == NONE && s->change_port == NONE;
    if (both == ANSWER_GOOD)
        tell(nc, f, BK_NAT_EI, BK_NAT_REASON_NONE);
    else if (unasked || both == ANSWER_REFUSED || port == ANSWER_REFUSED)
        tell(nc, f, BK_NAT_DEP_UNKNOWN, BK_NAT_REASON_NO_SUPPORT);
    else if (!probe_ended(nc, s->change_both) || !probe_ended(nc, s->change_port))
        return;
    else if (port == ANSWER_GOOD && s->change_both != NONE)
        tell(nc, f, BK_NAT_AD, BK_NAT_REASON_NONE);
    else if (port == ANSWER_GOOD)
        tell(nc, f, BK_NAT_EI, BK_NAT_REASON_ONE_ADDRESS); /* EI or AD */
    else
        judge_silence(nc, f);
}

void filtering_step(struct bk_natcheck *nc) {
    for (int f = 0; f < FAMILIES; f++) {
        struct side *s = &nc->side[f];
        if (!s->reached || s->filtering_done)
            continue;
        if (!s->filtering_started)
            start(nc, (enum family)f);
        judge(nc, (enum family)f);
    }
}
