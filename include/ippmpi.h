/* SPDX-License-Identifier: BSD-3-Clause
 * libippmpi: interactive engines on MPI.
 *
 * One MPI job is one cluster: rank 0 is the bridge (sockets to clients), rank 1 the balancer, and
 * each further rank an engine whose id is its rank minus 2. */
#ifndef IPPMPI_H
#define IPPMPI_H

#ifdef __cplusplus
extern "C" {
#endif

#define IPP_API __attribute__((visibility("default")))

#define IPP_SERVICE_RANKS 2 /* bridge and balancer */
#define IPP_MIN_RANKS 3     /* and at least one engine */

/* Where an engine's threads may run. */
enum ipp_bind {
    IPP_BIND_NONE, /* leave it to the MPI launcher and the kernel */
    IPP_BIND_CORE, /* one core for each engine */
    IPP_BIND_NUMA, /* the cores of one NUMA node for each engine */
};

/* All strings are borrowed for the duration of the call; NULL means the default. Every rank must
 * pass the same, but for `group`. */
typedef struct ipp_options {
    const char *cluster_id; /* several clusters of one profile; default "" */
    const char *profile;    /* IPython profile; default "default" */
    const char *ip;         /* address the sockets listen on; default 127.0.0.1 */
    const char
        *connection_file;  /* default:
                              $IPYTHONDIR/profile_PROFILE/security/ipcontroller[-ID]-client.json */
    const char *python;    /* python3 whose environment engines use; default: as configured */
    const char *log_level; /* "error", "warning", "notice", "info" or "debug"; default "notice" */
    int idle_timeout_s;    /* end the job after so many seconds without work; 0: never */
    int prefetch;  /* tasks an engine may hold at once, the running one included; 0: no limit */
    int max_tasks; /* that may wait for an engine at once; 0: 10,000,000 */
    int session_timeout_s; /* how long the session of a steering client that is gone is kept; 0: an
                              hour */
    enum ipp_bind bind;
    const char *group; /* name by which clients address the engines that pass it: letters, digits,
                          '_', '-' and '.', a letter first, not "all"; default "": no group */
} ipp_options_t;

/* Joins the job and serves in the role of the own rank until the job ends: initialises MPI with
 * MPI_THREAD_MULTIPLE and finalises it. Collective over MPI_COMM_WORLD. Returns the process's exit
 * code: 0 after an orderly end, 1 when the cluster could not start or broke, 2 for options or a
 * number of ranks that make no sense; a line on stderr says why. */
IPP_API int ipp_serve(int *argc, char ***argv, const ipp_options_t *options);

/* Version as "MAJOR.MINOR.PATCH". */
IPP_API const char *ipp_version(void);

#ifdef __cplusplus
}
#endif

#endif
