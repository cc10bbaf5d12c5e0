/* SPDX-License-Identifier: MIT
 * The actors: a cache of answers, found by the hash of name and realm, the addresses of the host
 * that is asked, and a few asks under way, each with a connection of its own, which ends with the
 * answer. An ask waits for the addresses, tries one after the other, and ends in finish(), whoever
 * ends it: the parser, the stream, the timer. */
#include "server/users_hook.h"

#include "base/table.h"
#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/stream.h"
#include "server/log.h"
#include "server/users_host.h"
#include <cjson/cJSON.h>
#include <http_parser.h>
#include <stdio.h>
#include <string.h>

enum {
    ANSWERS_MAX = 4096,
    ASKS_MAX = 64,
    BODY_MAX = 4096,
    REQUEST_MAX = 2560,
    ASK_US = 3000000,    /* then there is no such user, */
    UNKNOWN_US = 5000000 /* for so long */
};

struct answer {
    uint8_t hash[STUN_USERHASH_LEN];
    bool used, known;
    struct bk_time until;
    struct users_entry entry;
};

struct ask {
    struct users_hook *hook;
    struct net_stream *stream; /* NULL: waits for the host's addresses */
    struct net_timer timer;    /* off: this ask is free */
    size_t address;            /* which of the host's is tried */
    bool opened;
    char from[BK_ADDR_TEXT_MAX]; /* the client's */
    http_parser parser;
    char name[STUN_USER_MAX + 1];
    uint8_t hash[STUN_USERHASH_LEN];
    char body[BODY_MAX];
    size_t len;
    bool whole;
};

struct users_hook {
    struct net_loop *loop;
    struct users_target *target; /* NULL: nobody is asked */
    struct users_host host;
    char realm[STUN_USER_MAX];
    struct table index; /* hash -> answers */
    struct answer *answers;
    uint32_t hand; /* the next to make room */
    struct ask *asks;
    void (*answered)(void *ctx);
    void *ctx;
};

static const http_parser_settings settings;

/* ---- The cache ------------------------------------------------------------------------------ */

static void remember(struct users_hook *h, const struct answer *a) {
    uint32_t at;
    if (!table_get(&h->index, a->hash, &at)) {
        at = h->hand;
        h->hand = (h->hand + 1) % ANSWERS_MAX;
        if (h->answers[at].used)
            (void)table_remove(&h->index, h->answers[at].hash);
        if (table_put(&h->index, a->hash, at) != BK_OK)
            return; /* cannot be: as many places as answers */
    }
    h->answers[at] = *a;
}

static const struct answer *recall(const struct users_hook *h,
                                   const uint8_t hash[STUN_USERHASH_LEN]) {
    uint32_t at;
    if (!table_get(&h->index, hash, &at) || bk_due(h->answers[at].until, net_now(h->loop)))
        return NULL;
    return &h->answers[at];
}

/* ---- An ask --------------------------------------------------------------------------------- */

static void say(const char *reason) {
    struct log_line l;
    log_begin(&l, LOG_WARN, LOG_USERS_URL, "users_url");
    log_text(&l, "reason", reason);
    log_end(&l);
}

static void finish(struct ask *k, const char *failure) {
    struct users_hook *h = k->hook;
    struct bk_time now = net_now(h->loop);
    struct answer a = {.used = true, .until = bk_after(now, UNKNOWN_US)};
    int64_t ttl_s = 0;
    memcpy(a.hash, k->hash, sizeof a.hash);
    if (failure != NULL) {
        say(failure);
    } else if (k->parser.status_code == 200) {
        a.known = users_hook_read(k->body, k->len, k->name, h->realm, &a.entry, &ttl_s) == BK_OK;
        if (a.known)
            a.until = bk_after(now, ttl_s * BK_US_PER_S);
        else
            say("the answer is not understood");
    }
    net_timer_set(&k->timer, BK_NEVER);
    net_stream_close(k->stream);
    k->stream = NULL;
    wipe(k->body, sizeof k->body);
    remember(h, &a);
    wipe(&a, sizeof a);
    if (h->answered != NULL)
        h->answered(h->ctx);
}

