/* SPDX-License-Identifier: MIT
 * bodkin sim: a network with NATs, and real sessions in it, in virtual time. */
#include "cli/sim.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/topology_file.h"
#include "net/alloc.h"
#include "sim/scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Example:\n"
    "  bodkin sim run sim/scenarios/nat-reboot.scene --seeds 20\n"
    "  bodkin sim matrix               sessions between all pairs of 27 NAT types\n"
    "\n"
    "Usage: bodkin sim run [OPTIONS] FILE\n"
    "Plays a topology file in virtual time: real sessions, relay and STUN server\n"
    "behind modelled NATs. One seed, the same bytes out on every machine.\n"
    "      --seed N     of everything random; default: the file's\n"
    "      --seeds N    plays this seed and the N-1 after it\n"
    "      --set NAME:FIELD=VALUE  over the file: bob-router:preset=symmetric\n"
    "      --trace      every packet, at every hop\n"
    "      --json       one JSON object per line\n"
    "      --quiet      only what went wrong\n"
    "\n"
    "Usage: bodkin sim matrix [OPTIONS]       (bodkin sim matrix --help)\n"
    "Usage: bodkin sim oracle [OPTIONS] [A B]   (bodkin sim oracle --help)\n"
    "\n"
    "Exit status: 0 everything the file expects came true; 1 something did not; 2\n"
    "wrong use or a bad file. The file's format: docs/topology.md.\n";

struct run_options {
    bool json, trace, quiet;
    uint32_t seeds;
    const char *seed; /* "": the file's */
    struct option_list set;
    const char *file;
};

/* What the callbacks of one run know. */
struct view {
    const struct run_options *o;
    uint64_t seed;
};

/* Integers only: no machine prints them in another way. */
static void print_ms(int64_t us) {
    printf("%" PRId64 ".%03d", us / 1000, (int)(us % 1000));
}

