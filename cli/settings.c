/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/settings.h"

#include "base/wipe.h"
#include "box/box.h"
#include "relay/keepalive.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_TEXT_MAX = 1024 };

/* ~/.config/bodkin/NAME. false: no home directory, or too long. */
static bool config_path(const char *name, char *out) {
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *user = getenv("HOME");
    int n;
    if (xdg != NULL && xdg[0] == '/')
        n = snprintf(out, PATH_TEXT_MAX, "%s/bodkin/%s", xdg, name);
    else if (user != NULL && user[0] == '/')
        n = snprintf(out, PATH_TEXT_MAX, "%s/.config/bodkin/%s", user, name);
    else
        return false;
    return n > 0 && n < PATH_TEXT_MAX;
}

/* --- the home server --- */

struct config_values {
    char home[HOME_URL_TEXT_MAX];
    char proxy[SETTINGS_PROXY_MAX];
    uint32_t keepalive_s;
    bool private_addresses;
};

static bool set_yes_or_no(bool *out, const char *value) {
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return false;
    *out = yes;
    return true;
}

static bool set_seconds(uint32_t *out, const char *value) {
    char *end;
    long seconds = strtol(value, &end, 10);
    if (end == value || *end != '\0' || seconds < KEEPALIVE_MIN_S || seconds > KEEPALIVE_MAX_S)
        return false;
    *out = (uint32_t)seconds;
    return true;
}

static bool set_text(char *out, size_t cap, const char *value) {
    size_t len = strlen(value);
    if (len >= cap)
        return false;
    memcpy(out, value, len + 1);
    return true;
}

static int on_setting(void *user, const char *section, const char *name, const char *value) {
    struct config_values *values = user;
    if (section[0] == '\0' && strcmp(name, "private") == 0)
        return set_yes_or_no(&values->private_addresses, value);
    if (section[0] == '\0' && strcmp(name, "keepalive") == 0)
        return set_seconds(&values->keepalive_s, value);
    if (section[0] == '\0' && strcmp(name, "proxy") == 0)
        return set_text(values->proxy, sizeof values->proxy, value);
    if (section[0] == '\0' && strcmp(name, "home") == 0)
        return set_text(values->home, sizeof values->home, value);
    return 0;
}

static enum exit_code read_config(struct report *r, struct config_values *out) {
    char path[PATH_TEXT_MAX];
    memset(out, 0, sizeof *out);
    if (!config_path("config", path) || access(path, F_OK) != 0)
        return EXIT_FINE;
    int line = ini_parse(path, on_setting, out);
    if (line < 0)
        report_error(r, "%s cannot be read: %s", path, strerror(errno));
    else if (line > 0)
        report_error(r,
                     "%s:%d: only \"home = https://...\", \"proxy = http://...\", "
                     "\"keepalive = SECONDS\" (15 to 7200) and \"private = yes\" can stand here",
                     path, line);
    return line == 0 ? EXIT_FINE : EXIT_KEY;
}

enum exit_code settings_private(struct report *r, bool *out) {
    struct config_values config;
    enum exit_code code = read_config(r, &config);
    if (code == EXIT_FINE)
        *out = config.private_addresses;
    return code;
}

enum exit_code settings_proxy(struct report *r, char *out) {
    struct config_values config;
    enum exit_code code = read_config(r, &config);
    memcpy(out, config.proxy, sizeof config.proxy);
    wipe(&config, sizeof config);
    return code;
}

enum exit_code settings_keepalive(struct report *r, uint32_t *out) {
    struct config_values config;
    enum exit_code code = read_config(r, &config);
    if (code == EXIT_FINE)
        *out = config.keepalive_s;
    wipe(&config, sizeof config);
    return code;
}

static const char *url_problem(enum bk_err err) {
    if (err == BK_ERR_AUTH)
        return "the pin is damaged";
    return err == BK_ERR_NOT_OURS ? "it must begin with https://" : bk_err_text(err);
}

