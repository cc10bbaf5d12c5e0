/* SPDX-License-Identifier: MIT */
#include "cli/nat_text.h"

#include "cli/nat_meaning.h"
#include <base/assert.h>
#include <string.h>

enum { LABEL_COLUMNS = 18, SURE_PERMILLE = 900 };

void nat_text_wrap(struct text *out, size_t column, size_t indent, const char *words) {
    bool fresh = true; /* nothing on this line since its indent */
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        if (!fresh && column + 1 + len > NAT_TEXT_COLUMNS) {
            text_char(out, '\n');
            column = 0;
            fresh = true;
        }
        for (; column < indent; column++)
            text_char(out, ' ');
        if (!fresh) {
            text_char(out, ' ');
            column++;
        }
        text_bytes(out, words, len);
        column += len;
        fresh = false;
        words += len;
        words += strspn(words, " ");
    }
    text_char(out, '\n');
}

/* --- one finding in words --- */

const char *nat_text_label(enum bk_nat_attr attr) {
    static const char *const labels[BK_NAT_ATTRS] = {
        [BK_NAT_UDP] = "UDP",
        [BK_NAT_TRANSLATED] = "translation",
        [BK_NAT_MAPPING] = "mapping",
        [BK_NAT_FILTERING] = "filtering",
        [BK_NAT_PORTS] = "ports",
        [BK_NAT_PARITY] = "port parity",
        [BK_NAT_POOLING] = "address pooling",
        [BK_NAT_HAIRPIN] = "hairpin",
        [BK_NAT_UNSOLICITED] = "unsolicited",
        [BK_NAT_INBOUND_FIRST] = "early packets",
        [BK_NAT_ALG] = "payloads",
        [BK_NAT_PORT_SPECIFIC] = "STUN's port",
        [BK_NAT_TCP_MAPPING] = "TCP mapping",
        [BK_NAT_DOUBLE] = "second NAT",
        [BK_NAT_PCP] = "PCP",
        [BK_NAT_PMP] = "NAT-PMP",
        [BK_NAT_UPNP] = "UPnP",
        [BK_NAT_IPV6] = "IPv6",
        [BK_NAT_IPV6_TRANSLATED] = "IPv6 translation",
        [BK_NAT_IPV6_PREFIX] = "IPv6 prefix",
        [BK_NAT_IPV6_MAPPING] = "IPv6 mapping",
        [BK_NAT_IPV6_FILTERING] = "IPv6 filtering",
        [BK_NAT_LIFE_FIRST] = "life, unanswered",
        [BK_NAT_LIFE_REPLIED] = "life, answered",
        [BK_NAT_REFRESH_OUT] = "kept by outgoing",
        [BK_NAT_REFRESH_IN] = "kept by incoming",
    };
    return attr < BK_NAT_ATTRS ? labels[attr] : "";
}

static const char *mapping_words(int64_t value) {
    static const char *const words[] = {
        [BK_NAT_DEP_UNKNOWN] = "unknown",
        [BK_NAT_EI] = "endpoint-independent: one outside port for all destinations",
        [BK_NAT_AD] = "address-dependent: another port for each address",
        [BK_NAT_APD] = "address- and port-dependent: another port per destination",
    };
    return words[value & 3];
}

static const char *filtering_words(int64_t value) {
    static const char *const words[] = {
        [BK_NAT_DEP_UNKNOWN] = "unknown",
        [BK_NAT_EI] = "endpoint-independent: whoever knows an open port gets in",
        [BK_NAT_AD] = "address-dependent: only hosts that were sent to get in",
        [BK_NAT_APD] = "address- and port-dependent: only what was sent to gets in",
    };
    return words[value & 3];
}

static const char *udp_words(int64_t value) {
    switch ((enum bk_nat_udp)value) {
    case BK_NAT_UDP_OPEN:
        return "passes";
    case BK_NAT_UDP_SOME_PORTS:
        return "passes to some ports only";
    case BK_NAT_UDP_BLOCKED:
        return "blocked: nothing comes back";
    case BK_NAT_UDP_UNKNOWN:
        break;
    }
    return "unknown";
}

