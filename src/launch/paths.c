/* SPDX-License-Identifier: BSD-3-Clause
 * Where a cluster's files are: all below its profile's folder, which wire knows how to find. */
#include "launch/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

/* ".../profile_NAME/security/ipcontroller-client.json" without its last `levels` names. */
static char *parent(const char *path, int levels)
{
    char *copy = strdup(path);
    for (int i = 0; copy && i < levels; i++) {
        char *slash = strrchr(copy, '/');
        if (slash)
            *slash = '\0';
    }
    return copy;
}

static char *profile_file(const char *profile_dir, const char *folder, const char *cluster_id,
                          const char *suffix)
{
    char *path;
    int length = asprintf(&path, "%s/%s/ipp-cluster%s%s%s", profile_dir, folder,
                          cluster_id[0] ? "-" : "", cluster_id, suffix);
    return length < 0 ? NULL : path;
}

int paths_find(struct paths *paths, const char *profile, const char *cluster_id, ipp_err_t *err)
{
    struct paths found = { .connection = wire_connection_path(profile, cluster_id, err) };
    if (!found.connection)
        return -1;
    char *profile_dir = parent(found.connection, 2);
    found.root = parent(found.connection, 3);
    if (profile_dir) {
        found.state = profile_file(profile_dir, "pid", cluster_id, ".json");
        found.log = profile_file(profile_dir, "log", cluster_id, ".log");
    }
    free(profile_dir);
    if (!found.root || !found.state || !found.log) {
        paths_clear(&found);
        return ipp_err(err, ENOMEM, "out of memory");
    }
    *paths = found;
    return 0;
}

void paths_clear(struct paths *paths)
{
    free(paths->root);
    free(paths->connection);
    free(paths->state);
    free(paths->log);
    *paths = (struct paths){ 0 };
}

const char *cluster_title(char out[256], const char *profile, const char *cluster_id)
{
    const char *id = cluster_id[0] ? cluster_id : "default";
    if (strcmp(profile, "default") == 0)
        snprintf(out, 256, "cluster '%s'", id);
    else
        snprintf(out, 256, "cluster '%s' of profile '%s'", id, profile);
    return out;
}
