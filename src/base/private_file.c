/* SPDX-License-Identifier: BSD-3-Clause
 * Small files for their owner alone, written and read whole. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX_BYTES (1 << 20)

/* ---- folders ---- */

static int make_one(const char *folder)
{
    struct stat info;
    if (mkdir(folder, 0700) == 0)
        return chmod(folder, 0700); /* whatever the umask has taken */
    int saved_errno = errno;
    if (stat(folder, &info) == 0 && S_ISDIR(info.st_mode))
        return 0;
    errno = saved_errno == EEXIST ? ENOTDIR : saved_errno;
    return -1;
}

/* Cuts `path` after the folder that cannot be made. */
static int make_above(char *path)
{
    for (char *slash = strchr(path + (path[0] == '/'), '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (make_one(path) < 0)
            return -1;
        *slash = '/';
    }
    return 0;
}

int ipp_private_folders(const char *path, ipp_err_t *err)
{
    char *copy = strdup(path);
    if (!copy)
        return ipp_err(err, ENOMEM, "cannot make the folder of %s: out of memory", path);
    const char *verb = "make";
    int result = make_above(copy);
    char *slash = strrchr(copy, '/');
    if (result == 0 && slash) {
        slash[slash == copy] = '\0';
        verb = "write in";
        result = faccessat(AT_FDCWD, copy, W_OK | X_OK, AT_EACCESS);
    }
    int saved_errno = errno;
    if (result < 0)
        ipp_err(err, saved_errno, "cannot %s the folder %s: %s", verb, copy, strerror(saved_errno));
    free(copy);
    errno = saved_errno;
    return result;
}

/* ---- writing ---- */

/* `template` ends in XXXXXX; folders are made only where they are missed. */
static int open_temporary(char *template)
{
    size_t digits = strlen(template) - 6;
    int fd = mkostemp(template, O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || make_above(template) < 0)
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

int ipp_private_write(const char *path, const char *text, ipp_err_t *err)
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

ipp_frame_t *ipp_private_read(const char *path, ipp_err_t *err)
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