static const char *hairpin_words(int64_t value) {
    switch ((enum bk_nat_hairpin)value) {
    case BK_NAT_HAIRPIN_NONE:
        return "no: hosts inside cannot meet at the public address";
    case BK_NAT_HAIRPIN_EXTERNAL:
        return "yes: hosts inside can meet at the public address";
    case BK_NAT_HAIRPIN_INTERNAL:
        return "wrong: delivered, but with the sender's inside address";
    case BK_NAT_HAIRPIN_UNKNOWN:
        break;
    }
    return "unknown";
}

static const char *unsolicited_words(int64_t value) {
    if (value == BK_NAT_UNSOLICITED_DROP)
        return "dropped silently";
    return value == BK_NAT_UNSOLICITED_REJECT ? "refused with an ICMP error" : "unknown";
}

static const char *double_words(int64_t value) {
    switch ((enum bk_nat_double)value) {
    case BK_NAT_DOUBLE_NO_SIGN:
        return "no sign of one";
    case BK_NAT_DOUBLE_YES:
        return "yes: there are two or more on the way";
    case BK_NAT_DOUBLE_CARRIER:
        return "yes: the outer one is the provider's (CGN)";
    case BK_NAT_DOUBLE_UNKNOWN:
        break;
    }
    return "unknown";
}

/* Attributes that are a yes or a no. */
static const char *maybe_words(enum bk_nat_attr attr, bool yes) {
    static const struct {
        enum bk_nat_attr attr;
        const char *yes, *no;
    } words[] = {
        {BK_NAT_TRANSLATED, "yes: the outside sees another address", "no"},
        {BK_NAT_PARITY, "kept: even ports stay even", "not kept"},
        {BK_NAT_POOLING, "paired: one public address for all mappings",
         "arbitrary: another public address for each mapping"},
        {BK_NAT_INBOUND_FIRST, "sensitive: one that comes early spoils the mapping", "harmless"},
        {BK_NAT_ALG, "rewritten: addresses inside packets are changed", "left alone"},
        {BK_NAT_PORT_SPECIFIC, "mapped in another way than other ports", "nothing special"},
        {BK_NAT_PCP, "answers", "no answer"},
        {BK_NAT_PMP, "answers", "no answer"},
        {BK_NAT_UPNP, "answers", "no answer"},
        {BK_NAT_IPV6, "works", "no answer"},
        {BK_NAT_IPV6_TRANSLATED, "yes: the outside sees another address", "no"},
        {BK_NAT_IPV6_PREFIX, "it alone is translated (NPTv6): one address for each, ports stay",
         "not it alone is translated"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].attr == attr)
            return yes ? words[i].yes : words[i].no;
    return yes ? "yes" : "no";
}

static void ports_words(const struct bk_nat_traits *t, int64_t value, struct text *out) {
    switch ((enum bk_nat_ports)value) {
    case BK_NAT_PORTS_PRESERVE:
        text_str(out, "preserved: the same outside as inside, while it is free");
        return;
    case BK_NAT_PORTS_SEQUENTIAL:
        text_str(out, "sequential: each is the last one given ");
        text_str(out, t->step < 0 ? "minus " : "plus ");
        text_u64(out, (uint64_t)(t->step < 0 ? -(int64_t)t->step : t->step));
        break;
    case BK_NAT_PORTS_RANDOM:
        text_str(out, "random");
        break;
    case BK_NAT_PORTS_TIME:
        text_str(out, "growing with time");
        if (t->ports_per_s >= 1) {
            text_str(out, ", about ");
            text_u64(out, (uint64_t)t->ports_per_s);
            text_str(out, " a second");
        }
        break;
    case BK_NAT_PORTS_UNKNOWN:
        text_str(out, "unknown");
        return;
    }
    if (t->port_min != 0 && t->port_max != 0) {
        text_str(out, ", within ");
        text_u64(out, t->port_min);
        text_char(out, '-');
        text_u64(out, t->port_max);
    }
    if (t->port_count != 0 && t->port_count < (uint32_t)(t->port_max - t->port_min) + 1) {
        text_str(out, " (");
        text_u64(out, t->port_count);
        text_str(out, " ports)");
    }
}