void sim_json_text(const char *text) {
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void json_field(const char *name, const char *text) {
    printf(",\"%s\":", name);
    sim_json_text(text);
}

static void show_json(const struct view *v, const struct scene_event *e) {
    static const char *const names[] = {[SCENE_STEP] = "step",
                                        [SCENE_CHANGE] = "change",
                                        [SCENE_PATH] = "path",
                                        [SCENE_ENDED] = "ended"};
    printf("{\"event\":\"%s\",\"seed\":%" PRIu64 ",\"at_ms\":", names[e->kind], v->seed);
    print_ms(e->at_us);
    if (e->line != 0)
        printf(",\"line\":%u", e->line);
    if (e->kind == SCENE_STEP) {
        fputs(",\"took_ms\":", stdout);
        print_ms(e->took_us);
    }
    if (e->text[0] != '\0')
        json_field("text", e->text);
    if (e->host[0] != '\0') {
        json_field("host", e->host);
        json_field("peer", e->other);
    }
    if (e->kind == SCENE_PATH)
        json_field("kind", e->direct ? "direct" : "relayed");
    if (!e->direct && e->reason[0] != '\0')
        json_field("reason", e->reason);
    puts("}");
}

static void show_text(const struct scene_event *e) {
    printf("%6" PRId64 ".%03d s  ", e->at_us / 1000000, (int)(e->at_us / 1000 % 1000));
    switch (e->kind) {
    case SCENE_STEP:
        printf("%s: after ", e->text);
        print_ms(e->took_us);
        puts(" ms");
        return;
    case SCENE_CHANGE:
        puts(e->text);
        return;
    case SCENE_PATH:
        printf("  %s to %s: %s%s\n", e->host, e->other, e->direct ? "direct" : "relayed, ",
               e->direct ? "" : e->reason);
        return;
    case SCENE_ENDED:
        printf("  %s to %s: ended, %s\n", e->host, e->other, e->reason);
        return;
    }
}

static void show(void *ctx, const struct scene_event *event) {
    const struct view *v = ctx;
    if (v->o->quiet)
        return;
    if (v->o->json)
        show_json(v, event);
    else
        show_text(event);
}

static void show_packet(void *ctx, const char *text) {
    const struct view *v = ctx;
    if (!v->o->json) {
        puts(text);
        return;
    }
    fputs("{\"event\":\"packet\",\"text\":", stdout);
    sim_json_text(text);
    puts("}");
}

static void show_end(const struct view *v, struct scene *s, bool fine,
                     const struct topology_error *error) {
    const struct world_counters *c = world_get_counters(scene_world(s));
    if (!fine)
        fprintf(stderr, "%s:%u: seed %" PRIu64 ": %s\n", v->o->file, error->line, v->seed,
                error->text);
    if (v->o->quiet)
        return;
    if (v->o->json)
        printf("{\"event\":\"done\",\"seed\":%" PRIu64 ",\"ok\":%s,\"hash\":\"%016" PRIx64
               "\",\"packets\":%" PRIu64 ",\"events\":%" PRIu64 "}\n",
               v->seed, fine ? "true" : "false", world_hash(scene_world(s)), c->sent, c->events);
    else
        printf("seed %" PRIu64 ": %s; %" PRIu64 " packets, hash %016" PRIx64 "\n", v->seed,
               fine ? "as expected" : "NOT as expected", c->sent, world_hash(scene_world(s)));
}

static int run_seed(const struct run_options *o, const struct topology *t, uint64_t seed) {
    struct view v = {o, seed};
    struct scene_config config = scene_config_default;
    struct topology_error error = {0};
    struct scene *s = NULL;
    config.topology = t;
    config.seed = seed;
    config.event = show;
    config.ctx = &v;
    if (scene_new(&config, net_alloc(), &s, &error) != BK_OK) {
        fprintf(stderr, "%s:%u: %s\n", o->file, error.line, error.text);
        return EXIT_USAGE;
    }
    if (o->trace)
        world_watch(scene_world(s), show_packet, &v);
    bool fine = scene_run(s, &error);
    show_end(&v, s, fine, &error);
    scene_free(s);
    return fine ? EXIT_FINE : EXIT_OTHER;
}

static int override_all(const struct run_options *o, struct topology *t) {
    struct topology_error error;
    for (size_t i = 0; i < o->set.count; i++)
        if (topology_override(t, o->set.items[i], &error) != BK_OK) {
            fprintf(stderr, "bodkin sim: --set %s: %s\n", o->set.items[i], error.text);
            return EXIT_USAGE;
        }
    return EXIT_FINE;
}

static int run_file(const struct run_options *o, struct topology *t) {
    char *end = NULL;
    uint64_t seed = t->seed;
    int status = override_all(o, t);
    if (o->seed != NULL) {
        seed = strtoull(o->seed, &end, 10);
        if (*o->seed < '0' || *o->seed > '9' || *end != '\0') {
            fprintf(stderr, "bodkin sim: --seed %s: not a number\n", o->seed);
            return EXIT_USAGE;
        }
    }
    for (uint32_t i = 0; i < o->seeds && status != EXIT_USAGE; i++) {
        int one = run_seed(o, t, seed + i);
        status = one > status ? one : status;
    }
    return status;
}

static int sim_run(int argc, char **argv) {
    struct run_options o = {.seeds = 1};
    const struct option_row rows[] = {
        {"seed", '\0', OPTION_TEXT, &o.seed}, {"seeds", '\0', OPTION_NUMBER, &o.seeds},
        {"set", '\0', OPTION_LIST, &o.set},   {"trace", '\0', OPTION_FLAG, &o.trace},
        {"json", '\0', OPTION_FLAG, &o.json}, {"quiet", '\0', OPTION_FLAG, &o.quiet},
        {NULL, '\0', OPTION_FLAG, NULL}};
    struct option_words words = {.max = 1};
    struct topology t;
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    if (words.count != 1) {
        fputs("bodkin sim: run needs a file; see bodkin sim --help\n", stderr);
        return EXIT_USAGE;
    }
    o.file = words.items[0];
    if (!topology_file_load("sim", o.file, &t))
        return EXIT_USAGE;
    int status = run_file(&o, &t);
    topology_fini(&t);
    return status;
}

int cmd_sim(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "run") == 0)
        return sim_run(argc - 1, argv + 1);
    if (strcmp(verb, "matrix") == 0)
        return sim_matrix(argc - 1, argv + 1);
    if (strcmp(verb, "oracle") == 0)
        return sim_oracle(argc - 1, argv + 1);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        fputs(help, stdout);
        return EXIT_FINE;
    }
    if (verb[0] == '\0')
        fputs(help, stderr);
    else
        fprintf(stderr, "bodkin sim: there is no \"%s\"; see bodkin sim --help\n", verb);
    return EXIT_USAGE;
}
