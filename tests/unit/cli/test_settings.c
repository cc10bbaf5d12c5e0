/* SPDX-License-Identifier: MIT
 * Where the home server comes from, and what a key file must be. Each test has a folder of its own
 * as $XDG_CONFIG_HOME. Sentences go to standard error and are not looked at here. */
#define _GNU_SOURCE
#include "../test.h"
#include "cli/settings.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], program[96];
static struct report report;

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bodkin-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(program, sizeof program, "%s/bodkin", folder);
    setenv("XDG_CONFIG_HOME", folder, 1);
    unsetenv("BODKIN_HOME");
    report_init(&report, "test", true, test_at_ms(0));
    return 0;
}

static const char *file(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", program, name);
    return path;
}

static int remove_folder(void **state) {
    (void)state;
    (void)unlink(file("key"));
    (void)unlink(file("config"));
    (void)rmdir(program);
    return rmdir(folder);
}

static void write_file(const char *name, const char *text) {
    (void)mkdir(program, 0700);
    FILE *f = fopen(file(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(file(name), 0600), 0);
}

static void home_comes_from_the_nearest_place(void **state) {
    (void)state;
    struct home home;
    assert_int_equal(settings_home(&report, NULL, &home), EXIT_NO_HOME);
    write_file("config", "; a comment\n\nhome = https://config.example:444\n");
    assert_int_equal(settings_home(&report, NULL, &home), EXIT_FINE);
    assert_string_equal(home.host, "config.example");
    assert_int_equal(home.https_port, 444);
    setenv("BODKIN_HOME", "", 1); /* as good as unset */
    assert_int_equal(settings_home(&report, NULL, &home), EXIT_FINE);
    assert_string_equal(home.host, "config.example");
    setenv("BODKIN_HOME", "home: https://env.example", 1);
    assert_int_equal(settings_home(&report, NULL, &home), EXIT_FINE);
    assert_string_equal(home.host, "env.example");
    assert_int_equal(settings_home(&report, "option.example", &home), EXIT_FINE);
    assert_string_equal(home.host, "option.example");
    assert_int_equal(settings_home(&report, "gopher://option.example", &home), EXIT_USAGE);
}

static void mistakes_in_the_config(void **state) {
    (void)state;
    struct home home;
    static const struct {
        const char *text;
        enum exit_code code;
    } cases[] = {
        {"hame = https://a.example\n", EXIT_KEY},
        {"[section]\nhome = https://a.example\n", EXIT_KEY},
        {"home\n", EXIT_KEY},
        {"home = gopher://a.example\n", EXIT_KEY},
        {"home = https://a.example#short\n", EXIT_KEY},
        {"home =\n", EXIT_NO_HOME},
        {"", EXIT_NO_HOME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file("config", cases[i].text);
        if (settings_home(&report, NULL, &home) != cases[i].code)
            fail_msg("%s", cases[i].text);
    }
}

static void a_key_is_made_once(void **state) {
    (void)state;
    struct settings_identity first, second, third;
    struct stat st;
    assert_int_equal(settings_identity(&report, false, &first), EXIT_FINE);
    assert_false(first.temporary);
    assert_int_equal(stat(file("key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(program, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    /* The key is in use: another program gets one for this run only, but may look. */
    assert_int_equal(settings_identity(&report, false, &second), EXIT_FINE);
    assert_true(second.temporary);
    assert_false(peer_key_equal(&first.identity.key, &second.identity.key));
    assert_int_equal(settings_identity(&report, true, &third), EXIT_FINE);
    assert_true(peer_key_equal(&first.identity.key, &third.identity.key));
    settings_identity_fini(&third);
    settings_identity_fini(&second);
    settings_identity_fini(&first);
    assert_int_equal(settings_identity(&report, false, &second), EXIT_FINE);
    assert_false(second.temporary);
    settings_identity_fini(&second);
}

static void bad_keys_are_refused(void **state) {
    (void)state;
    struct settings_identity mine;
    write_file("key", "not a key\n");
    assert_int_equal(settings_identity(&report, true, &mine), EXIT_KEY);
    write_file("key", "");
    assert_int_equal(settings_identity(&report, true, &mine), EXIT_KEY);
    (void)unlink(file("key"));
    assert_int_equal(settings_identity(&report, true, &mine), EXIT_FINE);
    settings_identity_fini(&mine);
    assert_int_equal(chmod(file("key"), 0644), 0);
    assert_int_equal(settings_identity(&report, true, &mine), EXIT_KEY);
    setenv("XDG_CONFIG_HOME", "relative", 1);
    setenv("HOME", "", 1);
    assert_int_equal(settings_identity(&report, true, &mine), EXIT_KEY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(home_comes_from_the_nearest_place, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(mistakes_in_the_config, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_key_is_made_once, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(bad_keys_are_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
