/* SPDX-License-Identifier: MIT
 * links: topology
 * The topology file parser: whatever it takes must be consistent, whatever it refuses must have a
 * reason. The input's first line, too, is tried as a change of the topology, as an override and
 * against the patterns; a leading # keeps it out of the file. */
#include "topology/topology.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

#include <stdint.h>
#include <string.h>

static void check(const struct topology *t) {
    for (size_t i = 0; i < t->node_count; i++) {
        const struct topology_node *n = &t->nodes[i];
        bk_assert(topology_find(t, n->name) == (int)i);
        bk_assert(n->parent == TOPOLOGY_NOWHERE || t->nodes[n->parent].kind == TOPOLOGY_NAT);
        for (size_t a = 0; a < n->address_count; a++)
            bk_assert(n->address[a].bits <= 128);
    }
    for (size_t i = 0; i < t->step_count; i++) {
        const struct topology_step *s = &t->steps[i];
        bool runs = s->kind == TOPOLOGY_RUN || s->kind == TOPOLOGY_START;
        bool about_hosts = runs || s->kind == TOPOLOGY_SERVE || s->kind == TOPOLOGY_MEET;
        bk_assert(!about_hosts || t->nodes[s->host].kind == TOPOLOGY_HOST);
        bk_assert(s->kind != TOPOLOGY_MEET || t->nodes[s->other].kind == TOPOLOGY_HOST);
        bk_assert(!runs || s->text != NULL);
        if (s->kind == TOPOLOGY_DO && s->change.kind == TOPOLOGY_FLAP)
            bk_assert(topology_flap_is_down(&s->change, 0, 0));
    }
}

static void first_line(const uint8_t *data, size_t size, char *out, size_t cap) {
    size_t len = 0;
    if (size > 0 && data[0] == '#') { /* a comment to the file, a command here */
        data++;
        size--;
    }
    while (len < size && len + 1 < cap && data[len] != '\n' && data[len] != '\0') {
        out[len] = (char)data[len];
        len++;
    }
    out[len] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct topology t;
    struct topology_error error;
    struct topology_change change;
    char line[256];
    if (topology_parse((const char *)data, size, &t, &error) != BK_OK) {
        bk_assert(error.text[0] != '\0');
        return 0;
    }
    check(&t);
    first_line(data, size, line, sizeof line);
    if (topology_parse_change(&t, line, &change, &error) == BK_OK)
        bk_assert(change.node < (int)t.node_count);
    for (size_t i = 0; i < t.step_count; i++)
        if (t.steps[i].kind == TOPOLOGY_WAIT)
            (void)topology_match(t.steps[i].text, line, NULL, NULL);
    if (topology_override(&t, line, &error) == BK_OK)
        check(&t);
    if (topology_spell_out(&t) == BK_OK)
        for (size_t i = 0; i < t.step_count; i++)
            bk_assert(t.steps[i].kind != TOPOLOGY_SERVE && t.steps[i].kind != TOPOLOGY_MEET);
    topology_fini(&t);
    return 0;
}