static int on_body(http_parser *p, const char *at, size_t len) {
    struct ask *k = p->data;
    if (len > sizeof k->body - k->len)
        return 1;
    memcpy(k->body + k->len, at, len);
    k->len += len;
    return 0;
}

static int on_complete(http_parser *p) {
    struct ask *k = p->data;
    k->whole = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void feed(struct ask *k, const uint8_t *data, size_t len) {
    size_t used = http_parser_execute(&k->parser, &settings, (const char *)data, len);
    if (k->whole)
        finish(k, NULL);
    else if (used != len)
        finish(k, "the answer is not HTTP, or too long");
}

/* RFC 9110 section 7.2. */
static void put_host(const struct users_url *url, char out[USERS_URL_HOST_MAX + 16]) {
    bool brackets = strchr(url->host, ':') != NULL;
    bool usual = url->port == (url->tls ? 443 : 80);
    int len = snprintf(out, USERS_URL_HOST_MAX + 2, brackets ? "[%s]" : "%s", url->host);
    if (!usual && len > 0)
        snprintf(out + len, 8, ":%u", (unsigned)url->port);
}

static void on_open(void *ctx) {
    struct ask *k = ctx;
    const struct users_url *url = &k->hook->target->url;
    char host[USERS_URL_HOST_MAX + 16];
    put_host(url, host);
    k->opened = true;
    char request[REQUEST_MAX];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "user", k->name);
    cJSON_AddStringToObject(o, "realm", k->hook->realm);
    cJSON_AddStringToObject(o, "address", k->from);
    char *body = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    int len = body == NULL ? -1
                           : snprintf(request, sizeof request,
                                      "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                                      "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                                      "\r\n%s",
                                      url->path, host, strlen(body), body);
    cJSON_free(body);
    if (len < 0 || (size_t)len >= sizeof request ||
        net_stream_write(k->stream, request, (size_t)len) != BK_OK)
        finish(k, "the question cannot be sent");
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    feed(ctx, data, len);
}

static bool start(struct ask *k);

/* An answer without a length ends with the connection. */
static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct ask *k = ctx;
    k->stream = NULL;
    if (!k->opened && err != BK_ERR_AUTH && k->address + 1 < k->hook->host.count) {
        k->address++;
        if (!start(k))
            finish(k, "no connection can be made");
        return;
    }
    if (err == BK_OK || err == BK_ERR_CLOSED)
        (void)http_parser_execute(&k->parser, &settings, NULL, 0);
    finish(k, k->whole ? NULL : reason);
}

static void on_late(void *ctx, struct bk_time now) {
    (void)now;
    finish(ctx, "no answer in time");
}

static bool is_under_way(const struct ask *k) {
    return !bk_is_never(k->timer.deadline);
}

/* To the address at hand. false: no memory. */
static bool start(struct ask *k) {
    static const struct net_stream_events events = {on_open, on_bytes, NULL, NULL, on_close};
    struct net_stream_config config = net_stream_config_default;
    struct users_hook *h = k->hook;
    config.open_timeout_us = ASK_US;
    config.tls = h->target->tls;
    config.server_name = h->target->url.host;
    return net_stream_connect_addr(h->loop, &h->host.addrs[k->address], &config, &events, k,
                                   &k->stream) == BK_OK;
}

/* The host's addresses are known, or will not be. */
static void on_known(void *ctx) {
    struct users_hook *h = ctx;
    for (size_t i = 0; i < ASKS_MAX; i++) {
        struct ask *k = &h->asks[i];
        if (!is_under_way(k) || k->stream != NULL)
            continue;
        if (h->host.count == 0)
            finish(k, "the host's name cannot be looked up");
        else if (!start(k))
            finish(k, "no connection can be made");
    }
}

