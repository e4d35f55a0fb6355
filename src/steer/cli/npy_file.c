/* SPDX-License-Identifier: BSD-3-Clause
 * .npy files on disk: read through a mapping, written beside their place and renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steer/cli/npy.h"
#include "steer/cli/text.h"

static int cannot(ipp_err_t *err, const char *verb, const char *path)
{
    return ipp_err(err, errno, "cannot %s %s: %s", verb, path, strerror(errno));
}

static int map_file(struct npy_file *file, int fd, const char *path, ipp_err_t *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return cannot(err, "read", path);
    if (!S_ISREG(info.st_mode))
        return ipp_err(err, EINVAL, "cannot read %s: not a regular file", path);
    if (info.st_size == 0)
        return ipp_err(err, EBADMSG, "cannot read %s: it is empty", path);
    file->size = (size_t)info.st_size;
    file->map = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file->map != MAP_FAILED)
        return 0;
    file->map = NULL;
    return cannot(err, "read", path);
}

int npy_open(struct npy_file *file, const char *path, ipp_err_t *err)
{
    ipp_err_t why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *file = (struct npy_file){ 0 };
    if (fd < 0)
        return cannot(err, "read", path);
    int result = map_file(file, fd, path, err), saved_errno = errno;
    close(fd);
    if (result == 0 && npy_parse(&file->array, file->map, file->size, &why) < 0) {
        saved_errno = errno;
        result = ipp_err(err, saved_errno, "cannot read %s: %s", path, why.text);
        npy_close(file);
    }
    errno = saved_errno;
    return result;
}

void npy_close(struct npy_file *file)
{
    json_decref(file->array.dtype);
    if (file->map)
        munmap(file->map, file->size);
    *file = (struct npy_file){ 0 };
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

static int write_parts(int fd, const char *header, size_t header_size,
                       const struct npy_piece *pieces, size_t count)
{
    int result = write_all(fd, header, header_size);
    for (size_t i = 0; i < count && result == 0; i++)
        result = write_all(fd, pieces[i].data, pieces[i].size);
    return result;
}

/* A file of the rights that a new one has, under another name in the same folder. */
static int open_beside(char *temporary)
{
    mode_t mask = umask(0);
    umask(mask);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd >= 0)
        fchmod(fd, 0666 & ~mask);
    return fd;
}

/* What is no regular file (a pipe, /dev/stdout) is written into, not replaced. */
static bool replaceable(const char *path)
{
    struct stat info;
    return lstat(path, &info) < 0 || S_ISREG(info.st_mode);
}

int npy_write(const char *path, const struct npy_array *array, const struct npy_piece *pieces,
              size_t count, ipp_err_t *err)
{
    size_t size;
    char *header = npy_header(array, &size, err);
    if (!header)
        return -1;
    bool replace = replaceable(path);
    char *temporary = cli_format("%s.XXXXXX", path);
    int fd = replace ? open_beside(temporary) : open(path, O_WRONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : write_parts(fd, header, size, pieces, count);
    if (fd >= 0 && close(fd) < 0)
        result = -1;
    if (result == 0 && replace)
        result = rename(temporary, path);
    int saved_errno = errno;
    if (result < 0 && fd >= 0 && replace)
        unlink(temporary);
    errno = saved_errno;
    if (result < 0)
        cannot(err, "write", path);
    free(temporary);
    free(header);
    return result;
}
