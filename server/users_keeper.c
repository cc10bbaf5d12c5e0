/* SPDX-License-Identifier: MIT */
#include "server/users_keeper.h"

#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/names.h"
#include "server/log.h"
#include <stdio.h>
#include <string.h>

#define POLL_US BK_US_PER_S

static enum bk_err say(char *reason, enum bk_err err, const char *what, const char *why) {
    snprintf(reason, SERVER_TEXT_MAX, "%.300s: %.600s", what, why);
    return err;
}

struct filling {
    struct users_book *book;
    enum bk_err err;
};

/* Who is in the options, too, is as the options say; a name that is none is left out. */
static bool add_row(void *ctx, const struct users_row *row) {
    struct filling *f = ctx;
    enum bk_err err = users_book_add(f->book, row->name, &row->entry);
    if (err != BK_OK && err != BK_ERR_EXISTS && err != BK_ERR_ARGUMENT)
        f->err = err;
    return f->err == BK_OK;
}

static enum bk_err add_static(struct users_book *b, const struct turn_options *o, char *reason) {
    for (size_t i = 0; i < o->users.count; i++) {
        const struct server_user *u = &o->users.list[i];
        struct users_entry entry;
        enum bk_err err = users_entry_make(u->name, o->realm.text, u->password, &entry);
        if (err == BK_OK)
            err = users_book_add(b, u->name, &entry);
        wipe(&entry, sizeof entry);
        if (err == BK_ERR_EXISTS)
            return say(reason, err, "turn-user", "the same name twice");
        if (err != BK_OK)
            return say(reason, err, "turn-user", "a name or password that is no text");
    }
    for (size_t i = 0; i < o->secrets.count; i++) {
        enum bk_err err = users_book_add_secret(b, o->secrets.list[i]);
        if (err != BK_OK)
            return say(reason, err, "turn-secret", bk_err_text(err));
    }
    return BK_OK;
}

/* `db` may be NULL. */
static enum bk_err make_book(const struct turn_options *o, struct users_db *db,
                             struct users_book **out, char *reason) {
    struct bk_rng rng = box_rng();
    uint32_t kept = 0;
    enum bk_err err = db == NULL ? BK_OK : users_db_count(db, o->realm.text, &kept, reason);
    if (err != BK_OK)
        return err;
    struct filling f = {NULL, BK_OK};
    err =
        users_book_new(o->realm.text, kept + (uint32_t)o->users.count, &rng, net_alloc(), &f.book);
    if (err != BK_OK)
        return say(reason, err, "users", bk_err_text(err));
    err = add_static(f.book, o, reason);
    if (err == BK_OK && db != NULL)
        err = users_db_each(db, o->realm.text, add_row, &f, reason);
    if (err == BK_OK && f.err != BK_OK && f.err != BK_ERR_FULL) /* full: one came just now */
        err = say(reason, f.err, "users", bk_err_text(f.err));
    if (err == BK_OK)
        *out = f.book;
    else
        users_book_unref(f.book);
    return err;
}

static enum bk_err open_db(const struct turn_options *o, struct users_db **out, char *reason) {
    char why[USERS_DB_REASON_MAX] = "";
    *out = NULL;
    if (o->users_db.text[0] == '\0')
        return BK_OK;
    enum bk_err err = users_db_open(o->users_db.text, false, out, why);
    return err == BK_OK ? BK_OK : say(reason, err, o->users_db.text, why);
}

static void use(struct users_keeper *k, struct users_book *book) {
    users_book_unref(k->book);
    k->book = book;
    for (size_t i = 0; i < k->count; i++)
        users_seat_give(&k->seats[i], book);
}

/* The version is read first: a change between the two reads is seen again. */
static void on_poll(void *ctx, struct bk_time now) {
    struct users_keeper *k = ctx;
    char reason[SERVER_TEXT_MAX] = "";
    struct users_book *book;
    struct log_line l;
    net_timer_set(&k->poll, bk_after(now, POLL_US));
    uint64_t version = users_db_version(k->db);
    if (version == k->version || version == 0)
        return;
    k->version = version;
    if (make_book(k->options, k->db, &book, reason) != BK_OK) {
        log_event(LOG_ERROR, "users_failed", "reason", reason);
        return;
    }
    use(k, book);
    log_begin(&l, LOG_INFO, LOG_ALWAYS, "users");
    log_number(&l, "count", users_book_count(book));
    log_end(&l);
}

static void watch(struct users_keeper *k) {
    struct bk_time now = net_now(k->poll.loop);
    net_timer_set(&k->poll, k->db == NULL ? BK_NEVER : bk_after(now, POLL_US));
}

enum bk_err users_keeper_start(struct users_keeper *k, struct net_loop *loop,
                               const struct turn_options *options, size_t workers, char *reason) {
    memset(k, 0, sizeof *k);
    k->options = options;
    net_timer_init(&k->poll, loop, on_poll, k);
    enum bk_err err = open_db(options, &k->db, reason);
    if (err != BK_OK)
        return err;
    k->version = k->db == NULL ? 0 : users_db_version(k->db);
    err = make_book(options, k->db, &k->book, reason);
    if (err != BK_OK)
        return err;
    for (size_t i = 0; i < workers; i++)
        users_seat_init(&k->seats[i], k->book);
    k->count = workers;
    watch(k);
    return BK_OK;
}

