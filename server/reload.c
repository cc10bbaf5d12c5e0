/* SPDX-License-Identifier: MIT */
#include "server/server_int.h"

void server_reload(struct server *s) {
    struct net_tls *tls;
    char reason[SERVER_TEXT_MAX];
    if (s->options->cert.text[0] == '\0') {
        log_event(LOG_INFO, "reload", "certificate", "self-signed, nothing to read again");
        return;
    }
    if (server_load_tls(s, &tls, reason) != BK_OK) {
        log_event(LOG_ERROR, "reload_failed", "reason", reason);
        return;
    }
    server_use_tls(s, tls);
    log_event(LOG_INFO, "reload", "certificate", s->options->cert.text);
}
