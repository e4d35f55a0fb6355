/* SPDX-License-Identifier: BSD-3-Clause
 * Names of groups of engines. */
#include <string.h>

#include "base/base.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* What no list of engines can mean otherwise. */
bool ipp_is_group(const char *name)
{
    return strspn(name, LETTERS) > 0 && strcmp(name, "all") != 0 &&
           name[strspn(name, LETTERS "0123456789_-.")] == '\0';
}
