/* SPDX-License-Identifier: BSD-3-Clause
 * The command line that starts ipp-engine under the MPI of this build. */
#include "launch/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wordexp.h>

#define SERVICE_RANKS 2 /* bridge and balancer */

/* Keeps a rank's death to itself. Hydra ends the whole job when a rank dies by a signal, so a shell
 * turns that into an exit code; it sends SIGUSR1 to the survivors, which would end them; and a
 * shell that dies of the SIGTERM meant for its rank leaves that rank alone in MPI_Finalize, so the
 * shell stays. */
#define MPICH_GUARD "trap '' USR1; trap : TERM INT; \"$@\"; exit $?"

static bool is_flavour(const char *name)
{
    return strcmp(IPP_MPI_FLAVOUR, name) == 0;
}

/* ---- finding programs ---- */

/* `name`, made absolute, when it can be run. */
static char *find_here(const char *name)
{
    char *path = NULL;
    char *folder = name[0] == '/' ? strdup("") : getcwd(NULL, 0);
    if (folder && access(name, X_OK) == 0 &&
        asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0)
        path = NULL;
    free(folder);
    return path;
}

/* The first executable `name` in PATH, or `name` itself when it has a slash; NULL when there is
 * none. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    if (strchr(name, '/'))
        return find_here(name);
    for (const char *from = path ? path : "/usr/bin:/bin"; from; from = strchr(from, ':')) {
        char *candidate;
        from += *from == ':';
        if (asprintf(&candidate, "%.*s/%s", (int)strcspn(from, ":"), from, name) < 0)
            return NULL;
        if (access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
    }
    return NULL;
}

/* `name` in the folder of this program. In a build tree the program itself may be in .libs, and
 * what stands one up is the script that sets its library path. */
static char *find_beside(const char *name)
{
    char self[4096], *path;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return NULL;
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    char *folder = strrchr(self, '/');
    if (folder && strcmp(folder, "/.libs") == 0)
        *folder = '\0';
    if (asprintf(&path, "%s/%s", self, name) < 0)
        return NULL;
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *find_engine(const struct options *options, ipp_err_t *err)
{
    const char *wanted = options->engine_program;
    char *found = wanted ? find_program(wanted) : find_beside("ipp-engine");
    if (!found && !wanted)
        found = find_program("ipp-engine");
    if (!found && wanted)
        ipp_err(err, ENOENT, "no program %s (--engine-program)", wanted);
    else if (!found)
        ipp_err(err, ENOENT,
                "ipp-engine is neither beside ipp-cluster nor in PATH: install it, or "
                "give --engine-program=PATH");
    return found;
}

static char *find_mpirun(const struct options *options, ipp_err_t *err)
{
    const char *wanted = options->mpirun ? options->mpirun : IPP_MPIRUN;
    char *found = find_program(wanted);
    if (!found && options->mpirun)
        ipp_err(err, ENOENT, "no program %s (--mpirun)", wanted);
    else if (!found)
        ipp_err(err, ENOENT, "%s is missing: install it (%s), or give --mpirun=PATH", wanted,
                is_flavour("mpich") ? "Debian: apt-get install mpich"
                                    : "Debian: apt-get install openmpi-bin");
    return found;
}

/* ---- the command ---- */

static void append(json_t *command, const char *word)
{
    json_array_append_new(command, json_string(word));
}

static void append_all(json_t *command, const char *const *words)
{
    for (; *words; words++)
        append(command, *words);
}

/* Words as a shell would split them, but nothing is run or redirected. */
static int append_words(json_t *command, const char *text, ipp_err_t *err)
{
    wordexp_t words;
    if (wordexp(text, &words, WRDE_NOCMD) != 0)
        return ipp_err(err, EINVAL, "--mpirun-args=%s: quote it as for a shell, without $( | & ;",
                       text);
    for (size_t i = 0; i < words.we_wordc; i++)
        append(command, words.we_wordv[i]);
    wordfree(&words);
    return 0;
}

/* Open MPI takes cores for slots and refuses to start more ranks; bridge and balancer sleep most of
 * the time, and engines on a laptop may well outnumber its cores. Binding is done by ipp-engine,
 * which knows the ranks' roles. */
static void append_flavour(json_t *command)
{
    static const char *const openmpi[] = { "--enable-recovery", "--oversubscribe", "--bind-to",
                                           "none", NULL };
    static const char *const mpich[] = { "-disable-auto-cleanup", NULL };
    if (is_flavour("openmpi"))
        append_all(command, openmpi);
    else if (is_flavour("mpich"))
        append_all(command, mpich);
}

static void append_engines(json_t *command, int ranks, const char *engine,
                           const struct options *options)
{
    static const char *const guard[] = { "/bin/sh", "-c", MPICH_GUARD, "ipp-engine", NULL };
    char count[16];
    snprintf(count, sizeof count, "%d", ranks);
    append(command, "-n");
    append(command, count);
    if (is_flavour("mpich"))
        append_all(command, guard);
    append(command, engine);
    for (size_t i = 0; i < options->engine_arg_count; i++)
        append(command, options->engine_args[i]);
}

static void append_groups(json_t *command, const char *engine, const struct options *options)
{
    for (size_t i = 0; i < options->group_count; i++) {
        const struct group *group = &options->groups[i];
        append(command, ":");
        append_engines(command, group->engines, engine, options);
        json_array_append_new(command, json_pack("s+", "--group=", group->name));
    }
}

json_t *mpirun_command(const struct options *options, ipp_err_t *err)
{
    int others = options->count;
    json_t *command = NULL;
    char *mpirun = find_mpirun(options, err);
    char *engine = mpirun ? find_engine(options, err) : NULL;
    if (!engine || !(command = json_array()))
        goto error;
    append(command, mpirun);
    append_flavour(command);
    if (options->mpirun_args && append_words(command, options->mpirun_args, err) < 0)
        goto error;
    for (size_t i = 0; i < options->group_count; i++)
        others -= options->groups[i].engines;
    append_engines(command, others + SERVICE_RANKS, engine, options);
    append_groups(command, engine, options);
    free(mpirun);
    free(engine);
    return command;
error:
    json_decref(command);
    free(mpirun);
    free(engine);
    return NULL;
}

/* ---- the environment ---- */

static int allow_root(void)
{
    if (geteuid() != 0 || !is_flavour("openmpi") || getenv("OMPI_ALLOW_RUN_AS_ROOT"))
        return 0;
    fprintf(stderr,
            "ipp-cluster: you are root, which Open MPI refuses: setting "
            "OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 for this cluster\n");
    if (setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1) < 0)
        return -1;
    return setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
}

int mpirun_environment(const char *mark, const char *notify, ipp_err_t *err)
{
    if (setenv(MARK_VARIABLE, mark, 1) < 0 || setenv("NOTIFY_SOCKET", notify, 1) < 0 ||
        allow_root() < 0)
        return ipp_err(err, errno, "cannot set the environment: %s", strerror(errno));
    return 0;
}
