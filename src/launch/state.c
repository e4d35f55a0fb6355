/* SPDX-License-Identifier: BSD-3-Clause
 * The record of a started cluster: one JSON file in the profile's pid folder. */
#include "launch/launch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/wire.h"

int state_take(struct state *state, json_t *record, const char *path, ipp_err_t *err)
{
    struct state fresh = { .record = record };
    json_int_t pid;
    json_error_t why;
    if (json_unpack_ex(record, &why, 0, "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:I}", "profile",
                       &fresh.profile, "cluster_id", &fresh.cluster_id, "host", &fresh.host, "mark",
                       &fresh.mark, "started", &fresh.started, "connection_file",
                       &fresh.connection_file, "log_file", &fresh.log_file, "engines",
                       &fresh.engines, "pid", &pid) < 0 ||
        pid < 1 || !fresh.mark[0]) {
        json_decref(record);
        return ipp_err(err, EBADMSG, "%s is not a record of ipp-cluster: remove it", path);
    }
    fresh.pid = (pid_t)pid;
    *state = fresh;
    return 0;
}

int state_read(struct state *state, const char *path, ipp_err_t *err)
{
    ipp_frame_t *text = ipp_private_read(path, err);
    if (!text)
        return -1;
    json_t *record = json_loadb(ipp_frame_data(text), ipp_frame_size(text), 0, NULL);
    ipp_frame_unref(text);
    return state_take(state, record, path, err);
}

int state_write(const struct state *state, const char *path, ipp_err_t *err)
{
    return wire_json_write(path, state->record, err);
}

void state_clear(struct state *state)
{
    json_decref(state->record);
    *state = (struct state){ 0 };
}

bool state_is_local(const struct state *state)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return strcmp(host, state->host) == 0;
}

/* ---- all of them ---- */

struct list {
    struct state *at;
    size_t count;
};

static int by_name(const void *left, const void *right)
{
    const struct state *a = left, *b = right;
    int order = strcmp(a->profile, b->profile);
    return order ? order : strcmp(a->cluster_id, b->cluster_id);
}

static void add(struct list *list, const char *path)
{
    ipp_err_t err;
    struct state state;
    struct state *at = realloc(list->at, (list->count + 1) * sizeof *at);
    if (!at)
        return;
    list->at = at;
    if (state_read(&state, path, &err) == 0)
        list->at[list->count++] = state;
    else
        fail(&err);
}

/* Records of one profile: "ipp-cluster*.json" in its pid folder. */
static void add_profile(struct list *list, const char *root, const char *profile_dir)
{
    char *folder, *path;
    if (asprintf(&folder, "%s/%s/pid", root, profile_dir) < 0)
        return;
    DIR *pid_dir = opendir(folder);
    for (struct dirent *e; pid_dir && (e = readdir(pid_dir));) {
        size_t length = strlen(e->d_name);
        if (strncmp(e->d_name, "ipp-cluster", 11) != 0 || length < 16 ||
            strcmp(e->d_name + length - 5, ".json") != 0 ||
            asprintf(&path, "%s/%s", folder, e->d_name) < 0)
            continue;
        add(list, path);
        free(path);
    }
    if (pid_dir)
        closedir(pid_dir);
    free(folder);
}

size_t states_list(const char *root, struct state **states)
{
    struct list list = { 0 };
    DIR *dir = opendir(root);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strncmp(e->d_name, "profile_", 8) == 0)
            add_profile(&list, root, e->d_name);
    if (dir)
        closedir(dir);
    if (list.count > 1)
        qsort(list.at, list.count, sizeof *list.at, by_name);
    *states = list.at;
    return list.count;
}

void states_free(struct state *states, size_t count)
{
    for (size_t i = 0; i < count; i++)
        state_clear(&states[i]);
    free(states);
}
