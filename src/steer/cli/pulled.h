/* SPDX-License-Identifier: BSD-3-Clause
 * Values that came by name: what is in the answer to a pull or a reduction. */
#ifndef IPP_CLI_PULLED_H
#define IPP_CLI_PULLED_H

#include "steer/cli/cli.h"
#include "steer/cli/npy.h"
#include "steer/cli/text.h"

enum pulled_kind { PULLED_NOTHING, PULLED_ARRAY, PULLED_JSON, PULLED_PICKLE };

/* Belongs to the answer, but for `content` (pulled_clear). */
struct pulled {
    enum pulled_kind kind;
    bool scalar;            /* an array of no dimensions that was a number */
    struct npy_array array; /* of PULLED_ARRAY */
    json_t *value;          /* of PULLED_JSON */
    const json_t *shown;    /* how Python shows it (code_value), where an engine has said that */
    json_t *entry;          /* of `content` */
    json_t *content;
};

/* PULLED_NOTHING: the answer is an error, is without a value, or is not as it has to be. */
void pulled_read(struct pulled *pulled, const ipp_answer_t *answer);
void pulled_clear(struct pulled *pulled);

/* Whether only Python can show it. */
bool pulled_wants_python(const struct pulled *pulled);
/* As print would show it; what only Python can show, and no engine has, as what it is. */
void pulled_print(struct text *out, const struct pulled *pulled);
/* Adds "dtype" and "shape" of an array. */
void pulled_describe(json_t *object, const struct pulled *pulled);
/* Adds "value", or "text" for what JSON cannot hold, and of arrays "dtype" and "shape". */
void pulled_json(json_t *object, const struct pulled *pulled);

/* Of the answers to a pull, the engines whose value only Python can show, as targets; "" when there
 * are none. The caller frees it. */
char *pulled_wanting_python(const struct job *job);
/* Has these engines say how the value of argv[0] looks, and what it is in JSON: a bundle by id in
 * `texts`. That runs code, so it is not for observers. An exit code. */
int pulled_ask(struct cli *cli, const char *targets, json_t *texts);

#endif
