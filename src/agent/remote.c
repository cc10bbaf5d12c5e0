/* SPDX-License-Identifier: MIT
 * The peer's side, as its lines say it; and restarts, which begin there. */
#include "agent/agent.h"

#include "base/table.h"

#include <string.h>

enum { TA_MS_MAX = 10000 };

/* ---- Reading ------------------------------------------------------------------------------ */

/* Credentials; NULL: not said. */
struct words {
    const char *ufrag, *pwd;
    size_t ufrag_len, pwd_len;
};

/* Everything but the candidates, and where we are in the text. */
struct reading {
    const char *text;
    size_t len, at; /* `at`: the next line */
    struct words session, own[BK_ICE_STREAMS_MAX];
    struct words first; /* in the text, whosever they are */
    bool lite, trickle, renomination, done;
    uint32_t ta_us;
    size_t candidates;
    uint16_t stream;   /* of the lines that follow */
    uint64_t mid;      /* what their m= section is called; 0: nothing */
    uint16_t sections; /* m= lines or, without them, a=mid lines so far */
    bool media;
};

/* a=mid of our own descriptions counts streams; anybody else's is a name. */
static uint16_t stream_of_mid(const struct sdp_item *item, const struct reading *r,
                              uint16_t streams) {
    if (item->len == 1 && item->value[0] >= '0' && item->value[0] <= '9' &&
        item->value[0] - '0' < streams)
        return (uint16_t)(item->value[0] - '0');
    if (item->len == 2 && item->value[0] == '1' && item->value[1] >= '0' && item->value[1] <= '9' &&
        10 + item->value[1] - '0' < streams)
        return (uint16_t)(10 + item->value[1] - '0');
    return r->sections;
}

static uint64_t hash(const char *text, size_t len) {
    static const uint64_t seed[2] = {1, 2}; /* tells texts apart, hides nothing */
    return siphash24(seed, text, len);
}

/* Of the m= section that begins: a=mid may come after the lines it is for. */
static uint64_t mid_of_section(const struct reading *r) {
    struct sdp_item item;
    enum bk_err err = BK_OK;
    for (size_t at = r->at; sdp_next(r->text, r->len, &at, &item, &err);) {
        if (item.kind == SDP_MEDIA)
            return 0;
        if (item.kind == SDP_MID)
            return hash(item.value, item.len);
    }
    return 0;
}

/* RFC 5888 section 4 and RFC 8840 section 4.4: a=mid names a section, and a fragment of trickling
 * has but those it is about. A name that is new is the one of the section at its place. */
static uint16_t stream_of_section(const struct bk_ice *ice, const struct reading *r) {
    for (uint16_t s = 0; r->mid != 0 && s < ice->config.streams; s++)
        if (agent_component(ice, s, 1)->remote_mid == r->mid)
            return s;
    return r->sections;
}

static void follow_section(const struct bk_ice *ice, const struct sdp_item *item,
                           struct reading *r) {
    if (item->kind == SDP_MEDIA) {
        r->sections = (uint16_t)(r->media ? r->sections + 1 : 0);
        r->media = true;
        r->mid = mid_of_section(r);
        r->stream = stream_of_section(ice, r);
    } else if (item->kind == SDP_MID && !r->media && ice->config.streams > 1) {
        r->stream = stream_of_mid(item, r, ice->config.streams);
        r->sections++;
    }
}

static void note_words(struct words *w, const struct sdp_item *item) {
    if (item->kind == SDP_UFRAG && w->ufrag == NULL) {
        w->ufrag = item->value;
        w->ufrag_len = item->len;
    } else if (item->kind == SDP_PWD && w->pwd == NULL) {
        w->pwd = item->value;
        w->pwd_len = item->len;
    }
}

static void note(struct reading *r, const struct sdp_item *item) {
    note_words(&r->first, item);
    if (!r->media && r->sections == 0)
        note_words(&r->session, item);
    else if (r->stream < BK_ICE_STREAMS_MAX)
        note_words(&r->own[r->stream], item);
    if (item->kind == SDP_OPTIONS) {
        r->trickle |= sdp_has_option(item->value, item->len, "trickle");
        r->renomination |= sdp_has_option(item->value, item->len, "renomination");
    }
    if (item->kind == SDP_PACING)
        r->ta_us = item->number > TA_MS_MAX ? TA_MS_MAX * 1000u : item->number * 1000;
    r->lite |= item->kind == SDP_LITE;
    r->done |= item->kind == SDP_END_OF_CANDIDATES;
    r->candidates += item->kind == SDP_CANDIDATE;
}

