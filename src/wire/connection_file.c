/* SPDX-License-Identifier: BSD-3-Clause
 * Where the connection file is, and writing and reading it whole. */
#include "wire/connection_file.h"
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX_BYTES (1 << 20)

/* ---- the path ---- */

/* The user's home folder, which the caller frees; NULL when nobody knows it. */
static char *home_folder(void)
{
    const char *home = getenv("HOME");
    if (home && home[0])
        return strdup(home);
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found &&
        found->pw_dir[0])
        return strdup(found->pw_dir);
    errno = ENOENT;
    return NULL;
}

/* As IPython: $IPYTHONDIR, in which a leading ~ is the home folder, else ~/.ipython. */
static char *ipython_folder(void)
{
    const char *given = getenv("IPYTHONDIR");
    const char *below_home = "/.ipython";
    if (given && given[0]) {
        if (given[0] != '~' || (given[1] != '\0' && given[1] != '/'))
            return strdup(given);
        below_home = given + 1;
    }
    char *home = home_folder(), *folder = NULL;
    if (home && asprintf(&folder, "%s%s", home, below_home) < 0)
        folder = NULL;
    free(home);
    return folder;
}

static int check_name(const char *what, const char *name, ipp_err_t *err)
{
    if (name[0] == '.')
        return ipp_err(err, EINVAL, "%s may not begin with a dot", what);
    for (const char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c < ' ' || *c == 127)
            return ipp_err(err, EINVAL, "%s may not hold '/' or control characters", what);
    return 0;
}

char *wire_connection_path(const char *profile, const char *cluster_id, ipp_err_t *err)
{
    profile = profile && profile[0] ? profile : "default";
    cluster_id = cluster_id ? cluster_id : "";
    if (check_name("profile", profile, err) < 0 || check_name("cluster id", cluster_id, err) < 0)
        return NULL;
    char *folder = ipython_folder(), *path = NULL;
    if (!folder && errno == ENOENT) {
        ipp_err(err, ENOENT, "no home folder is known: set HOME or IPYTHONDIR");
        return NULL;
    }
    if (!folder || asprintf(&path, "%s/profile_%s/security/ipcontroller%s%s-client.json", folder,
                            profile, cluster_id[0] ? "-" : "", cluster_id) < 0) {
        ipp_err(err, ENOMEM, "out of memory");
        path = NULL;
    }
    free(folder);
    return path;
}

/* ---- writing ---- */

static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        *slash = '/';
        if (made < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

/* `template` ends in XXXXXX; folders are made only where they are missed. */
static int open_temporary(char *template)
{
    size_t digits = strlen(template) - 6;
    int fd = mkostemp(template, O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || make_folders(template) < 0)
        return fd;
    memcpy(template + digits, "XXXXXX", 6); /* the first attempt may have used them up */
    return mkostemp(template, O_CLOEXEC);
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

/* Takes the descriptor. Synced before it is renamed: a client on another node may look at once. */
static int fill(int fd, const char *text)
{
    int failed = fchmod(fd, 0600) < 0 || write_all(fd, text, strlen(text)) < 0 || fsync(fd) < 0;
    int saved_errno = errno;
    if (close(fd) < 0 && !failed)
        return -1;
    errno = saved_errno;
    return failed ? -1 : 0;
}

int file_write_whole(const char *path, const char *text, ipp_err_t *err)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return ipp_err(err, ENOMEM, "cannot write %s: out of memory", path);
    int fd = open_temporary(temporary);
    int result = fd < 0 ? -1 : fill(fd, text);
    if (result == 0)
        result = rename(temporary, path);
    int saved_errno = errno;
    if (result < 0 && fd >= 0)
        unlink(temporary);
    free(temporary);
    if (result < 0)
        return ipp_err(err, saved_errno, "cannot write %s: %s", path, strerror(saved_errno));
    return 0;
}

/* ---- reading ---- */

static ipp_frame_t *read_all(int fd, size_t size)
{
    ipp_frame_t *frame = ipp_frame_alloc(size);
    size_t have = 0;
    while (frame && have < size) {
        ssize_t got = read(fd, (char *)ipp_frame_data(frame) + have, size - have);
        if (got > 0) {
            have += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            errno = got == 0 ? EIO : errno; /* shorter than it was a moment ago */
            ipp_frame_unref(frame);
            return NULL;
        }
    }
    return frame;
}

static ipp_frame_t *read_regular(int fd)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return NULL;
    if (!S_ISREG(info.st_mode)) {
        errno = EINVAL;
        return NULL;
    }
    if (info.st_size > READ_MAX_BYTES) {
        errno = EFBIG;
        return NULL;
    }
    return read_all(fd, (size_t)info.st_size);
}

ipp_frame_t *file_read_whole(const char *path, ipp_err_t *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not waiting for a FIFO's writer */
    ipp_frame_t *frame = fd < 0 ? NULL : read_regular(fd);
    int saved_errno = errno;
    if (fd >= 0)
        close(fd);
    if (!frame)
        ipp_err(err, saved_errno, "cannot read %s: %s", path, strerror(saved_errno));
    return frame;
}
