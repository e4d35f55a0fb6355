/* SPDX-License-Identifier: BSD-3-Clause
 * What is known of the cluster: the last attach_reply, without the engines that have gone since. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    return (left > right) - (left < right);
}

static int list_engines(ipp_steer_t *steer)
{
    json_t *engines = json_object_get(steer->about, "engines"), *value;
    const char *key;
    size_t count = 0;
    int *ids = malloc((json_object_size(engines) + 1) * sizeof *ids);
    if (!ids)
        return -1;
    json_object_foreach(engines, key, value) ids[count++] = (int)strtol(key, NULL, 10);
    qsort(ids, count, sizeof *ids, by_id);
    free(steer->engines);
    steer->engines = ids;
    steer->engine_count = count;
    return 0;
}

static int refresh(ipp_steer_t *steer)
{
    char *text = json_dumps(steer->about, JSON_COMPACT);
    if (!text || list_engines(steer) < 0) {
        free(text);
        errno = ENOMEM;
        return -1;
    }
    free(steer->about_text);
    steer->about_text = text;
    return 0;
}

int about_set(ipp_steer_t *steer, json_t *content)
{
    json_decref(steer->about);
    steer->about = json_incref(content);
    return refresh(steer);
}

void about_engine_gone(ipp_steer_t *steer, json_int_t id)
{
    char key[24];
    snprintf(key, sizeof key, "%lld", (long long)id);
    if (json_object_del(json_object_get(steer->about, "engines"), key) == 0 && refresh(steer) < 0)
        ipp_log(IPP_LOG_ERROR, "no memory to note that engine %s has gone", key);
}

void about_clear(ipp_steer_t *steer)
{
    json_decref(steer->about);
    free(steer->about_text);
    free(steer->engines);
}
