/* SPDX-License-Identifier: MIT */
#include "sim/meeting.h"

#include "sim/duo.h"

const struct meeting_config meeting_config_default = {.seed = 1, .wait_us = 25 * BK_US_PER_S};

enum { LINK_US = 20000 /* of each home; so 40 ms from peer to peer */, STEP_US = 100000 };

static bool has_given_up(const struct duo_side *side) {
    struct session_path path;
    if (side->session == NULL)
        return false;
    session_path(side->session, &path);
    return !path.direct && path.why != WHY_CHECKING;
}

static bool run(struct duo *d, int64_t wait_us, struct meeting_outcome *out) {
    for (int64_t t = 0; t < wait_us; t += STEP_US) {
        if (duo_run_until_direct(d, STEP_US))
            return true;
        out->over = has_given_up(&d->a) && has_given_up(&d->b);
        if (out->over)
            return false;
    }
    return false;
}

static void look(const struct duo *d, struct meeting_outcome *out) {
    const struct duo_side *sides[] = {&d->a, &d->b};
    for (int i = 0; i < 2; i++) {
        struct story story;
        if (sides[i]->session == NULL)
            continue;
        session_story(sides[i]->session, &story);
        out->probes[i] = story.probes;
        if (i == 0 || story.method > out->method)
            out->method = story.method; /* the side that was hit may not know by what */
    }
    if (out->direct && !bk_is_never(d->a.exchanged) && !bk_is_never(d->b.exchanged))
        out->direct_us = bk_elapsed_us(bk_later(d->a.exchanged, d->b.exchanged),
                                       bk_later(d->a.direct, d->b.direct));
    if (!bk_is_never(d->a.first_byte))
        out->first_byte_us = bk_elapsed_us(d->a.started, d->a.first_byte);
}

enum bk_err meeting_run(const struct meeting_config *config, const struct bk_alloc *alloc,
                        struct meeting_outcome *out) {
    struct duo_config c = duo_config_default;
    struct duo d;
    c.seed = config->seed;
    c.box_a = &config->nat[0];
    c.box_b = &config->nat[1];
    c.surveyed = true;
    c.link = (struct world_link){.delay_us = LINK_US, .loss_ppm = config->loss_ppm};
    c.signal_hold_us = config->skew_us;
    *out = (struct meeting_outcome){.direct = false};
    enum bk_err err = duo_init(&d, &c, alloc);
    if (err == BK_OK) {
        out->direct = run(&d, config->wait_us, out);
        look(&d, out);
    }
    duo_fini(&d);
    return err;
}
