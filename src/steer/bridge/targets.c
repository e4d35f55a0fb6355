/* SPDX-License-Identifier: BSD-3-Clause
 * Which engines a client means: "all", "0-3,7", "ocean", "node17". */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

static bool is_alive(const struct bridge *b, int id)
{
    return b->engines[id].state == ENGINE_ALIVE;
}

/* "3" or "0-3". 1: it is one and was taken; 0: it is none; -1: with a text. */
static int take_range(struct bridge *b, const char *word, bool *taken, ipp_err_t *err)
{
    char *end;
    if (!isdigit((unsigned char)word[0]))
        return 0;
    errno = 0;
    unsigned long first = strtoul(word, &end, 10), last = first;
    if (*end == '-' && isdigit((unsigned char)end[1]))
        last = strtoul(end + 1, &end, 10);
    if (*end)
        return 0;
    if (errno || last >= (unsigned long)b->engine_count)
        return ipp_err(err, EINVAL, "there is no engine %.40s: they are 0 to %d", word,
                       b->engine_count - 1);
    if (first > last)
        return ipp_err(err, EINVAL, "%.40s: the last is before the first", word);
    for (unsigned long id = first; id <= last; id++)
        taken[id] = true;
    return 1;
}

/* The living engines that have said `word` of `key` (NULL: all); false: none ever has. */
static bool take_those(struct bridge *b, const char *key, const char *word, bool *taken)
{
    bool known = !key;
    for (int id = 0; id < b->engine_count; id++) {
        bool member = !key || strcmp(wire_json_string(b->engines[id].about, key, ""), word) == 0;
        known |= member;
        if (member && is_alive(b, id))
            taken[id] = true;
    }
    return known;
}

static int take_name(struct bridge *b, const char *word, bool *taken, ipp_err_t *err)
{
    bool known =
        word[0] != '\0' && (take_those(b, strcmp(word, "all") == 0 ? NULL : "group", word, taken) ||
                            take_those(b, "host", word, taken));
    return known ? 0 : ipp_err(err, EINVAL, "no engine, group or host is called '%.100s'", word);
}

static int take_words(struct bridge *b, char *words, bool *taken, ipp_err_t *err)
{
    for (char *word; (word = strsep(&words, ",")) != NULL;) {
        while (isspace((unsigned char)*word))
            word++;
        for (size_t n = strlen(word); n > 0 && isspace((unsigned char)word[n - 1]); n--)
            word[n - 1] = '\0';
        int range = take_range(b, word, taken, err);
        if (range < 0 || (range == 0 && take_name(b, word, taken, err) < 0))
            return -1;
    }
    return 0;
}

int targets_resolve(struct bridge *b, const char *targets, int **ids, size_t *count, ipp_err_t *err)
{
    bool *taken = calloc((size_t)b->engine_count, sizeof *taken);
    int *list = calloc((size_t)b->engine_count, sizeof *list);
    char *words = strdup(targets);
    if (!taken || !list || !words)
        abort();
    int result = take_words(b, words, taken, err);
    *count = 0;
    for (int id = 0; result == 0 && id < b->engine_count; id++)
        if (taken[id])
            list[(*count)++] = id;
    if (result == 0 && *count == 0)
        result = ipp_err(err, EINVAL, "no engine of '%.100s' is alive", targets);
    if (result < 0)
        free(list);
    else
        *ids = list;
    free(taken);
    free(words);
    return result;
}
