/* SPDX-License-Identifier: MIT
 * A slab is SLAB bytes at a multiple of SLAB, so that a block's address tells its slab; what is too
 * large for one has a mapping of its own, with the same head. Slabs with room are in a list for
 * each size. One empty slab of a size is kept, the others are given back. */
#define _GNU_SOURCE /* NOLINT: mmap() of nothing is not POSIX */
#include "run/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLAB = 131072,
    GRAIN = 32, /* sizes are multiples of this, ... */
    FINE_MAX = 4096,
    COARSE_GRAIN = 1024, /* ... or, from FINE_MAX on, of this */
    SMALL_MAX = 32768,
    FINE = FINE_MAX / GRAIN,
    SIZES = FINE + SMALL_MAX / COARSE_GRAIN + 1,
    PAGE = 65536, /* the largest there are; only what is used is memory */
    HEAD = 64
};

struct block {
    struct block *next;
};

struct slab {
    struct slab *next, *prev; /* in its list, while it has room */
    struct block *free;       /* those that were used before, zeroed but for `next` */
    size_t length;            /* of the mapping */
    uint32_t size;            /* of each block; 0: one large block */
    uint32_t used, fresh;     /* blocks in use; offset of the first one that never was */
};

_Static_assert(sizeof(struct slab) <= HEAD, "a slab's head has its place");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct slab *roomy[SIZES];
static size_t held;

/* `length` bytes at a multiple of SLAB; NULL: none. */
static void *map(size_t length) {
    size_t whole = length + SLAB;
    uint8_t *at = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = (SLAB - (uintptr_t)at % SLAB) % SLAB, after = whole - before - length;
    if (before > 0)
        (void)munmap(at, before);
    if (after > 0)
        (void)munmap(at + before + length, after);
    held += length;
    return at + before;
}

static void unmap(struct slab *s) {
    held -= s->length;
    (void)munmap(s, s->length);
}

static void list_add(struct slab **list, struct slab *s) {
    s->prev = NULL;
    s->next = *list;
    if (s->next != NULL)
        s->next->prev = s;
    *list = s;
}

static void list_remove(struct slab **list, struct slab *s) {
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        *list = s->next;
}

static struct slab **list_of(uint32_t size) {
    return &roomy[size <= FINE_MAX ? size / GRAIN : FINE + size / COARSE_GRAIN];
}

static bool has_room(const struct slab *s) {
    return s->free != NULL || s->fresh + s->size <= SLAB;
}

static struct slab *new_slab(uint32_t size) {
    struct slab *s = map(SLAB);
    if (s == NULL)
        return NULL;
    s->length = SLAB;
    s->size = size;
    s->fresh = HEAD;
    list_add(list_of(size), s);
    return s;
}

static void *take_block(struct slab *s) {
    void *at = s->free;
    if (at != NULL) {
        s->free = s->free->next;
        memset(at, 0, s->size);
    } else {
        at = (uint8_t *)s + s->fresh;
        s->fresh += s->size;
    }
    s->used++;
    if (!has_room(s))
        list_remove(list_of(s->size), s);
    return at;
}

static void *get_small(size_t size) {
    size_t grain = size <= FINE_MAX ? GRAIN : COARSE_GRAIN;
    uint32_t whole = (uint32_t)((size + grain - 1) / grain * grain);
    struct slab *s = *list_of(whole);
    if (s == NULL)
        s = new_slab(whole);
    return s == NULL ? NULL : take_block(s);
}

static void *get_large(size_t size) {
    size_t pages = (size + HEAD + PAGE - 1) / PAGE * PAGE;
    struct slab *s = size > SIZE_MAX - 2 * (size_t)SLAB ? NULL : map(pages);
    if (s == NULL)
        return NULL;
    s->length = pages;
    return (uint8_t *)s + HEAD;
}

static void put_block(struct slab *s, void *at) {
    struct slab **list = list_of(s->size);
    struct block *b = at;
    if (!has_room(s))
        list_add(list, s);
    b->next = s->free;
    s->free = b;
    if (--s->used > 0 || (s->next == NULL && s->prev == NULL))
        return;
    list_remove(list, s);
    unmap(s);
}

static void *get(void *ctx, size_t size) {
    (void)ctx;
    pthread_mutex_lock(&lock);
    void *at = size <= SMALL_MAX ? get_small(size == 0 ? 1 : size) : get_large(size);
    pthread_mutex_unlock(&lock);
    return at;
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    if (memory == NULL)
        return;
    struct slab *s = (void *)((uint8_t *)memory - (uintptr_t)memory % SLAB);
    pthread_mutex_lock(&lock);
    if (s->size == 0)
        unmap(s);
    else
        put_block(s, memory);
    pthread_mutex_unlock(&lock);
}

const struct bk_alloc *pool_alloc(void) {
    static const struct bk_alloc alloc = {get, put, NULL};
    return &alloc;
}

size_t pool_held(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = held;
    pthread_mutex_unlock(&lock);
    return bytes;
}