static void lifetime_words(const struct bk_nat_record *r, enum bk_nat_attr attr, struct text *out) {
    const struct bk_nat_finding *f = &r->findings[attr];
    int64_t error = attr == BK_NAT_LIFE_REPLIED && !f->at_least ? r->life_error_us : 0;
    text_str(out, f->at_least ? "at least " : "");
    text_i64(out, (f->value + BK_US_PER_S / 2) / BK_US_PER_S);
    text_str(out, " s");
    if (error >= BK_US_PER_S / 2) {
        text_str(out, ", give or take ");
        text_i64(out, (error + BK_US_PER_S / 2) / BK_US_PER_S);
        text_str(out, " s");
    }
}

static bool same_as_udp(const struct bk_nat_record *r, int64_t value) {
    return r->findings[BK_NAT_MAPPING].status == BK_NAT_KNOWN &&
           r->findings[BK_NAT_MAPPING].value == value;
}

static const char *dep_words(const struct bk_nat_record *r, enum bk_nat_attr attr, int64_t value) {
    if (attr == BK_NAT_TCP_MAPPING && same_as_udp(r, value))
        return "as for UDP";
    bool filtering = attr == BK_NAT_FILTERING || attr == BK_NAT_IPV6_FILTERING;
    return filtering ? filtering_words(value) : mapping_words(value);
}

static void known_words(const struct bk_nat_record *r, enum bk_nat_attr attr, struct text *out) {
    int64_t value = r->findings[attr].value;
    switch (bk_nat_attr_kind(attr)) {
    case BK_NAT_KIND_MAYBE:
        text_str(out, value == BK_UNKNOWN ? "unknown" : maybe_words(attr, value == BK_YES));
        return;
    case BK_NAT_KIND_UDP:
        text_str(out, udp_words(value));
        return;
    case BK_NAT_KIND_DEP:
        text_str(out, dep_words(r, attr, value));
        return;
    case BK_NAT_KIND_PORTS:
        ports_words(&r->traits, value, out);
        return;
    case BK_NAT_KIND_HAIRPIN:
        text_str(out, hairpin_words(value));
        return;
    case BK_NAT_KIND_UNSOLICITED:
        text_str(out, unsolicited_words(value));
        return;
    case BK_NAT_KIND_DOUBLE:
        text_str(out, double_words(value));
        return;
    case BK_NAT_KIND_TIME:
        lifetime_words(r, attr, out);
        return;
    }
}

/* The words themselves say that this proves little. */
static bool no_sign(enum bk_nat_attr attr, const struct bk_nat_finding *f) {
    return attr == BK_NAT_DOUBLE && f->value == BK_NAT_DOUBLE_NO_SIGN;
}

char *nat_text_finding(const struct bk_nat_record *record, enum bk_nat_attr attr, char *out) {
    bk_assert(attr < BK_NAT_ATTRS);
    const struct bk_nat_finding *f = &record->findings[attr];
    struct text t = text_in(out, NAT_SENTENCE_MAX);
    switch (f->status) {
    case BK_NAT_KNOWN:
        known_words(record, attr, &t);
        if (f->permille < SURE_PERMILLE && !no_sign(attr, f)) {
            text_str(&t, " (");
            text_u64(&t, f->permille / 10);
            text_str(&t, " % sure)");
        }
        break;
    case BK_NAT_UNCLEAR:
        if (f->reason == BK_NAT_REASON_ONE_ADDRESS) {
            text_str(&t, "cannot tell whether address-dependent: the server has one address");
            break;
        }
        if (f->reason == BK_NAT_REASON_NOT_APPLICABLE) {
            text_str(&t, "does not apply");
            break;
        }
        text_str(&t, "cannot tell: ");
        text_str(&t, bk_nat_reason_text(f->reason));
        break;
    case BK_NAT_NOT_ASKED:
    case BK_NAT_PENDING:
        break;
    }
    return out;
}

