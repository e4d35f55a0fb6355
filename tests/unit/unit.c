/* SPDX-License-Identifier: BSD-3-Clause
 * What several unit tests need. */
#include "unit.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534

char unit_folder[64];

void unit_make_folder(void)
{
    strcpy(unit_folder, "/tmp/ippmpi-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(unit_folder));
}

static int remove_entry(const char *name, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(name);
}

void unit_remove_folder(void)
{
    nftw(unit_folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int unit_entries_beside(const char *path)
{
    char folder[1024];
    struct dirent **names;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    int count = scandir(folder, &names, NULL, NULL);
    for (int i = 0; i < count; i++)
        free(names[i]);
    if (count >= 0)
        free(names);
    return count < 0 ? 0 : count - 2;
}

void unit_be_nobody(void)
{
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(NOBODY), 0);
}

void unit_be_root(void)
{
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}

int unit_rounds(int usual)
{
    const char *percent = getenv("IPP_TEST_PERCENT");
    int rounds = percent ? usual * atoi(percent) / 100 : usual;
    return rounds > 0 ? rounds : 1;
}

int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
