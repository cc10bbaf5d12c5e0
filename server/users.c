/* SPDX-License-Identifier: MIT */
#include "server/users.h"

#include <time.h>

static int64_t wall_clock_s(void) {
    return (int64_t)time(NULL);
}

void users_seat_init(struct users_seat *s, struct users_book *book) {
    s->book = users_book_ref(book);
    atomic_init(&s->fresh, NULL);
    atomic_init(&s->aim, NULL);
    s->hook = NULL;
    s->clock_s = wall_clock_s;
}

void users_seat_fini(struct users_seat *s) {
    users_book_unref(atomic_exchange(&s->fresh, NULL));
    users_target_free(atomic_exchange(&s->aim, NULL));
    users_book_unref(s->book);
    s->book = NULL;
}

void users_seat_give(struct users_seat *s, struct users_book *book) {
    users_book_unref(atomic_exchange(&s->fresh, users_book_ref(book)));
}

void users_seat_aim(struct users_seat *s, struct users_target *target) {
    users_target_free(atomic_exchange(&s->aim, target));
}

static void take_aim(struct users_seat *s) {
    if (atomic_load_explicit(&s->aim, memory_order_relaxed) == NULL)
        return;
    struct users_target *target = atomic_exchange(&s->aim, NULL);
    if (target != NULL)
        users_hook_aim(s->hook, target);
}

static const struct users_book *present(struct users_seat *s) {
    if (atomic_load_explicit(&s->fresh, memory_order_relaxed) == NULL)
        return s->book;
    struct users_book *fresh = atomic_exchange(&s->fresh, NULL);
    if (fresh != NULL) {
        users_book_unref(s->book);
        s->book = fresh;
    }
    return s->book;
}

static enum turn_found find(void *ctx, const struct stun_claim *claim, struct turn_user *out) {
    struct users_seat *s = ctx;
    char name[STUN_USER_MAX + 1];
    enum turn_found found = users_book_find(present(s), claim, s->clock_s(), out);
    if (found != TURN_USER_UNKNOWN || s->hook == NULL || !users_name_of(claim, name))
        return found;
    take_aim(s);
    return users_hook_find(s->hook, name, claim, out);
}

static bool another(void *ctx, const struct stun_claim *claim, unsigned n, struct turn_user *out) {
    struct users_seat *s = ctx;
    return users_book_another(s->book, claim, n, s->clock_s(), out);
}

struct turn_users users_seat_source(struct users_seat *s) {
    const struct turn_users users = {find, another, s};
    return users;
}