enum exit_code settings_home(struct report *r, const char *option, struct home *out) {
    struct config_values config;
    const char *text = option != NULL ? option : getenv("BODKIN_HOME");
    bool from_file = text == NULL || text[0] == '\0';
    if (from_file) {
        enum exit_code code = read_config(r, &config);
        if (code != EXIT_FINE)
            return code;
        text = config.home;
    }
    if (text[0] == '\0') {
        report_error(r, "no home server is known: start one with `bodkin serve` on a machine that "
                        "both sides reach, and give the line it prints with --home");
        return EXIT_NO_HOME;
    }
    if (strncmp(text, "home: ", 6) == 0)
        text += 6; /* the whole line of `bodkin serve` was pasted */
    enum bk_err err = home_url_parse(text, strlen(text), out);
    if (err == BK_OK)
        return EXIT_FINE;
    report_error(r, "\"%s\"%s is not a home server's address (https://HOST[:PORT][#PIN]): %s", text,
                 from_file ? " in the config file" : "", url_problem(err));
    return from_file ? EXIT_KEY : EXIT_USAGE;
}

/* --- the key --- */

static enum exit_code key_failure(struct report *r, const char *path, const char *why) {
    report_error(r, "the key %s cannot be used: %s", path, why);
    return EXIT_KEY;
}

/* Makes the directories of `path`; failures show when the file is opened. */
static void make_parents(const char *path) {
    char copy[PATH_TEXT_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = copy + 1; *p != '\0'; p++)
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(copy, 0700);
            *p = '/';
        }
}

/* Writes a new key beside its place and links it there, so that two programs that start together
 * agree on one. */
static bool make_key(const char *path) {
    char beside[PATH_TEXT_MAX + 16], text[IDENTITY_TEXT_MAX];
    struct identity id;
    struct bk_rng rng = box_rng();
    make_parents(path);
    snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    identity_make(&id, &rng);
    size_t len = identity_encode(&id, text);
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    ok = ok && (link(beside, path) == 0 || errno == EEXIST);
    (void)unlink(beside);
    identity_fini(&id);
    wipe(text, sizeof text);
    return ok;
}

static const char *decode_problem(enum bk_err err) {
    if (err == BK_ERR_NOT_OURS)
        return "it is not a bodkin key";
    if (err == BK_ERR_UNSUPPORTED)
        return "it was made by a newer bodkin";
    return "it is damaged";
}

static enum exit_code read_key(struct report *r, const char *path, int fd, struct identity *out) {
    char text[IDENTITY_TEXT_MAX * 2];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return key_failure(r, path, "it is not a file");
    if ((st.st_mode & 077) != 0)
        return key_failure(r, path,
                           "others can read it; make it yours with chmod 600, or delete "
                           "it if it may have been copied");
    ssize_t len = read(fd, text, sizeof text);
    enum bk_err err = len < 0 ? BK_ERR_IO : identity_decode(text, (size_t)len, out);
    wipe(text, sizeof text);
    return err == BK_OK ? EXIT_FINE : key_failure(r, path, decode_problem(err));
}

enum exit_code settings_identity(struct report *r, bool borrow, struct settings_identity *out) {
    char path[PATH_TEXT_MAX];
    memset(out, 0, sizeof *out);
    out->lock = -1;
    if (!config_path("key", path))
        return key_failure(r, "~/.config/bodkin/key", "neither HOME nor XDG_CONFIG_HOME is set");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make_key(path))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return key_failure(r, path, strerror(errno));
    enum exit_code code = read_key(r, path, fd, &out->identity);
    if (code != EXIT_FINE || borrow) {
        (void)close(fd);
        return code;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        out->lock = fd; /* until we end */
        return EXIT_FINE;
    }
    struct bk_rng rng = box_rng();
    identity_make(&out->identity, &rng);
    out->temporary = true;
    (void)close(fd);
    return EXIT_FINE;
}

void settings_identity_fini(struct settings_identity *s) {
    identity_fini(&s->identity);
    if (s->lock >= 0)
        (void)close(s->lock);
    s->lock = -1;
}
