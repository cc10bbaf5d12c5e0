/* SPDX-License-Identifier: MIT */
#include "cli/nat_pair.h"

#include "cli/nat_text.h"
#include <cjson/cJSON.h>

/* What a side needs, in words and as a word. */
static const struct {
    uint32_t bit;
    const char *sentence, *word;
} needs[] = {
    {BK_ORACLE_NEEDS_LOW_TTL, "a first packet that dies before the peer's NAT", "low-ttl"},
    {BK_ORACLE_NEEDS_START, "both sides to start at the same time", "start"},
    {BK_ORACLE_NEEDS_FRESH, "fresh sockets", "fresh-sockets"},
    {BK_ORACLE_NEEDS_ORDER, "all its mappings open before the first probe", "openers-first"},
};
enum { NEEDS = sizeof needs / sizeof *needs };

/* 0.98351 is "98.4"; what is not certain is never rounded to "100.0" or "0.0". */
static void add_percent(double p, struct text *out) {
    double tenths = p * 1000 + 0.5;
    uint64_t n = tenths < 0 ? 0 : tenths > 1000 ? 1000 : (uint64_t)tenths;
    if (n == 1000 && p < 1)
        n = 999;
    if (n == 0 && p > 0) {
        text_str(out, "less than 0.1");
        return;
    }
    text_u64(out, n / 10);
    if (n % 10 != 0 || n == 0) {
        text_char(out, '.');
        text_u64(out, n % 10);
    }
}

/* Below this the relay is what will most likely be used. */
static bool likely_relayed(const struct bk_oracle_verdict *v) {
    return v->method == BK_ORACLE_RELAY || v->p_low < 0.5;
}

/* What is not known about one of the NATs could turn out well. */
static void add_best(const struct bk_oracle_verdict *v, struct text *out) {
    if (v->p_high <= v->p_low)
        return;
    text_str(out, "; what is not known could make it ");
    add_percent(v->p_high, out);
    text_str(out, " %, by: ");
    text_str(out, bk_oracle_method_text(v->method_best));
}

static void verdict(const struct bk_oracle_verdict *v, struct text *out) {
    text_str(out, likely_relayed(v) ? "relayed" : "direct with a probability of ");
    if (v->method != BK_ORACLE_RELAY) {
        text_str(out, likely_relayed(v) ? ", most likely; direct with a probability of " : "");
        add_percent(v->p_low, out);
        text_str(out, " %, by: ");
        text_str(out, bk_oracle_method_text(v->method));
    }
    add_best(v, out);
}

static void row(const char *label, const char *words, struct text *out) {
    size_t column = 2;
    text_str(out, "  ");
    for (; *label != '\0'; label++, column++)
        text_char(out, *label);
    for (; column < 10; column++)
        text_char(out, ' ');
    nat_text_wrap(out, 10, 10, words);
}

static void side(const struct bk_oracle_side *s, const char *label, struct text *out) {
    char words[NAT_SENTENCE_MAX];
    struct text t = text_in(words, sizeof words);
    text_str(&t, bk_oracle_role_text(s->role));
    if (s->packets_p95 >= 0.5) {
        text_str(&t, ": ");
        text_u64(&t, (uint64_t)(s->packets_mean + 0.5));
        text_str(&t, s->packets_mean < 1.5 ? " packet" : " packets");
        if ((uint64_t)(s->packets_p95 + 0.5) > (uint64_t)(s->packets_mean + 0.5)) {
            text_str(&t, " on average, up to ");
            text_u64(&t, (uint64_t)(s->packets_p95 + 0.5));
            text_str(&t, " in 95 of 100 cases");
        }
        if (s->sockets > 1) {
            text_str(&t, ", from ");
            text_u64(&t, s->sockets);
            text_str(&t, " sockets");
        }
    }
    row(label, words, out);
}

static void price(const struct bk_oracle_verdict *v, struct text *out) {
    char words[NAT_SENTENCE_MAX];
    struct text t = text_in(words, sizeof words);
    side(&v->side[0], "here", out);
    side(&v->side[1], "there", out);
    text_ms(&t, v->time_mean_us);
    text_str(&t, " ms on average, ");
    text_ms(&t, v->time_p95_us);
    text_str(&t, " ms in 95 of 100 cases");
    row("takes", words, out);
    t = text_in(words, sizeof words);
    for (size_t i = 0; i < NEEDS; i++) {
        if ((v->needs & needs[i].bit) == 0)
            continue;
        text_str(&t, t.len == 0 ? "" : "; ");
        text_str(&t, needs[i].sentence);
    }
    if (t.len > 0)
        row("needs", words, out);
}

void nat_pair_text(const struct bk_oracle_verdict *v, const char *peer, struct text *out) {
    char words[NAT_SENTENCE_MAX * 2];
    struct text t = text_in(words, sizeof words);
    text_str(&t, "With ");
    text_str(&t, peer);
    text_str(&t, ": ");
    verdict(v, &t);
    text_char(&t, '.');
    text_char(out, '\n');
    nat_text_wrap(out, 0, 0, words);
    row("why", v->why, out);
    if (v->method != BK_ORACLE_RELAY)
        price(v, out);
}

static cJSON *side_json(const struct bk_oracle_side *s) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "role", bk_oracle_role_text(s->role));
    cJSON_AddNumberToObject(object, "sockets", s->sockets);
    cJSON_AddNumberToObject(object, "ports", s->ports);
    cJSON_AddNumberToObject(object, "packets_mean", s->packets_mean);
    cJSON_AddNumberToObject(object, "packets_p95", s->packets_p95);
    return object;
}

cJSON *nat_pair_json(const struct bk_oracle_verdict *v) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "kind", likely_relayed(v) ? "relayed" : "direct");
    cJSON_AddStringToObject(object, "method", bk_oracle_method_name(v->method));
    cJSON_AddStringToObject(object, "method_best", bk_oracle_method_name(v->method_best));
    cJSON_AddNumberToObject(object, "probability", v->p_low);
    cJSON_AddNumberToObject(object, "probability_best", v->p_high);
    cJSON_AddBoolToObject(object, "certain", v->certain);
    cJSON_AddStringToObject(object, "why", v->why);
    cJSON_AddNumberToObject(object, "time_mean_ms", (double)v->time_mean_us / 1000);
    cJSON_AddNumberToObject(object, "time_p95_ms", (double)v->time_p95_us / 1000);
    cJSON_AddItemToObject(object, "here", side_json(&v->side[0]));
    cJSON_AddItemToObject(object, "there", side_json(&v->side[1]));
    cJSON *list = cJSON_AddArrayToObject(object, "needs");
    for (size_t i = 0; i < NEEDS; i++)
        if ((v->needs & needs[i].bit) != 0)
            cJSON_AddItemToArray(list, cJSON_CreateString(needs[i].word));
    return object;
}
