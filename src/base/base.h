/* SPDX-License-Identifier: BSD-3-Clause
 * The door of base: error text, log, clock, the byte frames that every other room hands around, and
 * private files.
 */
#ifndef IPP_BASE_H
#define IPP_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/busy_poll.h"

/* ---- errors: errno for the machine, a text for the human ---- */

typedef struct ipp_err {
    char text[512]; /* one line, no newline; "" when nothing failed */
} ipp_err_t;

/* Writes the text, sets errno to `code`, returns -1 always. `err` may be NULL: the text is dropped.
 */
int ipp_err(ipp_err_t *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- log: one line on stderr, "ipp-engine[RANK] level: text" ---- */

enum ipp_log_level {
    IPP_LOG_ERROR,
    IPP_LOG_WARNING,
    IPP_LOG_NOTICE, /* all is well, and to be found in the log: who was let in, who sent away */
    IPP_LOG_INFO,
    IPP_LOG_DEBUG
};

/* Level by its name ("error", "warning", "notice", "info", "debug"); -1 for any other word. */
int ipp_log_level_parse(const char *name);

/* `fd` is where lines go (not closed); `who` and the level hold from now on, for all threads. */
void ipp_log_setup(int fd, const char *who, int rank, enum ipp_log_level level);
enum ipp_log_level ipp_log_level(void);
/* Control characters are written as '?': texts of peers make no lines and no colours. */
void ipp_log(enum ipp_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* True at most once per `interval_ms` for one `last_ms` (start it at 0): for lines that a peer can
 * provoke. */
bool ipp_log_now_and_then(_Atomic int64_t *last_ms, int64_t interval_ms);

/* ---- clock ---- */

int64_t ipp_now_ns(void); /* monotonic */
int64_t ipp_now_ms(void); /* monotonic */

#define IPP_DATE_LEN 32
/* Now as ISO 8601 with microseconds in UTC, "2026-01-31T12:00:00.000000Z"; returns `out`. */
char *ipp_date(char out[IPP_DATE_LEN]);

/* ---- groups of engines ---- */

/* Letters, digits, '_', '-' and '.', a letter first, and not "all". */
bool ipp_is_group(const char *name);

/* ---- frames: reference-counted bytes, shared between threads and never changed once shared ----
 */

typedef struct ipp_frame ipp_frame_t;
typedef void (*ipp_frame_free_fn)(void *data, void *arg);

/* All return a frame with one reference, or NULL with errno ENOMEM. */
ipp_frame_t *ipp_frame_alloc(size_t size); /* contents unset; write through ipp_frame_data */
/* Large frames get mappings of their own, given back to the system at once; from now on let them
 * come from the heap, for a process that keeps its heap's memory. Call before threads start. */
void ipp_frame_use_heap(void);
/* Of the mappings that are freed, keep up to so many bytes for frames of the same sizes, until
 * ipp_frame_trim finds that nobody has used them for `unused_ms`. Before there are threads. */
void ipp_frame_keep(size_t bytes);
void ipp_frame_trim(int64_t unused_ms);
ipp_frame_t *ipp_frame_copy(const void *data, size_t size);
/* Borrows `data` until the last reference goes, then calls free_fn(data, arg) on whichever thread
 * dropped it. */
ipp_frame_t *ipp_frame_adopt(void *data, size_t size, ipp_frame_free_fn free_fn, void *arg);

ipp_frame_t *ipp_frame_ref(ipp_frame_t *frame);  /* returns frame */
void ipp_frame_unref(ipp_frame_t *frame);        /* NULL is fine; keeps errno */
void *ipp_frame_data(ipp_frame_t *frame);        /* never NULL, even when size is 0 */
size_t ipp_frame_size(const ipp_frame_t *frame); /* bytes */
/* True while somebody else has a reference too: who asks may not change the bytes. */
bool ipp_frame_shared(const ipp_frame_t *frame);
bool ipp_frame_equals(ipp_frame_t *frame, const void *data, size_t size);

/* A growing list that owns one reference to each of its frames. Start it as {0}. */
typedef struct ipp_frames {
    ipp_frame_t **at;
    size_t count, capacity;
} ipp_frames_t;

/* Moves the reference `frame` into the list; NULL (an allocation that failed) or no memory: -1,
 * errno ENOMEM. */
int ipp_frames_push(ipp_frames_t *frames, ipp_frame_t *frame);
int ipp_frames_push_copy(ipp_frames_t *frames, const void *data, size_t size);
/* Adds a reference to each of from[first..] to `to`. */
int ipp_frames_share(ipp_frames_t *to, const ipp_frames_t *from, size_t first);
size_t ipp_frames_bytes(const ipp_frames_t *frames);
void ipp_frames_clear(ipp_frames_t *frames); /* drops all references; the list is {0} again */

/* ---- small files for their owner alone; -1 or NULL with errno and a text that names the path ----
 */

/* Makes the folders above `path` that are missing, with mode 0700 under any umask; the last one is
 * one we may write in (else EACCES, EROFS). A folder may be a link to one; ENOTDIR where something
 * else is in the way. */
int ipp_private_folders(const char *path, ipp_err_t *err);

/* Puts `text` at `path` with mode 0600 in one step, making missing folders: readers see the old
 * file or the new one. A link at `path` is replaced, not followed. A failure leaves the old file.
 */
int ipp_private_write(const char *path, const char *text, ipp_err_t *err);

/* The bytes of a regular file of at most 1 MiB (EFBIG; EINVAL for other kinds, without waiting). */
ipp_frame_t *ipp_private_read(const char *path, ipp_err_t *err);

#endif