/* false: too many are, or nobody can be asked. */
static bool ask(struct users_hook *h, const char *name, const uint8_t hash[STUN_USERHASH_LEN],
                const struct bk_ip *from) {
    struct ask *k = NULL;
    enum bk_err err;
    if (h->target == NULL)
        return false;
    for (size_t i = 0; i < ASKS_MAX; i++) {
        if (is_under_way(&h->asks[i]) && memcmp(h->asks[i].hash, hash, STUN_USERHASH_LEN) == 0)
            return true;
        if (k == NULL && !is_under_way(&h->asks[i]))
            k = &h->asks[i];
    }
    if (k == NULL)
        return false;
    k->len = k->address = 0;
    k->opened = false;
    k->whole = false;
    memcpy(k->name, name, strlen(name) + 1);
    memcpy(k->hash, hash, sizeof k->hash);
    http_parser_init(&k->parser, HTTP_RESPONSE);
    k->parser.data = k;
    bk_ip_format(from, k->from);
    bool known = users_host_ask(&h->host, &err);
    if (known ? !start(k) : err != BK_OK)
        return false;
    net_timer_set(&k->timer, bk_after(net_now(h->loop), ASK_US));
    return true;
}

enum turn_found users_hook_find(struct users_hook *h, const char *name,
                                const struct stun_claim *claim, struct turn_user *out) {
    uint8_t hash[STUN_USERHASH_LEN];
    stun_userhash(name, h->realm, hash);
    const struct answer *a = recall(h, hash);
    if (a == NULL)
        return ask(h, name, hash, &claim->from) ? TURN_USER_LATER : TURN_USER_UNKNOWN;
    return a->known && users_entry_use(&a->entry, users_id(name, h->realm), claim, out)
               ? TURN_USER_FOUND
               : TURN_USER_UNKNOWN;
}

/* ---- Life ----------------------------------------------------------------------------------- */

enum bk_err users_hook_new(struct net_loop *loop, const char *realm, struct users_hook **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct bk_rng rng = box_rng();
    if (strlen(realm) >= sizeof(*out)->realm)
        return BK_ERR_ARGUMENT;
    struct users_hook *h = alloc->get(alloc->ctx, sizeof *h);
    if (h == NULL)
        return BK_ERR_NO_MEMORY;
    h->loop = loop;
    users_host_init(&h->host, loop, on_known, h);
    memcpy(h->realm, realm, strlen(realm) + 1);
    h->answers = alloc->get(alloc->ctx, ANSWERS_MAX * sizeof *h->answers);
    h->asks = alloc->get(alloc->ctx, ASKS_MAX * sizeof *h->asks);
    enum bk_err err = table_init(&h->index, STUN_USERHASH_LEN, ANSWERS_MAX, &rng, alloc);
    if (err != BK_OK || h->answers == NULL || h->asks == NULL) {
        alloc->put(alloc->ctx, h->asks);
        h->asks = NULL;
        users_hook_free(h);
        return BK_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < ASKS_MAX; i++) {
        h->asks[i].hook = h;
        net_timer_init(&h->asks[i].timer, loop, on_late, &h->asks[i]);
    }
    *out = h;
    return BK_OK;
}

static void stop_asking(struct users_hook *h) {
    for (size_t i = 0; h->asks != NULL && i < ASKS_MAX; i++) {
        net_timer_set(&h->asks[i].timer, BK_NEVER);
        net_stream_close(h->asks[i].stream);
        h->asks[i].stream = NULL;
    }
}

void users_hook_aim(struct users_hook *h, struct users_target *target) {
    const bool nobody = target->url.host[0] == '\0';
    stop_asking(h);
    for (uint32_t i = 0; i < ANSWERS_MAX; i++)
        if (h->answers[i].used)
            (void)table_remove(&h->index, h->answers[i].hash);
    wipe(h->answers, ANSWERS_MAX * sizeof *h->answers);
    users_target_free(h->target);
    h->target = nobody ? NULL : target;
    users_host_set(&h->host, &target->url);
    if (nobody)
        users_target_free(target);
}

void users_hook_free(struct users_hook *h) {
    const struct bk_alloc *alloc = net_alloc();
    if (h == NULL)
        return;
    stop_asking(h);
    users_host_fini(&h->host);
    users_target_free(h->target);
    table_fini(&h->index);
    if (h->answers != NULL)
        wipe(h->answers, ANSWERS_MAX * sizeof *h->answers);
    alloc->put(alloc->ctx, h->answers);
    alloc->put(alloc->ctx, h->asks);
    alloc->put(alloc->ctx, h);
}

void users_hook_on_answer(struct users_hook *h, void (*answered)(void *ctx), void *ctx) {
    h->answered = answered;
    h->ctx = ctx;
}