/* ---- --users-url ----------------------------------------------------------------------------- */

/* The system's CAs may be out of reach later: what was read once is kept. */
static enum bk_err read_url(struct users_keeper *k, const struct turn_options *o,
                            struct users_url *url, char *reason) {
    char why[NET_REASON_MAX] = "";
    *url = (struct users_url){.port = 0};
    if (o->users_url.text[0] == '\0')
        return BK_OK;
    enum bk_err err = users_url_parse(o->users_url.text, url);
    if (err == BK_OK && url->tls && k->tls == NULL)
        err = net_tls_client_new(&net_tls_client_config_default, &k->tls, why);
    return err == BK_OK ? BK_OK : say(reason, err, "users-url", why[0] ? why : bk_err_text(err));
}

static enum bk_err make_targets(struct users_keeper *k, const struct users_url *url,
                                struct users_target *out[SERVER_WORKERS_MAX], char *reason) {
    for (size_t i = 0; i < k->count; i++) {
        out[i] = users_target_new(url, url->tls ? k->tls : NULL);
        if (out[i] != NULL)
            continue;
        while (i-- > 0)
            users_target_free(out[i]);
        return say(reason, BK_ERR_NO_MEMORY, "users-url", "out of memory");
    }
    return BK_OK;
}

enum bk_err users_keeper_hook(struct users_keeper *k, size_t i, struct net_loop *loop,
                              char *reason) {
    struct users_url url;
    enum bk_err err = read_url(k, k->options, &url, reason);
    if (err != BK_OK)
        return err;
    if (url.is_name && i == 0 && !net_names_prepare(url.host))
        log_event(LOG_WARN, "users_url", "reason",
                  "the host's name cannot be looked up, as of now");
    struct users_target *target = users_target_new(&url, url.tls ? k->tls : NULL);
    err = target == NULL ? BK_ERR_NO_MEMORY
                         : users_hook_new(loop, k->options->realm.text, &k->seats[i].hook);
    if (err == BK_OK) {
        users_seat_aim(&k->seats[i], target);
        return BK_OK;
    }
    users_target_free(target);
    return say(reason, err, "users-url", bk_err_text(err));
}

void users_keeper_unhook(struct users_keeper *k) {
    for (size_t i = 0; i < k->count; i++) {
        users_hook_free(k->seats[i].hook);
        k->seats[i].hook = NULL;
    }
}

void users_keeper_stop(struct users_keeper *k) {
    if (k->book == NULL)
        return;
    net_timer_set(&k->poll, BK_NEVER);
    for (size_t i = 0; i < k->count; i++)
        users_seat_fini(&k->seats[i]);
    users_book_unref(k->book);
    users_db_close(k->db);
    net_tls_unref(k->tls);
    k->tls = NULL;
    k->book = NULL;
}

static enum bk_err reload_book(struct users_keeper *k, const struct turn_options *options,
                               char *reason) {
    struct users_book *book;
    struct users_db *db = k->db;
    /* One whose name is the same stays open: its folder may be out of reach by now. */
    bool same = strcmp(options->users_db.text, k->options->users_db.text) == 0;
    enum bk_err err = same ? BK_OK : open_db(options, &db, reason);
    if (err != BK_OK)
        return err;
    uint64_t version = db == NULL ? 0 : users_db_version(db);
    err = make_book(options, db, &book, reason);
    if (err != BK_OK) {
        if (!same)
            users_db_close(db);
        return err;
    }
    if (!same)
        users_db_close(k->db);
    k->db = db;
    k->version = version;
    use(k, book);
    return BK_OK;
}

enum bk_err users_keeper_reload(struct users_keeper *k, const struct turn_options *options,
                                char *reason) {
    struct users_target *targets[SERVER_WORKERS_MAX] = {NULL};
    struct users_url url;
    bool same = strcmp(options->users_url.text, k->options->users_url.text) == 0;
    enum bk_err err = read_url(k, options, &url, reason);
    if (err == BK_OK && !same)
        err = make_targets(k, &url, targets, reason);
    if (err != BK_OK)
        return err;
    err = reload_book(k, options, reason);
    for (size_t i = 0; !same && i < k->count; i++) {
        if (err == BK_OK)
            users_seat_aim(&k->seats[i], targets[i]);
        else
            users_target_free(targets[i]);
    }
    if (err != BK_OK)
        return err;
    k->options = options;
    watch(k);
    return BK_OK;
}

struct turn_users users_keeper_source(struct users_keeper *k, size_t i) {
    return users_seat_source(&k->seats[i]);
}

enum bk_err users_keeper_try(const struct turn_options *options, size_t *count, char *reason) {
    struct users_db *db;
    struct users_book *book;
    enum bk_err err = open_db(options, &db, reason);
    if (err == BK_OK)
        err = make_book(options, db, &book, reason);
    users_db_close(db);
    if (err != BK_OK)
        return err;
    *count = users_book_count(book);
    users_book_unref(book);
    return BK_OK;
}
