/* SPDX-License-Identifier: BSD-3-Clause
 * Where the connection file is: ipyparallel looks there. */
#include "wire/wire.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
