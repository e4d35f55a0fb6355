/* SPDX-License-Identifier: BSD-3-Clause
 * What user code prints becomes stream messages while it runs: who drives the link sends what has
 * waited SEND_AFTER_MS, so a rank that is blocked in C or MPI still shows what it printed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi_engine/engine.h"

#define SEND_AFTER_MS 50
#define SEND_AT_BYTES 65536
/* So many messages under way to the bridge make whoever prints wait for room. */
#define UNSENT_MAX 512
/* A pipe is read in pieces of this size, and so many at once: more than it holds, and an end for a
 * writer that has none. */
#define PIPE_BYTES 65536
#define PIPE_READS 4

struct stream {
    const char *name;
    char *text;
    size_t size, capacity;
    int pipe_fd;  /* reads what was written to the file descriptor */
    int saved_fd; /* where the file descriptor pointed before */
};

struct output {
    struct engine *engine;
    pthread_mutex_t mutex;
    struct stream streams[2];
    ipp_frame_t *parent; /* header of the request that output belongs to; NULL before the first */
    uint64_t number;
    int64_t due_ms;    /* 0: nothing waits */
    int64_t looked_ms; /* when output_tick last read the pipes */
};

/* In a child that user code forked there is no comm thread: it writes into the pipes, which the
 * parent reads. */
static bool forked;

static void note_fork(void)
{
    forked = true;
}

static void send_stream(struct output *output, struct stream *stream)
{
    if (stream->size == 0)
        return;
    json_t *content =
        json_pack("{s:s, s:s%}", "name", stream->name, "text", stream->text, stream->size);
    if (!content) { /* not UTF-8: C code may print anything */
        for (size_t i = 0; i < stream->size; i++)
            if ((unsigned char)stream->text[i] >= 0x80)
                stream->text[i] = '?';
        content =
            json_pack("{s:s, s:s%}", "name", stream->name, "text", stream->text, stream->size);
    }
    stream->size = 0;
    if (content)
        request_publish(output->engine, output->number, output->parent, "stream",
                        wire_json_frame_new(content), NULL, NULL);
}

static void send_all(struct output *output)
{
    send_stream(output, &output->streams[0]);
    send_stream(output, &output->streams[1]);
    output->due_ms = 0;
}

static void append(struct output *output, struct stream *stream, const char *text, size_t size)
{
    if (!output->parent) { /* nobody asked for anything yet: leave it to the job's own output */
        ssize_t written = write(stream->saved_fd, text, size);
        (void)written;
        return;
    }
    if (stream->size + size > stream->capacity) {
        size_t capacity = (stream->size + size) * 2;
        char *bigger = realloc(stream->text, capacity);
        if (!bigger)
            return;
        stream->text = bigger;
        stream->capacity = capacity;
    }
    memcpy(stream->text + stream->size, text, size);
    stream->size += size;
    if (stream->size >= SEND_AT_BYTES)
        send_stream(output, stream);
    else if (output->due_ms == 0)
        output->due_ms = ipp_now_ms() + SEND_AFTER_MS;
}

static void read_pipe(struct output *output, struct stream *stream)
{
    static char bytes[PIPE_BYTES]; /* under the mutex */
    ssize_t size;
    for (int i = 0; i < PIPE_READS && (size = read(stream->pipe_fd, bytes, sizeof bytes)) > 0; i++)
        append(output, stream, bytes, (size_t)size);
}