static enum bk_err read_all(const struct bk_ice *ice, const char *text, size_t len,
                            struct reading *r) {
    struct sdp_item item;
    enum bk_err err = BK_OK;
    *r = (struct reading){.text = text, .len = len, .ta_us = AGENT_TA_US};
    while (sdp_next(text, len, &r->at, &item, &err)) {
        follow_section(ice, &item, r);
        note(r, &item);
    }
    if (err != BK_OK)
        return err;
    return r->first.ufrag == NULL || r->first.pwd == NULL ? BK_ERR_NOT_FOUND : BK_OK;
}

/* ---- Credentials -------------------------------------------------------------------------- */

static bool is_said(const struct words *w) {
    return w->ufrag != NULL || w->pwd != NULL;
}

/* What is not said is as `from` says. */
static void fill(struct words *w, const struct words *from) {
    if (w->ufrag == NULL) {
        w->ufrag = from->ufrag;
        w->ufrag_len = from->ufrag_len;
    }
    if (w->pwd == NULL) {
        w->pwd = from->pwd;
        w->pwd_len = from->pwd_len;
    }
}

/* RFC 8839 section 5.4: each of the two is the stream's own or else the session's. A stream of
 * which neither is said keeps what it has, or else has what the first one in the text has: browsers
 * bundle, and say it once. false: it keeps what it has. */
static bool words_of(const struct bk_ice *ice, const struct reading *r, uint16_t stream,
                     struct words *w) {
    *w = r->own[stream];
    fill(w, &r->session);
    bool said = is_said(w);
    fill(w, &r->first);
    return said || bk_checker_remote_ufrag(ice->checker, stream)[0] == '\0';
}

static bool same_words(const struct words *a, const struct words *b) {
    return a->ufrag_len == b->ufrag_len && a->pwd_len == b->pwd_len &&
           memcmp(a->ufrag, b->ufrag, a->ufrag_len) == 0 && memcmp(a->pwd, b->pwd, a->pwd_len) == 0;
}

static uint64_t *old_id(const struct bk_ice *ice, uint16_t stream) {
    return &agent_component(ice, stream, 1)->remote_old_id;
}

static uint64_t id_now(const struct bk_ice *ice, uint16_t stream) {
    const char *ufrag = bk_checker_remote_ufrag(ice->checker, stream);
    return hash(ufrag, strlen(ufrag));
}

enum bk_err agent_restart(struct bk_ice *ice) {
    for (uint16_t s = 0; ice->remote_set && s < ice->config.streams; s++)
        *old_id(ice, s) = id_now(ice, s);
    enum bk_err err = bk_checker_restart(ice->checker, NULL, NULL, ice->now);
    if (err != BK_OK)
        return err;
    ice->remote_set = ice->remote_done = false;
    agent_remote_free(ice); /* names of the old generation */
    if (ice->gathered)
        bk_checker_end_of_local_candidates(ice->checker, ice->now);
    agent_paths_update(ice); /* pairs of the generation before the last are dropped silently */
    return BK_OK;
}

/* While the peer has not answered the last description, its next one is the answer; with another
 * restart in between neither side could tell whose answer it is, and both would restart for ever.
 * And while our user has not heard that we followed the peer, our answer is not out yet: with
 * another restart it never would be, and the peer would take what comes instead for it and stay
 * silent. */
enum bk_err bk_ice_restart(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    if (!ice->remote_set || agent_is_untold(ice, BK_ICE_ON_RESTART))
        return BK_OK;
    enum bk_err err = agent_restart(ice);
    if (err == BK_OK)
        agent_turn(ice, now);
    return err;
}

/* `stream` AGENT_NONE: all. */
static enum bk_err set_words(struct bk_ice *ice, uint16_t stream, const struct words *w) {
    char ufrag[BK_ICE_CRED_MAX + 1], pwd[BK_ICE_CRED_MAX + 1];
    memcpy(ufrag, w->ufrag, w->ufrag_len);
    memcpy(pwd, w->pwd, w->pwd_len);
    ufrag[w->ufrag_len] = pwd[w->pwd_len] = '\0';
    return stream == AGENT_NONE
               ? bk_checker_set_remote_credentials(ice->checker, ufrag, pwd, ice->now)
               : bk_checker_set_remote_credentials_of(ice->checker, stream, ufrag, pwd, ice->now);
}

