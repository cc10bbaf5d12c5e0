/* SPDX-License-Identifier: MIT */
#include "peer/story.h"

#include "base/text.h"

/* --- a NAT in half a sentence --- */

static const char *mapping_words(const struct bk_nat_traits *n) {
    if (n->translated == BK_NO)
        return "translates nothing";
    if (n->mapping == BK_NAT_EI)
        return "keeps one port for all destinations";
    if (n->mapping == BK_NAT_DEP_UNKNOWN)
        return NULL;
    switch (n->ports) {
    case BK_NAT_PORTS_PRESERVE:
        return "gives each destination a port of its own, the socket's if it is free";
    case BK_NAT_PORTS_SEQUENTIAL:
        return "gives each destination the next port";
    case BK_NAT_PORTS_TIME:
        return "gives each destination a port by the clock";
    case BK_NAT_PORTS_RANDOM:
        return n->port_count > 0 ? "gives each destination a random port of a small block"
                                 : "gives each destination a random port";
    case BK_NAT_PORTS_UNKNOWN:
        break;
    }
    return "gives each destination another port";
}

static const char *filter_words(enum bk_nat_dep filtering) {
    switch (filtering) {
    case BK_NAT_EI:
        return "lets everybody in";
    case BK_NAT_AD:
        return "filters by address";
    case BK_NAT_APD:
        return "filters by address and port";
    case BK_NAT_DEP_UNKNOWN:
        break;
    }
    return NULL;
}

static void put_nat(struct text *t, const struct bk_nat_traits *n) {
    const char *mapping = mapping_words(n), *filter = filter_words(n->filtering);
    if (n->udp_blocked == BK_YES) {
        text_str(t, "lets no UDP through");
        return;
    }
    text_str(t, mapping != NULL ? mapping : "");
    text_str(t, mapping != NULL && filter != NULL ? " and " : "");
    text_str(t, filter != NULL ? filter : "");
}

char *story_nat(const struct bk_nat_traits *nat, char *out) {
    struct text t = text_in(out, STORY_MAX);
    put_nat(&t, nat);
    return out;
}

static void put_both(struct text *t, const struct story *s) {
    char here[STORY_MAX], there[STORY_MAX];
    story_nat(&s->here, here);
    story_nat(&s->there, there);
    if (here[0] != '\0') {
        text_str(t, ": the NAT here ");
        text_str(t, here);
    }
    if (there[0] != '\0') {
        text_str(t, here[0] != '\0' ? "; the peer's " : ": the peer's NAT ");
        text_str(t, there);
    }
}

/* --- direct --- */

static void put_direct(struct text *t, const struct story *s) {
    text_str(t, "direct by ");
    text_str(t, bk_oracle_method_text(s->method));
    text_str(t, ", ");
    text_u64(t, s->probes);
    text_str(t, s->probes == 1 ? " probe" : " probes");
    if (s->took_us > 0) {
        int64_t hundredths = (s->took_us + 5000) / 10000;
        text_str(t, ", ");
        text_i64(t, hundredths / 100);
        text_char(t, '.');
        text_char(t, (char)('0' + hundredths / 10 % 10));
        text_char(t, (char)('0' + hundredths % 10));
        text_str(t, " s");
    }
    put_both(t, s);
}

/* --- relayed --- */

static bool is_random(const struct bk_nat_traits *n) {
    return n->mapping != BK_NAT_EI && n->mapping != BK_NAT_DEP_UNKNOWN &&
           n->ports == BK_NAT_PORTS_RANDOM;
}

/* What would help, where the NATs themselves are in the way. */
static const char *remedy(const struct story *s) {
    bool udp = s->here.udp_blocked == BK_YES || s->there.udp_blocked == BK_YES;
    if (udp)
        return "; a firewall that lets UDP out would fix it";
    if (s->method == BK_ORACLE_RELAY || s->method == BK_ORACLE_BIRTHDAY_TWO ||
        s->method == BK_ORACLE_BIRTHDAY_MIXED)
        return "; UPnP or PCP on either router, or IPv6 on both sides, would fix it";
    return "";
}

static void put_relayed(struct text *t, const struct story *s) {
    bool nats = s->why == WHY_MAPPING_BOTH || s->why == WHY_MAPPING_HERE ||
                s->why == WHY_MAPPING_THERE || s->why == WHY_NO_ANSWER;
    text_str(t, "relayed: ");
    if (nats && is_random(&s->here) && is_random(&s->there))
        text_str(t, "both NATs give each destination a random port, nothing better exists");
    else
        text_str(t, why_text(s->why));
    if (nats)
        put_both(t, s);
    if (nats || s->why == WHY_UDP_BOTH || s->why == WHY_UDP_HERE || s->why == WHY_UDP_THERE)
        text_str(t, remedy(s));
}

char *story_tell(const struct story *s, char *out) {
    struct text t = text_in(out, STORY_MAX);
    if (s->direct)
        put_direct(&t, s);
    else
        put_relayed(&t, s);
    return out;
}