/* --- the card --- */

static void paragraph(struct text *out, const char *words) {
    nat_text_wrap(out, 0, 0, words);
}

static void text_sentence(struct text *out, const char *label, const char *words) {
    size_t len = strlen(label);
    text_str(out, "  ");
    text_str(out, label);
    for (size_t column = 2 + len; column < LABEL_COLUMNS + 2; column++)
        text_char(out, ' ');
    nat_text_wrap(out, LABEL_COLUMNS + 2, LABEL_COLUMNS + 2, words);
}

static void add_name(const struct bk_nat_traits *t, struct text *out) {
    const char *cone = bk_nat_cone_text(t);
    if (cone[0] == '\0')
        return;
    text_str(out, " (");
    text_str(out, cone);
    text_char(out, ')');
}

static void add_dependence(const struct bk_nat_traits *t, struct text *out) {
    text_str(out, bk_nat_dep_text(t->mapping));
    text_str(out, " mapping, ");
    text_str(out, bk_nat_dep_text(t->filtering));
    text_str(out, " filtering");
    add_name(t, out);
}

static void add_filter(const struct bk_nat_traits *t, struct text *out) {
    bool open = t->filtering == BK_NAT_EI;
    text_str(out, open ? "nothing is filtered" : bk_nat_dep_text(t->filtering));
    text_str(out, open ? "" : " filtering");
    add_name(t, out);
}

/* Of a run over IPv6 only. */
static void title6(const struct bk_nat_record *r, struct text *out) {
    const struct bk_nat_finding *f = &r->findings[BK_NAT_IPV6];
    if (f->status != BK_NAT_KNOWN || f->value != BK_YES) {
        text_str(out, "IPv6: the server cannot be reached by it.");
    } else if (r->traits6.translated == BK_NO) {
        text_str(out, "IPv6 without NAT: ");
        add_filter(&r->traits6, out);
    } else {
        text_str(out, "Your NAT for IPv6: ");
        add_dependence(&r->traits6, out);
    }
}

/* "Your NAT: endpoint-independent mapping, ... filtering (full cone)". */
static void title(const struct bk_nat_record *r, struct text *out) {
    const struct bk_nat_traits *t = &r->traits;
    char words[NAT_SENTENCE_MAX];
    struct text line = text_in(words, sizeof words);
    if (r->findings[BK_NAT_UDP].status == BK_NAT_NOT_ASKED) {
        title6(r, &line);
    } else if (t->udp_blocked == BK_YES) {
        text_str(&line, "UDP is blocked: nothing more can be seen of the NAT.");
    } else if (t->translated == BK_NO) {
        text_str(&line, "No NAT: the outside sees this machine's own address; ");
        add_filter(t, &line);
    } else {
        text_str(&line, t->translated == BK_YES ? "Your NAT: " : "Your NAT, if there is one: ");
        add_dependence(t, &line);
    }
    paragraph(out, words);
}

static void meaning(const struct bk_nat_record *r, struct text *out) {
    const char *sentences[NAT_MEANINGS_MAX];
    size_t n = nat_meaning(r, sentences);
    text_char(out, '\n');
    for (size_t i = 0; i < n; i++) {
        text_str(out, "- ");
        nat_text_wrap(out, 2, 2, sentences[i]);
    }
    text_char(out, '\n');
}

