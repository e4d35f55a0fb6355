/* SPDX-License-Identifier: BSD-3-Clause
 * Small private files, read and written whole. */
#ifndef IPP_WIRE_CONNECTION_FILE_H
#define IPP_WIRE_CONNECTION_FILE_H

#include "base/base.h"

/* Puts `text` at `path` with mode 0600 in one step: readers see the old file or the new one. Makes
 * missing folders with mode 0700. -1 with errno and a text. */
int file_write_whole(const char *path, const char *text, ipp_err_t *err);

/* The bytes of a regular file of at most 1 MiB; NULL with errno and a text (EFBIG, EINVAL for other
 * kinds). */
ipp_frame_t *file_read_whole(const char *path, ipp_err_t *err);

#endif
