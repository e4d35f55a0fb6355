/* SPDX-License-Identifier: BSD-3-Clause
 * What a record means now, and ending a cluster: ask the bridge, ask mpirun, kill. */
#include "launch/launch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "wire/wire.h"

#define MPIRUN_GRACE_MS 5000 /* for mpirun to end its ranks after SIGTERM */
#define TAIL_MS 1000         /* for the last ranks to end after mpirun has */

static const char *const names[] = { "running", "starting", "broken", "gone", "elsewhere" };

const char *life_condition_name(enum condition condition)
{
    return names[condition];
}

enum condition life_condition(const struct state *state)
{
    if (!state_is_local(state))
        return CONDITION_ELSEWHERE;
    if (!proc_lives(state->pid, state->mark))
        return proc_count_marked(state->mark) > 0 ? CONDITION_BROKEN : CONDITION_GONE;
    return access(state->connection_file, F_OK) == 0 ? CONDITION_RUNNING : CONDITION_STARTING;
}

/* A pidfd for the bridge, -1 when it is on another host, gone, or has not written its file yet. */
static int open_bridge(const struct state *state)
{
    wire_connection_t connection = { 0 };
    if (wire_connection_read(state->connection_file, &connection, NULL) < 0)
        return -1;
    int pidfd = proc_open((pid_t)connection.pid, state->mark);
    wire_connection_clear(&connection);
    return pidfd;
}

/* mpirun's end is the cluster's: it waits for all ranks. True when it came within the grace. */
static bool ask(const struct state *state, int mpirun, int grace_ms)
{
    int bridge = open_bridge(state);
    if (bridge >= 0) {
        proc_signal(bridge, SIGTERM);
        close(bridge);
        if (proc_wait(mpirun, grace_ms))
            return true;
    }
    proc_signal(mpirun, SIGTERM);
    return proc_wait(mpirun, MPIRUN_GRACE_MS) && bridge < 0;
}

void life_end(const struct state *state, int grace_ms, struct ending *ending)
{
    int64_t begin = ipp_now_ms();
    int mpirun = proc_open(state->pid, state->mark);
    *ending = (struct ending){ 0 };
    if (mpirun >= 0) {
        ending->orderly = ask(state, mpirun, grace_ms);
        close(mpirun);
    }
    ending->killed = proc_kill_marked(state->mark, ending->orderly ? TAIL_MS : 0);
    ending->seconds = (double)(ipp_now_ms() - begin) / 1000;
}

void life_forget(const struct state *state, const struct paths *paths)
{
    wire_connection_remove(
        state->connection_file); /* usually gone already: the bridge removes it */
    unlink(paths->state);
}
