/* SPDX-License-Identifier: BSD-3-Clause
 * The engines that have joined. The open ones are sorted by load: one list per load, and the loads
 * that occur linked in order, so that the least loaded engine is found and moved in constant time.
 * Those that take tasks are in one array besides. */
#include "sched/sched_policy.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

int fleet_init(struct fleet *fleet, int limit)
{
    *fleet = (struct fleet){ .limit = limit, .lowest = -1 };
    return fleet_reserve(fleet, 0);
}

void fleet_free(struct fleet *fleet)
{
    for (int id = 0; id < fleet->size; id++)
        free(fleet->at[id]);
    free(fleet->at);
    free(fleet->vacant);
    free(fleet->levels);
}

/* ---- levels ---- */

int fleet_reserve(struct fleet *fleet, size_t tasks)
{
    return fleet_reserve_load(fleet, tasks < (size_t)fleet->limit ? tasks : (size_t)fleet->limit);
}

int fleet_reserve_load(struct fleet *fleet, size_t highest)
{
    if (highest < (size_t)fleet->level_count)
        return 0;
    if (highest >= INT_MAX / 2) {
        errno = ENOMEM;
        return -1;
    }
    int count = 2 * (int)highest + 2;
    struct level *levels = realloc(fleet->levels, (size_t)count * sizeof *levels);
    if (!levels)
        return -1;
    for (int i = fleet->level_count; i < count; i++)
        levels[i] = (struct level){ NULL, NULL, -1, -1 };
    fleet->levels = levels;
    fleet->level_count = count;
    return 0;
}

static void level_link(struct fleet *fleet, int load, int below, int above)
{
    fleet->levels[load].below = below;
    fleet->levels[load].above = above;
    if (below >= 0)
        fleet->levels[below].above = load;
    else
        fleet->lowest = load;
    if (above >= 0)
        fleet->levels[above].below = load;
}

/* Its own `above` stays: who walks up the levels may stand on one that has just emptied. */
static void level_unlink(struct fleet *fleet, int load)
{
    int below = fleet->levels[load].below, above = fleet->levels[load].above;
    if (below >= 0)
        fleet->levels[below].above = above;
    else
        fleet->lowest = above;
    if (above >= 0)
        fleet->levels[above].below = below;
}

static void level_enter(struct fleet *fleet, struct engine *engine)
{
    struct level *level = &fleet->levels[engine->load];
    engine->since = ++fleet->moves;
    engine->next = NULL;
    engine->prev = level->last;
    if (level->last)
        level->last->next = engine;
    else
        level->first = engine;
    level->last = engine;
}

static void level_exit(struct fleet *fleet, struct engine *engine)
{
    struct level *level = &fleet->levels[engine->load];
    if (engine->prev)
        engine->prev->next = engine->next;
    else
        level->first = engine->next;
    if (engine->next)
        engine->next->prev = engine->prev;
    else
        level->last = engine->prev;
    if (!level->first)
        level_unlink(fleet, engine->load);
}

/* ---- who takes tasks ---- */

static void note_vacancy(struct fleet *fleet, struct engine *engine)
{
    bool takes = fleet_takes(fleet, engine);
    if (takes && engine->vacant < 0) {
        engine->vacant = fleet->vacant_count++;
        fleet->vacant[engine->vacant] = engine;
    } else if (!takes && engine->vacant >= 0) {
        struct engine *last = fleet->vacant[--fleet->vacant_count];
        fleet->vacant[engine->vacant] = last;
        last->vacant = engine->vacant;
        engine->vacant = -1;
    }
}

void fleet_set_limit(struct fleet *fleet, int limit)
{
    fleet->limit = limit;
    for (int id = 0; id < fleet->size; id++)
        if (fleet->at[id])
            note_vacancy(fleet, fleet->at[id]);
}

void fleet_shift(struct fleet *fleet, struct engine *engine, int by)
{
    int from = engine->load, to = from + by;
    assert(to >= 0 && to < fleet->level_count);
    if (by > 0)
        engine->used = ++fleet->moves;
    if (engine->closed) {
        engine->load = to;
        return;
    }
    if (!fleet->levels[to].first && by > 0)
        level_link(fleet, to, from, fleet->levels[from].above);
    else if (!fleet->levels[to].first)
        level_link(fleet, to, fleet->levels[from].below, from);
    level_exit(fleet, engine);
    engine->load = to;
    level_enter(fleet, engine);
    note_vacancy(fleet, engine);
}

void fleet_close(struct fleet *fleet, struct engine *engine, unsigned why)
{
    if (!engine->closed)
        level_exit(fleet, engine);
    engine->closed |= why;
    note_vacancy(fleet, engine);
}

void fleet_open(struct fleet *fleet, struct engine *engine, unsigned why)
{
    if (!(engine->closed & why))
        return;
    engine->closed &= ~why;
    if (engine->closed)
        return;
    int below = -1, above = fleet->lowest;
    while (above >= 0 && above < engine->load) {
        below = above;
        above = fleet->levels[above].above;
    }
    if (above != engine->load)
        level_link(fleet, engine->load, below, above);
    level_enter(fleet, engine);
    note_vacancy(fleet, engine);
}

/* ---- coming and going ---- */

static int grow(struct engine ***table, int from, int to)
{
    struct engine **at = realloc(*table, (size_t)to * sizeof *at);
    if (!at)
        return -1;
    for (int i = from; i < to; i++)
        at[i] = NULL;
    *table = at;
    return 0;
}

static int table_reserve(struct fleet *fleet, int id)
{
    if (id < fleet->size)
        return 0;
    if (id >= INT_MAX / 4) {
        errno = ENOMEM;
        return -1;
    }
    int size = 2 * id + 16;
    if (grow(&fleet->at, fleet->size, size) < 0 || grow(&fleet->vacant, fleet->size, size) < 0)
        return -1;
    fleet->size = size;
    return 0;
}

struct engine *fleet_add(struct fleet *fleet, int id, const struct sched_place *place)
{
    if (id < 0 || fleet_engine(fleet, id)) {
        errno = id < 0 ? EINVAL : EEXIST;
        return NULL;
    }
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine || table_reserve(fleet, id) < 0) {
        free(engine);
        errno = ENOMEM;
        return NULL;
    }
    engine->id = id;
    engine->vacant = -1;
    engine->place =
        place ? *place
              : (struct sched_place){ PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN };
    fleet->at[id] = engine;
    fleet->count++;
    if (!fleet->levels[0].first)
        level_link(fleet, 0, -1, fleet->lowest);
    level_enter(fleet, engine);
    engine->used = engine->since;
    note_vacancy(fleet, engine);
    return engine;
}

void fleet_remove(struct fleet *fleet, struct engine *engine)
{
    fleet_close(fleet, engine, CLOSED_PAUSED);
    fleet->at[engine->id] = NULL;
    fleet->count--;
    free(engine);
}

int engine_distance(const struct engine *a, const struct engine *b)
{
    if (a == b)
        return 0;
    if (a->place.host != b->place.host || a->place.host == PLACE_UNKNOWN)
        return 5;
    if (a->place.package != b->place.package || a->place.package == PLACE_UNKNOWN)
        return 4;
    if (a->place.numa != b->place.numa || a->place.numa == PLACE_UNKNOWN)
        return 3;
    return a->place.core != b->place.core || a->place.core == PLACE_UNKNOWN ? 2 : 1;
}