static void read_pipes(struct output *output)
{
    struct pollfd fds[] = { { output->streams[0].pipe_fd, POLLIN, 0 },
                            { output->streams[1].pipe_fd, POLLIN, 0 } };
    if (poll(fds, 2, 0) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (fds[i].revents)
            read_pipe(output, &output->streams[i]);
}

void output_attribute(struct output *output, const struct request *request)
{
    if (!request)
        return;
    pthread_mutex_lock(&output->mutex);
    read_pipes(output);
    send_all(output);
    ipp_frame_unref(output->parent);
    output->parent = ipp_frame_ref(request->frames.at[FRAME_HEADER]);
    output->number = request->envelope.request;
    pthread_mutex_unlock(&output->mutex);
}

void output_write(struct output *output, int which, const char *text, size_t size)
{
    if (forked) {
        ssize_t written = write(which, text, size);
        (void)written;
        return;
    }
    link_wait_room(output->engine->link, UNSENT_MAX);
    pthread_mutex_lock(&output->mutex);
    bool first = output->due_ms == 0;
    append(output, &output->streams[which - 1], text, size);
    bool wake = first && output->due_ms != 0;
    pthread_mutex_unlock(&output->mutex);
    if (wake)
        link_wake(output->engine->link); /* so that it counts the time from now */
}

void output_flush(struct output *output)
{
    fflush(stdout);
    if (forked)
        return;
    pthread_mutex_lock(&output->mutex);
    read_pipes(output);
    if (output->parent)
        send_all(output);
    pthread_mutex_unlock(&output->mutex);
}

int output_tick(struct output *output, bool look)
{
    int left = -1;
    pthread_mutex_lock(&output->mutex);
    int64_t now = ipp_now_ms();
    bool room =
        link_unsent(output->engine->link) <= UNSENT_MAX; /* else the pipe holds the writer back */
    if (room && (look || now - output->looked_ms >= SEND_AFTER_MS)) {
        read_pipes(output);
        output->looked_ms = now;
    }
    if (output->due_ms != 0) {
        left = (int)(output->due_ms - now);
        if (left <= 0) {
            send_all(output);
            left = -1;
        }
    }
    pthread_mutex_unlock(&output->mutex);
    return left;
}

void output_publish(struct output *output, const char *msg_type, ipp_frame_t *content,
                    ipp_frame_t *metadata, ipp_frames_t *buffers)
{
    if (!forked)
        link_wait_room(output->engine->link, UNSENT_MAX);
    output_flush(output);
    pthread_mutex_lock(&output->mutex);
    if (output->parent && !forked) {
        request_publish(output->engine, output->number, output->parent, msg_type, content, metadata,
                        buffers);
    } else {
        ipp_frame_unref(content);
        ipp_frame_unref(metadata);
        ipp_frames_clear(buffers);
    }
    pthread_mutex_unlock(&output->mutex);
}

/* Puts a pipe in the place of a file descriptor. */
static int capture(struct stream *stream, int fd)
{
    int ends[2];
    stream->saved_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (stream->saved_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    stream->pipe_fd = ends[0];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || dup2(ends[1], fd) < 0)
        return -1;
    close(ends[1]);
    return 0;
}

static void release(struct stream *stream, int fd)
{
    if (stream->saved_fd < 0)
        return;
    dup2(stream->saved_fd, fd);
    close(stream->saved_fd);
    if (stream->pipe_fd >= 0)
        close(stream->pipe_fd);
    free(stream->text);
}

struct output *output_create(struct engine *engine, ipp_err_t *err)
{
    struct output *output = calloc(1, sizeof *output);
    if (!output) {
        ipp_err(err, ENOMEM, "no memory for output");
        return NULL;
    }
    pthread_mutex_init(&output->mutex, NULL);
    pthread_atfork(NULL, NULL, note_fork);
    output->engine = engine;
    output->streams[0] = (struct stream){ .name = "stdout", .pipe_fd = -1, .saved_fd = -1 };
    output->streams[1] = (struct stream){ .name = "stderr", .pipe_fd = -1, .saved_fd = -1 };
    fflush(NULL);
    if (capture(&output->streams[0], STDOUT_FILENO) < 0 ||
        capture(&output->streams[1], STDERR_FILENO) < 0 ||
        link_watch(engine->link, output->streams[0].pipe_fd) < 0 ||
        link_watch(engine->link, output->streams[1].pipe_fd) < 0) {
        ipp_err(err, errno, "cannot capture standard output: %s", strerror(errno));
        output_destroy(output);
        return NULL;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a C library's printf shows line by line, pipe or not */
    ipp_log_setup(output->streams[1].saved_fd, "ipp-engine", engine->id + IPP_SERVICE_RANKS,
                  ipp_log_level());
    return output;
}

void output_destroy(struct output *output)
{
    if (!output)
        return;
    int saved_errno = errno;
    fflush(NULL);
    ipp_log_setup(STDERR_FILENO, "ipp-engine", output->engine->id + IPP_SERVICE_RANKS,
                  ipp_log_level());
    release(&output->streams[0], STDOUT_FILENO);
    release(&output->streams[1], STDERR_FILENO);
    ipp_frame_unref(output->parent);
    pthread_mutex_destroy(&output->mutex);
    free(output);
    errno = saved_errno;
}
