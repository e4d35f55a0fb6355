/* SPDX-License-Identifier: BSD-3-Clause
 * The verb stop: an orderly end first, force after the grace, nothing left behind. */
#include "launch/launch.h"

#include <errno.h>
#include <stdio.h>

static void say(const char *title, const struct ending *ending, bool was_broken)
{
    if (was_broken)
        printf("%s: mpirun was gone already; killed %zu processes it had left\n", title,
               ending->killed);
    else if (ending->orderly && ending->killed == 0)
        printf("%s: stopped in %.1f s\n", title, ending->seconds);
    else if (ending->orderly)
        printf("%s: stopped in %.1f s; killed %zu processes that stayed behind\n", title,
               ending->seconds, ending->killed);
    else
        printf("%s: did not leave when asked; ended by force after %.1f s\n", title,
               ending->seconds);
}

static int stop_elsewhere(const char *title, const struct state *state, const struct paths *paths)
{
    fprintf(stderr,
            "ipp-cluster: %s was started on %s: stop it there, or remove %s if that host is gone\n",
            title, state->host, paths->state);
    return 1;
}

static int stop_state(const struct state *state, const struct options *options,
                      const struct paths *paths)
{
    char title[256];
    struct ending ending;
    enum condition condition = life_condition(state);
    cluster_title(title, state->profile, state->cluster_id);
    if (condition == CONDITION_ELSEWHERE)
        return stop_elsewhere(title, state, paths);
    if (condition == CONDITION_GONE) {
        life_forget(state, paths);
        fprintf(stderr,
                "ipp-cluster: %s had ended before (see ipp-cluster logs); cleaned up after it\n",
                title);
        return options->all ? 0 : 1;
    }
    life_end(state, options->grace_s * 1000, &ending);
    life_forget(state, paths);
    say(title, &ending, condition == CONDITION_BROKEN);
    return 0;
}

static int stop_one(const struct options *options)
{
    char title[256];
    ipp_err_t err;
    struct paths paths;
    struct state state;
    if (paths_find(&paths, options->profile, options->cluster_id, &err) < 0)
        return fail(&err);
    int result = 1;
    if (state_read(&state, paths.state, &err) == 0) {
        result = stop_state(&state, options, &paths);
        state_clear(&state);
    } else if (errno == ENOENT) {
        ipp_err(&err, ENOENT, "%s does not run: nothing to stop (ipp-cluster list shows what does)",
                cluster_title(title, options->profile, options->cluster_id));
        fail(&err);
    } else {
        fail(&err);
    }
    paths_clear(&paths);
    return result;
}

static int stop_all(const struct options *options)
{
    ipp_err_t err;
    struct paths paths;
    struct state *states;
    int result = 0;
    if (paths_find(&paths, options->profile, options->cluster_id, &err) < 0)
        return fail(&err);
    size_t count = states_list(paths.root, &states);
    paths_clear(&paths);
    for (size_t i = 0; i < count; i++) {
        struct options one = *options;
        one.profile = states[i].profile;
        one.cluster_id = states[i].cluster_id;
        result |= stop_one(&one);
    }
    if (count == 0)
        printf("no cluster runs: nothing to stop\n");
    states_free(states, count);
    return result;
}

int verb_stop(const struct options *options)
{
    return options->all ? stop_all(options) : stop_one(options);
}
