/* SPDX-License-Identifier: MIT */
#include "server/turn_board.h"

#include "server/metrics.h"
#include "server/users_rest.h"
#include <string.h>

enum {
    LINES = 8, /* of each list */
    MERGED_MAX = 256,
    LABELS_MAX = 512
};

enum bk_err turn_board_init(struct turn_board *b, const char *realm) {
    struct text t = text_in(b->realm, sizeof b->realm);
    text_str(&t, realm);
    return pthread_mutex_init(&b->lock, NULL) == 0 ? BK_OK : BK_ERR_NO_MEMORY;
}

void turn_board_fini(struct turn_board *b) {
    pthread_mutex_destroy(&b->lock);
}

void turn_board_put(struct turn_board *b, const struct turn_top *top) {
    pthread_mutex_lock(&b->lock);
    b->top = *top;
    pthread_mutex_unlock(&b->lock);
}

/* ---- Several workers' ------------------------------------------------------------------------ */

struct merged {
    struct turn_top_user users[MERGED_MAX];
    uint32_t count;
};

static void merge_user(struct merged *m, const struct turn_top_user *user) {
    uint32_t i = 0;
    while (i < m->count && m->users[i].id != user->id)
        i++;
    if (i == MERGED_MAX)
        return;
    if (i == m->count) {
        m->users[m->count++] = *user;
        return;
    }
    struct turn_top_user *known = &m->users[i];
    known->bytes += user->bytes;
    known->lately += user->lately;
    known->allocations += user->allocations;
    if (known->name[0] == '\0')
        memcpy(known->name, user->name, sizeof known->name);
}

static void merge(struct merged *m, struct metrics *const *sets, size_t count, bool bytes) {
    m->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct turn_board *b = sets[i]->board;
        if (b == NULL)
            continue;
        pthread_mutex_lock(&b->lock);
        const struct turn_top_list *list = bytes ? &b->top.by_bytes : &b->top.by_allocations;
        for (uint32_t k = 0; k < list->count; k++)
            merge_user(m, &list->users[k]);
        pthread_mutex_unlock(&b->lock);
    }
}

/* ---- As text --------------------------------------------------------------------------------- */

static void put_escaped(struct text *out, const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\' || s[i] == '"')
            text_char(out, '\\');
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            text_char(out, '?');
        else
            text_char(out, s[i]);
    }
}

/* Without the last character, if that was cut in half: UTF-8. */
static size_t whole_characters(const char *s, size_t len) {
    size_t at = len;
    while (at > 0 && ((unsigned char)s[at - 1] & 0xc0) == 0x80)
        at--;
    if (at == 0)
        return 0;
    unsigned char lead = (unsigned char)s[at - 1];
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return len - (at - 1) >= size ? len : at - 1;
}

void turn_board_label(struct text *out, const struct turn_top_user *user, bool ambiguous) {
    struct users_rest rest;
    const char *name = users_rest_parse(user->name, &rest) ? rest.who : user->name;
    bool cut = strlen(user->name) == sizeof user->name - 1;
    put_escaped(out, name, whole_characters(name, strlen(name)));
    if (!cut && !ambiguous && name[0] != '\0')
        return;
    const uint8_t number[4] = {(uint8_t)(user->id >> 24), (uint8_t)(user->id >> 16),
                               (uint8_t)(user->id >> 8), (uint8_t)user->id};
    text_char(out, '#');
    text_hex(out, number, sizeof number);
}

static bool is_ambiguous(const struct turn_top_list *list, uint32_t user) {
    char own[LABELS_MAX], other[LABELS_MAX];
    struct text t = text_in(own, sizeof own);
    turn_board_label(&t, &list->users[user], false);
    for (uint32_t i = 0; i < list->count && i < LINES; i++) {
        t = text_in(other, sizeof other);
        turn_board_label(&t, &list->users[i], false);
        if (i != user && strcmp(own, other) == 0)
            return true;
    }
    return false;
}

static void put_realm(struct text *out, const char *realm) {
    text_str(out, "realm=\"");
    put_escaped(out, realm, strlen(realm));
    text_char(out, '"');
}

static void print_list(struct text *out, const char *name, const char *realm,
                       const struct turn_top_list *list, bool bytes) {
    for (uint32_t i = 0; i < list->count && i < LINES; i++) {
        char labels[LABELS_MAX];
        struct text l = text_in(labels, sizeof labels);
        put_realm(&l, realm);
        text_str(&l, ",user=\"");
        turn_board_label(&l, &list->users[i], is_ambiguous(list, i));
        text_char(&l, '"');
        metrics_print_value(out, name, labels,
                            bytes ? list->users[i].bytes : list->users[i].allocations);
    }
}

static void print_top(struct text *out, struct metrics *const *sets, size_t count,
                      const char *realm, bool bytes) {
    static _Thread_local struct merged merged;
    struct turn_top_list list = {.count = 0};
    const char *name = bytes ? "bodkin_turn_user_bytes" : "bodkin_turn_user_allocations";
    merge(&merged, sets, count, bytes);
    for (uint32_t i = 0; i < merged.count; i++)
        turn_top_add(&list, &merged.users[i], bytes ? turn_top_lately : turn_top_allocations);
    metrics_print_head(out, name,
                       bytes ? "Bytes of live sessions, of the users who relayed most lately."
                             : "Live allocations, of the users who have most.",
                       true);
    print_list(out, name, realm, &list, bytes);
}

static void print_realm(struct text *out, struct metrics *const *sets, size_t count,
                        const char *realm) {
    char labels[LABELS_MAX];
    struct text l = text_in(labels, sizeof labels);
    put_realm(&l, realm);
    metrics_print_head(out, "bodkin_turn_realm_allocations", "Live allocations, by realm.", true);
    metrics_print_value(out, "bodkin_turn_realm_allocations", labels,
                        metrics_sum(sets, count, METRIC_TURN_ALLOCATIONS));
    metrics_print_head(out, "bodkin_turn_realm_bytes_total", "Bytes of data relayed, by realm.",
                       false);
    metrics_print_value(out, "bodkin_turn_realm_bytes_total", labels,
                        metrics_sum(sets, count, METRIC_TURN_BYTES_TO_PEER) +
                            metrics_sum(sets, count, METRIC_TURN_BYTES_TO_CLIENT));
}

void turn_board_print(struct text *out, struct metrics *const *sets, size_t count) {
    if (count == 0 || sets[0]->board == NULL)
        return;
    const char *realm = sets[0]->board->realm;
    print_realm(out, sets, count, realm);
    print_top(out, sets, count, realm, true);
    print_top(out, sets, count, realm, false);
}
