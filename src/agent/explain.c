/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

char *bk_ice_explain(const struct bk_ice *ice, char *out, size_t cap) {
    struct text t = text_in(out, cap);
    text_str(&t, bk_ice_state_text(bk_checker_get_state(ice->checker)));
    return out;
}
