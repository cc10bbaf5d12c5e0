/* SPDX-License-Identifier: MIT */
#include "cli/turn_result.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

void turn_result_init(struct turn_result *r, bool json) {
    *r = (struct turn_result){.object = cJSON_CreateObject(), .json = json};
}

void turn_result_text(struct turn_result *r, const char *name, const char *value) {
    cJSON_AddStringToObject(r->object, name, value);
}

void turn_result_addr(struct turn_result *r, const char *name, const struct bk_addr *addr) {
    char text[BK_ADDR_TEXT_MAX];
    if (addr->ip.family != BK_FAMILY_NONE)
        turn_result_text(r, name, bk_addr_format(addr, text));
}

/* Three decimals: nothing here is known better. */
void turn_result_number(struct turn_result *r, const char *name, double value) {
    cJSON_AddNumberToObject(r->object, name,
                            (double)(int64_t)(value * 1000 + (value < 0 ? -0.5 : 0.5)) / 1000);
}

static void add_us(cJSON *to, const char *name, int64_t ns) {
    cJSON_AddNumberToObject(to, name, (double)(ns / 100) / 10);
}

void turn_result_histogram(struct turn_result *r, const char *name,
                           const struct turn_histogram *h) {
    if (h->count == 0)
        return;
    cJSON *o = cJSON_AddObjectToObject(r->object, name);
    cJSON_AddNumberToObject(o, "count", (double)h->count);
    add_us(o, "p50_us", turn_histogram_at(h, 500));
    add_us(o, "p90_us", turn_histogram_at(h, 900));
    add_us(o, "p99_us", turn_histogram_at(h, 990));
    add_us(o, "p999_us", turn_histogram_at(h, 999));
    add_us(o, "max_us", h->max_ns);
}

void turn_result_usage(struct turn_result *r, const struct turn_usage *before,
                       const struct turn_usage *after, uint64_t events) {
    if (!before->known || !after->known)
        return;
    double cpu_s = (double)(after->cpu_ns - before->cpu_ns) / 1e9;
    turn_result_number(r, "cpu_s", cpu_s);
    if (events > 0)
        turn_result_number(r, "cpu_s_per_million", cpu_s * 1e6 / (double)events);
    turn_result_number(r, "rss_kb", (double)after->rss_kb);
    turn_result_number(r, "rss_kb_before", (double)before->rss_kb);
}

static void print_value(const cJSON *v) {
    char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
    fputs(text != NULL ? text : cJSON_GetStringValue(v), stdout);
    free(text);
}

void turn_result_print(struct turn_result *r) {
    char *all = r->json ? cJSON_PrintUnformatted(r->object) : NULL;
    const cJSON *v, *inner;
    if (all != NULL)
        puts(all);
    free(all);
    cJSON_ArrayForEach(v, r->object) {
        if (r->json)
            break;
        printf("%-20s", v->string);
        if (cJSON_IsObject(v)) {
            cJSON_ArrayForEach(inner, v) {
                printf(" %s ", inner->string);
                print_value(inner);
            }
        } else {
            putchar(' ');
            print_value(v);
        }
        putchar('\n');
    }
    (void)fflush(stdout);
    cJSON_Delete(r->object);
    r->object = NULL;
}