static enum bk_err set_credentials(struct bk_ice *ice, const struct reading *r) {
    struct words all, w;
    bool same = words_of(ice, r, 0, &all);
    for (uint16_t s = 1; s < ice->config.streams; s++)
        same = words_of(ice, r, s, &w) && same && same_words(&w, &all);
    if (same)
        return set_words(ice, AGENT_NONE, &all);
    enum bk_err err = BK_OK;
    for (uint16_t s = 0; err == BK_OK && s < ice->config.streams; s++) {
        if (words_of(ice, r, s, &w))
            err = set_words(ice, s, &w);
    }
    return err;
}

/* RFC 8839 section 4.4.1.1.1: the peer's new credentials, while others are set, are its restart; we
 * follow with new ones of our own (RFC 8445 section 9). Ours are one pair for all streams, so a
 * restart of one of its streams is one of all. */
static enum bk_err take_credentials(struct bk_ice *ice, const struct reading *r) {
    enum bk_err err = set_credentials(ice, r);
    if (err == BK_ERR_STATE) {
        err = agent_restart(ice);
        if (err == BK_OK)
            err = set_credentials(ice, r);
        if (err == BK_OK)
            agent_tell(ice, BK_ICE_ON_RESTART, NULL, 0);
        ice->begged = true; /* what a loss of ours deserves, the peer has begun */
    }
    ice->remote_set |= err == BK_OK;
    return err;
}

/* After a restart of ours the peer's description from before it may still be on its way. */
static bool is_from_before(const struct bk_ice *ice, const struct reading *r) {
    bool any = false;
    for (uint16_t s = 0; s < ice->config.streams; s++) {
        struct words w = r->own[s];
        fill(&w, &r->session);
        if (!is_said(&w))
            continue;
        fill(&w, &r->first);
        if (hash(w.ufrag, w.ufrag_len) != *old_id(ice, s))
            return false;
        any = true;
    }
    return any || hash(r->first.ufrag, r->first.ufrag_len) == *old_id(ice, 0);
}

/* ---- Candidates --------------------------------------------------------------------------- */

static bool is_of_old_generation(const struct bk_ice *ice, const struct sdp_candidate *c,
                                 uint16_t stream) {
    if (c->ufrag[0] == '\0')
        return false;
    uint64_t id = hash(c->ufrag, strlen(c->ufrag));
    return ice->remote_set ? id != id_now(ice, stream) : id == *old_id(ice, stream);
}

/* draft-ietf-mmusic-mdns-ice-candidates section 3.2: names in .local alone; others are ignored, as
 * RFC 8839 section 5.1 lets us. */
static bool is_local_name(const char *name) {
    static const char suffix[] = ".local";
    size_t n = strlen(name);
    return n >= sizeof suffix && memcmp(name + n - (sizeof suffix - 1), suffix, sizeof suffix) == 0;
}

static enum bk_err look_up(struct bk_ice *ice, const struct sdp_candidate *c, uint16_t stream) {
    if (!is_local_name(c->name) || ice->config.policy == BK_ICE_RELAYED_ONLY)
        return BK_ERR_UNSUPPORTED;
    const size_t row = sizeof(struct agent_name *); // NOLINT(bugprone-sizeof-expression): pointers
    if (ice->name_count == ice->name_cap &&
        !agent_grow(ice, &ice->names, &ice->name_cap, row, AGENT_NAMES_MAX))
        return BK_ERR_FULL;
    struct agent_name *n = ice->alloc.get(ice->alloc.ctx, sizeof *n);
    if (n == NULL)
        return BK_ERR_FULL;
    *n = (struct agent_name){.id = ++ice->last_id, .stream = stream, .candidate = *c};
    ice->names[ice->name_count++] = n;
    return BK_OK;
}

static void drop_name(struct bk_ice *ice, uint16_t at) {
    ice->alloc.put(ice->alloc.ctx, ice->names[at]);
    ice->names[at] = ice->names[--ice->name_count];
}

void agent_remote_free(struct bk_ice *ice) {
    while (ice->name_count > 0)
        drop_name(ice, 0);
}