static void addresses(const struct bk_nat_record *r, struct text *out) {
    char words[NAT_SENTENCE_MAX], ip[BK_ADDR_TEXT_MAX];
    struct text t = text_in(words, sizeof words);
    size_t shown = r->external_count < 8 ? r->external_count : 8;
    for (size_t i = 0; i < shown; i++) {
        text_str(&t, i == 0 ? "" : ", ");
        text_str(&t, bk_ip_format(&r->externals[i], ip));
    }
    if (r->traits6.external.family != BK_FAMILY_NONE) {
        text_str(&t, t.len == 0 ? "" : ", ");
        text_str(&t, bk_ip_format(&r->traits6.external, ip));
    }
    if (t.len > 0)
        text_sentence(out, "public address", words);
    if (r->portmap_external.family != BK_FAMILY_NONE)
        text_sentence(out, "router's address", bk_ip_format(&r->portmap_external, ip));
}

/* PCP, NAT-PMP and UPnP share a line. */
static void port_mapping(const struct bk_nat_record *r, struct text *out) {
    static const enum bk_nat_attr attrs[] = {BK_NAT_PCP, BK_NAT_PMP, BK_NAT_UPNP};
    char words[NAT_SENTENCE_MAX];
    struct text t = text_in(words, sizeof words);
    bool asked = false;
    for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
        const struct bk_nat_finding *f = &r->findings[attrs[i]];
        asked = asked || f->status == BK_NAT_KNOWN;
        if (f->status != BK_NAT_KNOWN || f->value != BK_YES)
            continue;
        text_str(&t, t.len == 0 ? "" : ", ");
        text_str(&t, nat_text_label(attrs[i]));
    }
    if (asked)
        text_sentence(out, "port mapping", t.len > 0 ? words : "none (PCP, NAT-PMP, UPnP)");
}

/* On the card always, when asked. The rest shows only when it is remarkable. */
static bool on_card(const struct bk_nat_record *r, enum bk_nat_attr attr) {
    const struct bk_nat_finding *f = &r->findings[attr];
    bool nat = r->traits.translated != BK_NO && r->traits.udp_blocked != BK_YES;
    bool not_known = f->status == BK_NAT_UNCLEAR && f->reason != BK_NAT_REASON_NOT_APPLICABLE &&
                     f->reason != BK_NAT_REASON_UDP_BLOCKED; /* the title says that */
    switch (attr) {
    case BK_NAT_MAPPING:
    case BK_NAT_PORTS:
    case BK_NAT_HAIRPIN:
    case BK_NAT_INBOUND_FIRST:
    case BK_NAT_TCP_MAPPING:
    case BK_NAT_DOUBLE:
        return nat && (f->status == BK_NAT_KNOWN || not_known);
    case BK_NAT_FILTERING:
    case BK_NAT_LIFE_FIRST:
    case BK_NAT_LIFE_REPLIED:
        return f->status == BK_NAT_KNOWN || not_known;
    case BK_NAT_UNSOLICITED:
    case BK_NAT_IPV6:
    case BK_NAT_IPV6_FILTERING:
    case BK_NAT_REFRESH_OUT:
    case BK_NAT_REFRESH_IN:
        return f->status == BK_NAT_KNOWN;
    case BK_NAT_ALG:
    case BK_NAT_PORT_SPECIFIC:
    case BK_NAT_IPV6_TRANSLATED:
    case BK_NAT_IPV6_PREFIX:
        return f->status == BK_NAT_KNOWN && f->value == BK_YES;
    case BK_NAT_IPV6_MAPPING:
        return f->status == BK_NAT_KNOWN && f->value != BK_NAT_EI;
    case BK_NAT_POOLING:
        return f->status == BK_NAT_KNOWN && f->value == BK_NO;
    case BK_NAT_UDP:
        return f->status == BK_NAT_KNOWN && f->value == BK_NAT_UDP_SOME_PORTS;
    case BK_NAT_TRANSLATED:
    case BK_NAT_PARITY:
    case BK_NAT_PCP: /* these three have a line of their own */
    case BK_NAT_PMP:
    case BK_NAT_UPNP:
    case BK_NAT_ATTRS:
        return false;
    }
    return false;
}

