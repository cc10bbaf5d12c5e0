/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: O_CLOEXEC needs it */
#include "net/state_file.h"

#include "base/text.h"
#include "base/wipe.h"
#include "net/loop_private.h"
#include "net/tls_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 4096, SECRET_FILE = 0600, SECRET_DIR = 0700 };

static enum bk_err failed(char *reason, const char *what, const char *path) {
    int error = errno;
    tls_reason(reason, what, path, strerror(error));
    return loop_err(error);
}

static enum bk_err read_all(int fd, size_t size, struct state_bytes *out) {
    unsigned char *data = malloc(size + 1);
    size_t len = 0;
    if (data == NULL)
        return BK_ERR_NO_MEMORY;
    while (len < size) {
        ssize_t got = read(fd, data + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(data);
            return BK_ERR_IO;
        }
        if (got == 0)
            break;
        len += (size_t)got;
    }
    data[len] = '\0';
    *out = (struct state_bytes){data, len};
    return BK_OK;
}

enum bk_err state_file_read(const char *path, struct state_bytes *out, char *reason) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum bk_err err = failed(reason, "cannot read", path);
        if (fd >= 0)
            close(fd);
        return err;
    }
    enum bk_err err = BK_ERR_TOO_LONG;
    if (st.st_size <= STATE_FILE_MAX)
        err = read_all(fd, (size_t)st.st_size, out);
    close(fd);
    if (err != BK_OK)
        tls_reason(reason, "cannot read", path, bk_err_text(err));
    return err;
}

void state_bytes_fini(struct state_bytes *bytes) {
    if (bytes->data != NULL)
        wipe(bytes->data, bytes->len);
    free(bytes->data);
    *bytes = (struct state_bytes){NULL, 0};
}

bool state_file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

/* mkdir -p; existing folders are left alone. */
static bool make_dir(const char *dir) {
    char path[PATH_LEN];
    size_t len = strlen(dir);
    if (len == 0 || len >= sizeof path)
        return false;
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char kept = path[i];
        path[i] = '\0';
        if (mkdir(path, SECRET_DIR) != 0 && errno != EEXIST)
            return false;
        path[i] = kept;
    }
    return true;
}

static bool write_all(int fd, const struct state_bytes *pieces, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t done = 0;
        while (done < pieces[i].len) {
            ssize_t put = write(fd, pieces[i].data + done, pieces[i].len - done);
            if (put < 0 && errno == EINTR)
                continue;
            if (put < 0)
                return false;
            done += (size_t)put;
        }
    }
    return fsync(fd) == 0;
}

enum bk_err state_file_write(const char *dir, const char *name, const struct state_bytes *pieces,
                             size_t count, char *reason) {
    char path[PATH_LEN], fresh[PATH_LEN];
    struct text t = text_in(path, sizeof path);
    text_str(&t, dir);
    text_char(&t, '/');
    text_str(&t, name);
    struct text f = text_in(fresh, sizeof fresh);
    text_str(&f, path);
    text_str(&f, ".new");
    if (t.cut || f.cut)
        return BK_ERR_TOO_LONG;
    if (!make_dir(dir))
        return failed(reason, "cannot make the folder", dir);
    (void)unlink(fresh); /* left by a run that was cut off */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, SECRET_FILE);
    if (fd < 0)
        return failed(reason, "cannot write", path);
    bool written = write_all(fd, pieces, count);
    written = close(fd) == 0 && written;
    if (written && rename(fresh, path) == 0)
        return BK_OK;
    enum bk_err err = failed(reason, "cannot write", path);
    (void)unlink(fresh);
    return err;
}
