/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* mkdtemp */
#include "../test.h"
#include "server/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_SUPPORT = 77 };

/* ThreadSanitizer starts a thread before main(), and the sandbox is for before there are threads:
 * glibc aborts when setuid() fails in one of two. */
#ifdef __SANITIZE_THREAD__
static const bool has_threads = true;
#else
static const bool has_threads = false;
#endif

static char dir[] = "/tmp/bodkin-sandbox-XXXXXX", file[64], made[64];

static bool can_open(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* In a child of its own; gives the number of the first thing that is not as it should be. */
static int inside(bool write) {
    const char *const folders[] = {NULL, dir};
    char name[] = "true", *const arguments[] = {name, NULL};
    struct sandbox_outcome outcome;
    sandbox_enter(folders, 2, write ? dir : NULL, &outcome);
    if (!outcome.files || !outcome.calls)
        return NO_SUPPORT;
    if (!can_open(file, O_RDONLY))
        return 1;
    if (can_open("/etc/passwd", O_RDONLY))
        return 2;
    if (can_open(made, O_WRONLY | O_CREAT) != write)
        return 3;
    execv("/bin/true", arguments);
    if (errno != EPERM)
        return 4;
    if (setuid(getuid()) == 0)
        return 5;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 ? 6 : 0;
}

static int child(bool write) {
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(inside(write));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void what_is_left_is_sockets_and_the_named_folders(void **state) {
    (void)state;
    if (has_threads)
        skip();
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(made, sizeof made, "%s/made", dir);
    assert_true(can_open(file, O_WRONLY | O_CREAT));
    int read_only = child(false), written = child(true);
    unlink(file);
    unlink(made);
    rmdir(dir);
    if (read_only == NO_SUPPORT)
        skip(); /* an older kernel */
    assert_int_equal(read_only, 0);
    assert_int_equal(written, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_sockets_and_the_named_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
