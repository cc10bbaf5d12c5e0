/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: setgroups */
#include "server/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static bool become(const struct passwd *user) {
    return setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0 &&
           setuid(0) != 0; /* the way back must be closed */
}

/* Tries in a child whether `user` can be had and can read the files. 0: yes. */
static int rehearse(const struct passwd *user, const char *const readable[2]) {
    int status;
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        if (!become(user))
            _exit(1);
        for (int i = 0; i < 2; i++)
            if (readable[i] != NULL && access(readable[i], R_OK) != 0)
                _exit(2);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status);
}

static void no_new_privileges(void) {
#ifdef __linux__
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}

enum bk_err privileges_drop(const char *user, const char *const readable[2],
                            enum privileges_outcome *outcome, const char **why) {
    *outcome = PRIVILEGES_NONE;
    *why = NULL;
    no_new_privileges();
    if (geteuid() != 0)
        return BK_OK;
    const struct passwd *entry = getpwnam(user == NULL ? "nobody" : user);
    if (user == NULL) {
        int trial = entry == NULL ? 1 : rehearse(entry, readable);
        if (trial != 0) {
            *outcome = PRIVILEGES_KEPT;
            *why = trial == 2 ? "nobody cannot read the certificate's files again; use --user"
                              : "there is no user nobody here; use --user";
            return BK_OK;
        }
    }
    if (entry == NULL)
        return BK_ERR_NOT_FOUND;
    if (!become(entry))
        return BK_ERR_PERMISSION;
    *outcome = PRIVILEGES_DROPPED;
    return BK_OK;
}