/* Same section: exactly one address, or the candidate is ignored. */
void agent_remote_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count) {
    for (uint16_t i = 0; i < ice->name_count; i++) {
        struct bk_ice_candidate c = ice->names[i]->candidate.at;
        if (ice->names[i]->id != id)
            continue;
        drop_name(ice, i);
        if (count == 0)
            return;
        c.addr.ip = ips[0];
        if (bk_checker_add_remote_candidate(ice->checker, &c, ice->now) == BK_OK)
            agent_relay_permit_all(ice);
        return;
    }
}

static enum bk_err add_candidate(struct bk_ice *ice, struct sdp_candidate *c, uint16_t stream) {
    if (stream >= ice->config.streams || c->at.component > ice->config.components)
        return BK_ERR_UNSUPPORTED;
    if (is_of_old_generation(ice, c, stream))
        return BK_ERR_UNSUPPORTED;
    c->at.stream = stream;
    if (c->name[0] != '\0')
        return look_up(ice, c, stream);
    enum bk_err err = bk_checker_add_remote_candidate(ice->checker, &c->at, ice->now);
    return err == BK_ERR_ARGUMENT ? BK_ERR_UNSUPPORTED : err; /* nobody can send there */
}

static void end_of_candidates(struct bk_ice *ice) {
    ice->remote_done = true;
    bk_checker_end_of_remote_candidates(ice->checker, ice->now);
}

static enum bk_err take_candidates(struct bk_ice *ice, const char *text, size_t len) {
    struct reading r = {.text = text, .len = len};
    struct sdp_item item;
    enum bk_err err = BK_OK, result = BK_OK;
    while (sdp_next(text, len, &r.at, &item, &err)) {
        follow_section(ice, &item, &r);
        if (item.kind == SDP_MEDIA && r.mid != 0 && r.stream < ice->config.streams)
            agent_component(ice, r.stream, 1)->remote_mid = r.mid;
        if (item.kind == SDP_CANDIDATE && item.err == BK_OK &&
            add_candidate(ice, &item.candidate, r.stream) == BK_ERR_FULL)
            result = BK_ERR_TOO_LONG;
    }
    return result;
}

static uint32_t higher(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* ---- The calls ---------------------------------------------------------------------------- */

enum bk_err bk_ice_set_remote(struct bk_ice *ice, const char *text, size_t len,
                              struct bk_time now) {
    struct reading r;
    if (len > SDP_TEXT_MAX)
        return BK_ERR_TOO_LONG;
    enum bk_err err = read_all(ice, text, len, &r);
    if (err != BK_OK)
        return err;
    (void)agent_see(ice, now);
    if (!ice->remote_set && is_from_before(ice, &r))
        return BK_OK;
    err = take_credentials(ice, &r);
    if (err != BK_OK)
        return err;
    /* RFC 8445 section 6.1.1: a full agent controls a lite one. */
    bk_checker_set_remote_lite(ice->checker, r.lite, ice->now);
    bk_checker_set_ta(ice->checker, higher(r.ta_us, ice->config.ta_us), ice->now);
    bk_checker_set_renominate(ice->checker, r.renomination, ice->now);
    err = take_candidates(ice, text, len);
    /* RFC 8838 section 5: who does not say that it trickles has said it all. */
    if (r.done || (!r.trickle && r.candidates > 0))
        end_of_candidates(ice);
    agent_relay_permit_all(ice);
    agent_turn(ice, now);
    return err;
}

static size_t line_length(const char *line) {
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n'))
        n--;
    return n;
}

static bool is_end(const char *line, size_t len) {
    static const char end[] = "end-of-candidates";
    if (len >= 2 && line[0] == 'a' && line[1] == '=') {
        line += 2;
        len -= 2;
    }
    return len == 0 || (len == sizeof end - 1 && memcmp(line, end, len) == 0);
}

enum bk_err bk_ice_add_remote_candidate(struct bk_ice *ice, uint16_t stream, const char *line,
                                        struct bk_time now) {
    struct sdp_candidate c;
    size_t len = line_length(line);
    (void)agent_see(ice, now);
    if (is_end(line, len)) {
        end_of_candidates(ice);
        agent_turn(ice, now);
        return BK_OK;
    }
    enum bk_err err = sdp_read_candidate(line, len, &c);
    if (err == BK_OK)
        err = add_candidate(ice, &c, stream);
    if (err != BK_OK)
        return err;
    agent_relay_permit_all(ice);
    agent_turn(ice, now);
    return BK_OK;
}
