/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/assert.h"

#include <string.h>

enum bk_err heap_init(struct heap *h, size_t capacity, const struct bk_alloc *alloc) {
    struct heap made = {.capacity = capacity, .alloc = *alloc};
    made.nodes = alloc->get(alloc->ctx, capacity * sizeof *made.nodes);
    made.place = alloc->get(alloc->ctx, capacity * sizeof *made.place);
    if (made.nodes == NULL || made.place == NULL) {
        alloc->put(alloc->ctx, made.nodes);
        alloc->put(alloc->ctx, made.place);
        return BK_ERR_NO_MEMORY;
    }
    *h = made;
    return BK_OK;
}

void heap_fini(struct heap *h) {
    if (h->nodes != NULL) {
        h->alloc.put(h->alloc.ctx, h->nodes);
        h->alloc.put(h->alloc.ctx, h->place);
    }
    memset(h, 0, sizeof *h);
}

static bool sooner(const struct heap_node *a, const struct heap_node *b) {
    return a->when.us != b->when.us ? a->when.us < b->when.us : a->order < b->order;
}

static void put_at(struct heap *h, size_t i, struct heap_node node) {
    h->nodes[i] = node;
    h->place[node.id] = (uint32_t)i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node node) {
    while (i > 0 && sooner(&node, &h->nodes[(i - 1) / 2])) {
        put_at(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(h, i, node);
}

static void sift_down(struct heap *h, size_t i, struct heap_node node) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && sooner(&h->nodes[child + 1], &h->nodes[child]))
            child++;
        if (!sooner(&h->nodes[child], &node))
            break;
        put_at(h, i, h->nodes[child]);
        i = child;
    }
    put_at(h, i, node);
}

static void remove_at(struct heap *h, size_t i) {
    struct heap_node last = h->nodes[--h->count];
    h->place[h->nodes[i].id] = 0;
    if (i == h->count)
        return;
    if (i > 0 && sooner(&last, &h->nodes[(i - 1) / 2]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

void heap_set(struct heap *h, uint32_t id, struct bk_time when) {
    bk_assert(id < h->capacity);
    if (h->place[id] != 0)
        remove_at(h, h->place[id] - 1);
    if (bk_is_never(when))
        return;
    struct heap_node node = {.when = when, .order = h->next_order++, .id = id};
    h->count++;
    sift_up(h, h->count - 1, node);
}

struct bk_time heap_earliest(const struct heap *h) {
    return h->count == 0 ? BK_NEVER : h->nodes[0].when;
}

bool heap_take_due(struct heap *h, struct bk_time now, uint32_t *id) {
    if (!bk_due(heap_earliest(h), now))
        return false;
    *id = h->nodes[0].id;
    remove_at(h, 0);
    return true;
}
