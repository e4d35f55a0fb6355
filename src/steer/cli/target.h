/* SPDX-License-Identifier: BSD-3-Clause
 * Target specs, "0-3,7,ocean": the same rules as the bridge's, for verbs that have to know which
 * engines are meant before they ask. */
#ifndef IPP_CLI_TARGET_H
#define IPP_CLI_TARGET_H

#include <jansson.h>

#include "base/base.h"

/* NULL, or why `spec` cannot be one: an empty part, a range that runs backwards, a character that
 * no name has. Whether its engines and groups exist is not looked at. */
const char *target_complaint(const char *spec);

/* The id when `spec` is one id and nothing else, -1 otherwise. */
int target_single(const char *spec);

/* Ids of the living engines that `spec` (NULL: "all") means, in ascending order, each once; the
 * caller frees *ids. `engines` is an object of them by id, as in an attach_reply, with "group"
 * where there is one. -1 with a text and errno EINVAL (no spec), ENOENT (no such engine or group,
 * or none at all). */
int target_resolve(const char *spec, const json_t *engines, int **ids, size_t *count,
                   ipp_err_t *err);

/* The first id of `spec` that is not among `engines`; -1 when there is none. */
int target_missing(const char *spec, const json_t *engines);

#endif
