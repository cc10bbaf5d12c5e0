/* SPDX-License-Identifier: MIT
 * How long a session lives. RFC 4787 section 4.3 (UDP), RFC 5382 section 5 (TCP), RFC 5508 section
 * 3.2 (ICMP). */
#include "nat/state.h"

static int64_t udp_life_us(const struct nat *nat, const struct nat_session *s) {
    const struct nat_config *c = &nat->config;
    /* Linux calls a flow a stream only once it is answered and older than 2 s: a single question
     * and answer (DNS) should not hold a mapping for long. */
    bool stream = s->replied && bk_elapsed_us(s->made, nat->now) >= c->udp_replied_after_us;
    int64_t life = stream ? c->udp_replied_us : c->udp_first_us;
    bool short_lived = c->udp_well_known_us > 0 && s->remote.port < 1024 && s->remote.port > 0;
    return short_lived && c->udp_well_known_us < life ? c->udp_well_known_us : life;
}

static int64_t life_us(const struct nat *nat, const struct nat_session *s) {
    switch (nat->mappings[s->mapping].proto) {
    case NAT_UDP:
        return udp_life_us(nat, s);
    case NAT_TCP:
        return nat_tcp_life_us(&nat->config, s->tcp);
    case NAT_ICMP:
    case NAT_PROTOS:
        break;
    }
    return nat->config.icmp_us;
}

void nat_timer_set(struct nat *nat, uint32_t session, struct bk_time when) {
    struct nat_session *s = &nat->sessions[session];
    s->expires = when;
    if (bk_before(when, s->armed)) {
        heap_set(&nat->timers, session, when);
        s->armed = when;
    }
}

static bool refreshes(enum nat_refresh refresh, enum nat_side from) {
    switch (refresh) {
    case NAT_REFRESH_OUT:
        return from == NAT_INSIDE;
    case NAT_REFRESH_IN:
        return from == NAT_OUTSIDE;
    case NAT_REFRESH_BOTH:
        return true;
    }
    return true;
}

void nat_timer_start(struct nat *nat, uint32_t session) {
    nat_timer_set(nat, session, bk_after(nat->now, life_us(nat, &nat->sessions[session])));
}

void nat_timer_touch(struct nat *nat, uint32_t session, enum nat_side from,
                     enum nat_tcp_state tcp) {
    struct nat_session *s = &nat->sessions[session];
    if (from != s->made_by)
        s->replied = true;
    if (tcp != s->tcp) { /* another phase, another life, be it shorter */
        s->tcp = tcp;
        nat_timer_start(nat, session);
        return;
    }
    struct bk_time when = bk_after(nat->now, life_us(nat, s));
    if (refreshes(nat->config.refresh, from) && bk_before(s->expires, when))
        nat_timer_set(nat, session, when);
}

void nat_advance(struct nat *nat, struct bk_time now) {
    nat->now = bk_later(nat->now, now);
    uint32_t index;
    while (heap_take_due(&nat->timers, nat->now, &index)) {
        struct nat_session *s = &nat->sessions[index];
        s->armed = BK_NEVER;
        if (bk_due(s->expires, nat->now))
            nat_session_end(nat, index);
        else
            nat_timer_set(nat, index, s->expires);
    }
}

struct bk_time nat_deadline(const struct nat *nat) {
    return bk_earlier(heap_earliest(&nat->timers), nat_late_deadline(nat));
}
