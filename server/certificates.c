/* SPDX-License-Identifier: MIT */
#include "server/server_int.h"

#include "base/text.h"
#include "net/metacert.h"
#include <time.h>

static enum bk_err make_metacert(const struct server *s, gnutls_datum_t *out) {
    return net_metacert_make(s->fleet.relay_key, (int64_t)time(NULL), out);
}

const char *server_or_null(const struct server_text *t) {
    return t->text[0] == '\0' ? NULL : t->text;
}

/* Reads the certificate's files, or makes the self-signed one. */
enum bk_err server_load_tls(const struct server *s, const struct server_options *o,
                            struct net_tls **out, char *reason) {
    gnutls_datum_t metacert;
    enum bk_err err = make_metacert(s, &metacert);
    if (err != BK_OK)
        return server_say(reason, err, "cannot make the relay's certificate", bk_err_text(err));
    const struct net_tls_server_config config = {.cert_file = server_or_null(&o->cert),
                                                 .key_file = server_or_null(&o->key),
                                                 .state_dir = s->state_dir,
                                                 .name = s->name,
                                                 .metacert = metacert.data,
                                                 .metacert_len = metacert.size,
                                                 .alpn = "stun.turn,stun.nat-discovery"};
    char why[NET_REASON_MAX] = "";
    err = net_tls_server_new(&config, out, why);
    gnutls_free(metacert.data);
    if (err != BK_OK) {
        struct text t = text_in(reason, SERVER_TEXT_MAX);
        text_str(&t, why);
    }
    return err;
}

void server_use_tls(struct server *s, struct net_tls *tls) {
    net_tls_unref(s->tls);
    s->tls = tls;
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_set_tls(s->workers[i], tls);
}

/* From memory: by now the files may be out of reach. */
void server_on_renew(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    gnutls_datum_t metacert;
    struct net_tls *tls;
    net_timer_set(&s->renew, bk_after(now, SERVER_RENEW_US));
    if (make_metacert(s, &metacert) != BK_OK)
        return;
    enum bk_err err = net_tls_server_renew(s->tls, metacert.data, metacert.size, &tls);
    gnutls_free(metacert.data);
    if (err == BK_OK)
        server_use_tls(s, tls);
    else
        log_event(LOG_ERROR, "renew_failed", "reason", bk_err_text(err));
}