static void costs(const struct bk_nat_record *r, const struct bk_addr *server, struct text *out) {
    char words[NAT_SENTENCE_MAX];
    struct text t = text_in(words, sizeof words);
    text_str(&t, "Asked ");
    text_addr(&t, server);
    if (r->other.ip.family != BK_FAMILY_NONE) {
        text_str(&t, " and ");
        text_addr(&t, &r->other);
    }
    text_str(&t, ": ");
    text_u64(&t, (uint64_t)r->packets_sent + r->deep_packets_sent);
    text_str(&t, " packets, ");
    text_ms(&t, (r->took_us + r->deep_took_us) / 1000); /* seconds with one decimal */
    text_str(&t, " s");
    if (r->rtt_us > 0) {
        text_str(&t, "; round trip ");
        text_ms(&t, r->rtt_us);
        text_str(&t, " ms");
    }
    text_char(&t, '.');
    paragraph(out, words);
}

void nat_text_card(const struct bk_nat_record *record, const struct bk_addr *server,
                   struct text *out) {
    char words[NAT_SENTENCE_MAX];
    title(record, out);
    meaning(record, out);
    size_t rows = out->len;
    addresses(record, out);
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++)
        if (on_card(record, (enum bk_nat_attr)i))
            text_sentence(out, nat_text_label((enum bk_nat_attr)i),
                          nat_text_finding(record, (enum bk_nat_attr)i, words));
    port_mapping(record, out);
    if (out->len > rows)
        text_char(out, '\n');
    costs(record, server, out);
}

/* --- evidence --- */

static void witnesses(uint32_t attrs, struct text *out) {
    bool first = true;
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++) {
        if ((attrs & (1u << i)) == 0)
            continue;
        text_str(out, first ? " [" : ", ");
        text_str(out, nat_text_label((enum bk_nat_attr)i));
        first = false;
    }
    text_str(out, first ? "" : "]");
}

static void observation(const struct bk_nat_observation *o, struct text *out) {
    char words[NAT_SENTENCE_MAX * 2];
    struct text t = text_in(words, sizeof words);
    text_str(&t, bk_nat_test_name(o->test));
    text_str(&t, " from port ");
    text_u64(&t, o->local.port);
    text_str(&t, " to ");
    text_addr(&t, &o->remote);
    if (o->sends > 1) {
        text_str(&t, ", sent ");
        text_u64(&t, o->sends);
        text_str(&t, " times");
    }
    if (o->idle_us > 0) {
        text_str(&t, ", after ");
        text_ms(&t, o->idle_us / 1000);
        text_str(&t, " s of silence");
    }
    if (o->answered_us < 0) {
        text_str(&t, ": no answer");
    } else {
        text_str(&t, ": answered by ");
        text_addr(&t, &o->from);
        text_str(&t, " after ");
        text_ms(&t, o->answered_us - o->sent_us);
        text_str(&t, " ms");
    }
    if (o->seen.ip.family != BK_FAMILY_NONE) {
        text_str(&t, ", seen as ");
        text_addr(&t, &o->seen);
    }
    witnesses(o->attrs, &t);
    nat_text_wrap(out, 10, 10, words);
}

void nat_text_evidence(const struct bk_nat_record *record, struct text *out) {
    size_t count = record->observation_count < BK_NATCHECK_OBSERVATIONS_MAX
                       ? record->observation_count
                       : BK_NATCHECK_OBSERVATIONS_MAX;
    text_str(out, "\nEvidence, by milliseconds from the start:\n");
    for (size_t i = 0; i < count; i++) {
        char at[24];
        struct text t = text_in(at, sizeof at);
        text_ms(&t, record->observations[i].sent_us);
        for (size_t column = t.len; column < 8; column++)
            text_char(out, ' ');
        text_str(out, at);
        text_str(out, "  ");
        observation(&record->observations[i], out);
    }
}
