/* SPDX-License-Identifier: BSD-3-Clause
 * New headers and the ids in them. */
#include "wire/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Message ids are made as Jupyter makes them, RANDOM_PID_N: one random number a process, and the
 * pid for its forks. */
static pthread_once_t prefix_once = PTHREAD_ONCE_INIT;
static char random_part[37], prefix[64];

static void prefix_note_pid(void)
{
    snprintf(prefix, sizeof prefix, "%s_%ld", random_part, (long)getpid());
}

static void prefix_draw(void)
{
    wire_uuid(random_part);
    prefix_note_pid();
    pthread_atfork(NULL, NULL, prefix_note_pid);
}

static void next_msg_id(char *out, size_t size)
{
    static _Atomic uint64_t count;
    pthread_once(&prefix_once, prefix_draw);
    snprintf(out, size, "%s_%llu", prefix, (unsigned long long)atomic_fetch_add(&count, 1));
}

/* Types of messages that a program makes are few; headers of more are made one by one. */
#define TYPES_MAX 64

struct wire_headers {
    char *session;
    pthread_mutex_t mutex;
    struct {
        char *msg_type;
        wire_form_t *form;
    } types[TYPES_MAX];
    size_t count;
};

wire_headers_t *wire_headers_create(const char *session)
{
    wire_headers_t *headers = calloc(1, sizeof *headers);
    if (!headers || !(headers->session = strdup(session))) {
        free(headers);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&headers->mutex, NULL);
    return headers;
}

void wire_headers_destroy(wire_headers_t *headers)
{
    if (!headers)
        return;
    int saved_errno = errno;
    for (size_t i = 0; i < headers->count; i++) {
        free(headers->types[i].msg_type);
        wire_form_destroy(headers->types[i].form);
    }
    pthread_mutex_destroy(&headers->mutex);
    free(headers->session);
    free(headers);
    errno = saved_errno;
}

static wire_form_t *new_form(const wire_headers_t *headers, const char *msg_type)
{
    return wire_form_create(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "msg_id", "", "date", "",
                                      "msg_type", msg_type, "username", "ipp", "session",
                                      headers->session, "version", "5.3"),
                            2);
}

static wire_form_t *known_form(wire_headers_t *headers, const char *msg_type)
{
    for (size_t i = 0; i < headers->count; i++)
        if (strcmp(headers->types[i].msg_type, msg_type) == 0)
            return headers->types[i].form;
    return NULL;
}

/* The form is not the list's, and the caller's, when it cannot be kept. */
static wire_form_t *find_form(wire_headers_t *headers, const char *msg_type, bool *kept)
{
    pthread_mutex_lock(&headers->mutex);
    wire_form_t *form = known_form(headers, msg_type);
    *kept = form != NULL;
    char *name;
    if (!form && (form = new_form(headers, msg_type)) && headers->count < TYPES_MAX &&
        (name = strdup(msg_type))) {
        headers->types[headers->count].msg_type = name;
        headers->types[headers->count++].form = form;
        *kept = true;
    }
    pthread_mutex_unlock(&headers->mutex);
    return form;
}

ipp_frame_t *wire_headers_next(wire_headers_t *headers, const char *msg_type)
{
    char msg_id[96], date[IPP_DATE_LEN];
    bool kept;
    wire_form_t *form = find_form(headers, msg_type, &kept);
    if (!form)
        return NULL;
    next_msg_id(msg_id, sizeof msg_id);
    ipp_date(date);
    const struct wire_slice values[] = { { msg_id, strlen(msg_id) }, { date, strlen(date) } };
    ipp_frame_t *frame = wire_form_fill(form, values);
    if (!kept)
        wire_form_destroy(form);
    return frame;
}

/* ---- copies of a broadcast ---- */

#define COPIES_BEGIN "{\"msg_id\":\""

char *wire_copy_id(const char *msg_id, const char *uuid)
{
    char *id;
    return asprintf(&id, "%s_%s", msg_id, uuid) < 0 ? NULL : id;
}

int wire_copy_rename(json_t *header, const char *uuid)
{
    const char *msg_id = wire_json_string(header, "msg_id", NULL);
    if (!msg_id) {
        errno = EINVAL;
        return -1;
    }
    char *id = wire_copy_id(msg_id, uuid);
    if (!id)
        return -1;
    int result = json_object_set_new(header, "msg_id", json_string(id));
    free(id);
    if (result < 0)
        errno = EINVAL;
    return result;
}

ipp_frame_t *wire_copies_header(json_t *header, size_t *id_end)
{
    json_t *id = json_object_get(header, "msg_id");
    json_t *first = json_is_string(id) ? json_pack("{s:O}", "msg_id", id) : NULL;
    if (!first) {
        errno = EINVAL;
        return NULL;
    }
    ipp_frame_t *alone = wire_json_frame(first);
    ipp_frame_t *whole =
        json_object_update_missing(first, header) == 0 ? wire_json_frame(first) : NULL;
    json_decref(first);
    if (alone && whole) {
        *id_end = ipp_frame_size(alone) - strlen("\"}");
    } else {
        ipp_frame_unref(whole);
        whole = NULL;
        errno = ENOMEM;
    }
    ipp_frame_unref(alone);
    return whole;
}

ipp_frame_t *wire_copy_header(ipp_frame_t *header, size_t id_end, const char *uuid)
{
    const char *text = ipp_frame_data(header);
    size_t size = ipp_frame_size(header), added = strlen(uuid) + 1;
    if (id_end < strlen(COPIES_BEGIN) || id_end >= size || text[id_end] != '"') {
        errno = EBADMSG;
        return NULL;
    }
    ipp_frame_t *copy = ipp_frame_alloc(size + added);
    if (!copy)
        return NULL;
    char *to = ipp_frame_data(copy);
    memcpy(to, text, id_end);
    to[id_end] = '_';
    memcpy(to + id_end + 1, uuid, added - 1);
    memcpy(to + id_end + added, text + id_end, size - id_end);
    return copy;
}

struct wire_slice wire_copies_id(ipp_frame_t *header, size_t id_end)
{
    const char *text = ipp_frame_data(header);
    size_t begin = strlen(COPIES_BEGIN);
    return (struct wire_slice){ text + begin, id_end - begin };
}
