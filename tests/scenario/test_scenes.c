/* SPDX-License-Identifier: MIT
 * Every file in sim/scenarios/ comes true, at several seeds, and a seed replays exactly. A failing
 * run prints its seed: bodkin sim run FILE --seed N --trace shows it again.
 *
 * BODKIN_SEEDS=N plays N seeds of each (3). */
#include "../unit/test.h"

#include "sim/scene.h"

#include <dirent.h>
#include <stdio.h>

enum { SCENES_MAX = 200, PATH_LEN = 512 };

static char names[SCENES_MAX][PATH_LEN];
static size_t name_count;

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int find_scenes(void **state) {
    (void)state;
    static const char folder[] = TEST_DATA "/../../sim/scenarios";
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return -1;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 6, ".scene") != 0 || name_count == SCENES_MAX)
            continue;
        snprintf(names[name_count++], PATH_LEN, "%s/%.200s", folder, e->d_name);
    }
    closedir(dir);
    qsort(names, name_count, PATH_LEN, by_name);
    return 0;
}

static void load(const char *path, struct topology *out) {
    static char text[65536];
    struct topology_error error;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    if (topology_parse(text, len, out, &error) != BK_OK)
        fail_msg("%s:%u: %s", path, error.line, error.text);
}

static struct scene *start(const struct topology *t, uint64_t seed) {
    struct scene_config config = scene_config_default;
    struct topology_error error;
    struct scene *s;
    config.topology = t;
    config.seed = seed;
    if (scene_new(&config, &test_alloc, &s, &error) != BK_OK)
        fail_msg("line %u: %s", error.line, error.text);
    return s;
}

static uint64_t play(const char *path, const struct topology *t, uint64_t seed) {
    struct topology_error error;
    struct scene *s = start(t, seed);
    if (!scene_run(s, &error))
        fail_msg("%s:%u: seed %llu: %s", path, error.line, (unsigned long long)seed, error.text);
    uint64_t hash = world_hash(scene_world(s));
    scene_free(s);
    return hash;
}

static void test_every_scene_comes_true(void **state) {
    (void)state;
    const char *text = getenv("BODKIN_SEEDS");
    uint64_t seeds = text != NULL ? strtoull(text, NULL, 10) : 3;
    assert_true(name_count > 20);
    for (size_t i = 0; i < name_count; i++) {
        struct topology t;
        load(names[i], &t);
        for (uint64_t seed = 1; seed <= seeds; seed++)
            (void)play(names[i], &t, seed);
        topology_fini(&t);
    }
}

struct lines {
    uint64_t hash;
    size_t count;
};

static void take_line(void *ctx, const char *text) {
    struct lines *l = ctx;
    l->count++;
    for (; *text != '\0'; text++)
        l->hash = (l->hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
}

/* Not only the hash: every line that anybody could print. */
static void test_a_seed_replays_every_line(void **state) {
    (void)state;
    static const char path[] = TEST_DATA "/../../sim/scenarios/small-mtu.scene";
    struct lines lines[3] = {{0, 0}};
    struct topology_error error;
    struct topology t;
    load(path, &t);
    for (size_t i = 0; i < 3; i++) {
        struct scene *s = start(&t, i < 2 ? 7 : 8);
        world_watch(scene_world(s), take_line, &lines[i]);
        assert_true(scene_run(s, &error));
        scene_free(s);
    }
    topology_fini(&t);
    assert_true(lines[0].count > 300);
    assert_true(lines[0].count == lines[1].count && lines[0].hash == lines[1].hash);
    assert_true(lines[0].hash != lines[2].hash);
}

/* ---- what does not come true is told ---- */

#define HOSTS                                                                                      \
    "[host s]\naddress = 198.51.100.1\n[host a]\naddress = 198.51.100.2\n"                         \
    "[host b]\naddress = 198.51.100.3\ndelay = 10ms\n[run]\n"

static const struct {
    const char *text;
    unsigned line;
    const char *error;
} wrong[] = {
    {HOSTS "serve s\nmeet a b\nexpect relayed because symmetric within 1s\n", 11,
     "\"expect relayed because symmetric within 1s\" did not come true in time: a: direct; b: "
     "direct"},
    {HOSTS "serve s\nmeet a b\ncut a\nexpect data within 1s\n", 12,
     "\"expect data within 1s\" did not come true in time: a: not at home; b: no session"},
    {HOSTS "serve s\nmeet a b\nexpect direct within 1s\nat 3s: cut a\nexpect direct for 4s\n", 13,
     "\"expect direct for 4s\" did not stay so: "},
};

static void test_what_is_wrong_is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct topology t;
        struct topology_error error;
        assert_int_equal(topology_parse(wrong[i].text, strlen(wrong[i].text), &t, &error), BK_OK);
        struct scene *s = start(&t, 1);
        assert_false(scene_run(s, &error));
        assert_int_equal(error.line, wrong[i].line);
        assert_memory_equal(error.text, wrong[i].error, strlen(wrong[i].error));
        scene_free(s);
        topology_fini(&t);
    }
}

static const struct {
    const char *text;
    unsigned line;
    const char *error;
} refused[] = {
    {HOSTS "a: true\n", 9,
     "a simulation runs no commands: only serve, meet, expect, sleep and changes; bodkin lab run "
     "does"},
    {"[nat x]\npreset = firewall\npublic = 2001:db8:1::1\ninside = 2001:db8:a::1/64\n"
     "[nat y]\npreset = firewall\npublic = 2001:db8:2::1\ninside = 2001:db8:a::2/64\n"
     "[host a]\nbehind = x\naddress = 2001:db8:a::10\n"
     "[host b]\nbehind = y\naddress = 2001:db8:a::10\n",
     12, "b: 2001:db8:a::10 is taken by somebody reachable from there"},
};

static void test_what_cannot_be_simulated_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct scene_config config = scene_config_default;
        struct topology t;
        struct topology_error error;
        struct scene *s;
        assert_int_equal(topology_parse(refused[i].text, strlen(refused[i].text), &t, &error),
                         BK_OK);
        config.topology = &t;
        assert_int_equal(scene_new(&config, &test_alloc, &s, &error), BK_ERR_ARGUMENT);
        assert_string_equal(error.text, refused[i].error);
        assert_int_equal(error.line, refused[i].line);
        topology_fini(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scene_comes_true),
        cmocka_unit_test(test_a_seed_replays_every_line),
        cmocka_unit_test(test_what_is_wrong_is_told),
        cmocka_unit_test(test_what_cannot_be_simulated_is_refused),
    };
    return cmocka_run_group_tests(tests, find_scenes, NULL);
}
