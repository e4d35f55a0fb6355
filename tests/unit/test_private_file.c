/* SPDX-License-Identifier: BSD-3-Clause
 * Private files: whole or not at all, nobody else's to read, errors that name what is in the way.
 */
#include "base/base.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[256]; /* in folders that do not exist yet */

static void setup(void)
{
    unit_make_folder();
    snprintf(path, sizeof path, "%s/outer/inner/file", unit_folder);
}

static void write_it(const char *text)
{
    ipp_err_t err = { "" };
    ck_assert_msg(ipp_private_write(path, text, &err) == 0, "%s", err.text);
}

static unsigned mode_of(const char *name)
{
    struct stat info;
    ck_assert_msg(lstat(name, &info) == 0, "%s: %s", name, strerror(errno));
    return info.st_mode & 07777;
}

static void check_holds(const char *name, const char *text)
{
    ipp_err_t err = { "" };
    ipp_frame_t *frame = ipp_private_read(name, &err);
    ck_assert_msg(frame, "%s", err.text);
    ck_assert(ipp_frame_equals(frame, text, strlen(text)));
    ipp_frame_unref(frame);
}

/* ---- writing ---- */

static void check_private(mode_t mask)
{
    mode_t before = umask(mask);
    write_it("text");
    umask(before);
    ck_assert_uint_eq(mode_of(path), 0600);
    *strrchr(path, '/') = '\0';
    ck_assert_uint_eq(mode_of(path), 0700);
    *strrchr(path, '/') = '\0';
    ck_assert_uint_eq(mode_of(path), 0700);
}

START_TEST(write_makes_private_folders_and_file)
{
    check_private(0);
}
END_TEST

START_TEST(write_works_under_the_strictest_umask)
{
    ck_assert_int_eq(chmod(unit_folder, 0777), 0);
    unit_be_nobody();
    check_private(0777);
    unit_be_root();
}
END_TEST

START_TEST(write_leaves_folders_that_are_there_alone)
{
    char outer[256];
    snprintf(outer, sizeof outer, "%s/outer", unit_folder);
    ck_assert_int_eq(mkdir(outer, 0700), 0);
    ck_assert_int_eq(chmod(outer, 0755), 0);
    write_it("text");
    ck_assert_uint_eq(mode_of(outer), 0755);
}
END_TEST

START_TEST(write_replaces_in_one_step)
{
    char was[8] = "";
    write_it("old");
    ck_assert_int_eq(chmod(path, 0644), 0);
    FILE *reader = fopen(path, "r"); /* has it open while it is replaced */
    write_it("new and longer");
    ck_assert_uint_eq(mode_of(path), 0600);
    check_holds(path, "new and longer");
    ck_assert_ptr_nonnull(fgets(was, sizeof was, reader));
    ck_assert_str_eq(was, "old");
    fclose(reader);
    ck_assert_int_eq(unit_entries_beside(path), 1);
}
END_TEST

START_TEST(write_replaces_a_link_and_goes_through_linked_folders)
{
    char target[256], linked[256], other[256];
    write_it("the target");
    strcpy(target, path);
    snprintf(linked, sizeof linked, "%s/link", unit_folder);
    ck_assert_int_eq(symlink("outer/inner", linked), 0);
    snprintf(path, sizeof path, "%s/link/other", unit_folder);
    snprintf(other, sizeof other, "%s/outer/inner/other", unit_folder);
    ck_assert_int_eq(symlink(target, path), 0);
    write_it("the other");
    check_holds(other, "the other");
    check_holds(target, "the target");
    ck_assert_uint_eq(mode_of(other), 0600);
    snprintf(path, sizeof path, "%s/link/deep/er", unit_folder);
    write_it("below a linked folder");
}
END_TEST

/* Writing fails with `code` in a line that names the path, and leaves no file behind. */
static void check_unwritten(int code, int entries)
{
    ipp_err_t err = { "" };
    errno = 0;
    ck_assert_int_eq(ipp_private_write(path, "text", &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, path) && strstr(err.text, strerror(code)), "%s", err.text);
    ck_assert_int_eq(unit_entries_beside(path), entries);
    ck_assert_int_eq(ipp_private_write(path, "text", NULL), -1);
}

/* Lets everybody into outer and inner, and nobody but root write in inner. */
static void close_inner(void)
{
    char folder[256];
    ck_assert_int_eq(chmod(unit_folder, 0755), 0);
    snprintf(folder, sizeof folder, "%s/outer", unit_folder);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    strcat(folder, "/inner");
    ck_assert_int_eq(chmod(folder, 0555), 0);
}

/* So that the fixture can remove it, whoever runs the tests. */
static void open_inner(void)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s/outer/inner", unit_folder);
    ck_assert_int_eq(chmod(folder, 0700), 0);
}

START_TEST(write_to_an_unwritable_folder_fails_whole)
{
    char old[256];
    write_it("old");
    strcpy(old, path);
    close_inner();
    unit_be_nobody();
    check_unwritten(EACCES, 1);
    snprintf(path, sizeof path, "%s/outer/inner/deeper/file", unit_folder);
    check_unwritten(EACCES, 0);
    unit_be_root();
    open_inner();
    check_holds(old, "old");
}
END_TEST

START_TEST(write_below_a_file_or_onto_a_folder_fails_whole)
{
    write_it("old");
    strcat(path, "/below");
    check_unwritten(ENOTDIR, 0);
    snprintf(path, sizeof path, "%s/outer/inner", unit_folder);
    check_unwritten(EISDIR, 1);
}
END_TEST

/* ---- folders ---- */

static void check_no_folders(const char *below, int code, const char *named)
{
    char file[256], obstacle[256];
    ipp_err_t err = { "" };
    snprintf(file, sizeof file, "%s/%s", unit_folder, below);
    snprintf(obstacle, sizeof obstacle, "folder %s/%s: %s", unit_folder, named, strerror(code));
    errno = 0;
    ck_assert_int_eq(ipp_private_folders(file, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, obstacle), "%s (%s)", err.text, obstacle);
    ck_assert_int_eq(ipp_private_folders(file, NULL), -1);
}

START_TEST(folders_are_made_once_and_the_file_is_not)
{
    ipp_err_t err = { "" };
    for (int i = 0; i < 2; i++)
        ck_assert_msg(ipp_private_folders(path, &err) == 0, "%s", err.text);
    ck_assert_int_eq(unit_entries_beside(path), 0);
    *strrchr(path, '/') = '\0';
    ck_assert_uint_eq(mode_of(path), 0700);
    ck_assert_int_eq(ipp_private_folders("no-folder", &err), 0);
    ck_assert_int_eq(ipp_private_folders("", &err), 0);
}
END_TEST

START_TEST(folders_name_what_is_in_the_way)
{
    char link[256];
    write_it("a file");
    check_no_folders("outer/inner/file/x", ENOTDIR, "outer/inner/file");
    check_no_folders("outer/inner/file/x/y", ENOTDIR, "outer/inner/file");
    snprintf(link, sizeof link, "%s/link", unit_folder);
    ck_assert_int_eq(symlink("nowhere", link), 0);
    check_no_folders("link/x", ENOTDIR, "link");
}
END_TEST

START_TEST(folders_want_to_be_writable)
{
    write_it("text");
    close_inner();
    unit_be_nobody();
    check_no_folders("outer/inner/x", EACCES, "outer/inner");
    check_no_folders("outer/inner/deeper/x", EACCES, "outer/inner/deeper");
    check_no_folders("outer/inner/deeper/still/x", EACCES, "outer/inner/deeper");
    unit_be_root();
    open_inner();
}
END_TEST

/* ---- reading ---- */

static void check_unread(const char *name, int code)
{
    ipp_err_t err = { "" };
    errno = 0;
    ck_assert_ptr_null(ipp_private_read(name, &err));
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, name) && strstr(err.text, strerror(code)), "%s", err.text);
    ck_assert_ptr_null(ipp_private_read(name, NULL));
}

START_TEST(read_gives_all_bytes_up_to_a_mebibyte)
{
    write_it("");
    check_holds(path, "");
    ck_assert_int_eq(truncate(path, 1 << 20), 0);
    ipp_frame_t *frame = ipp_private_read(path, NULL);
    ck_assert_uint_eq(ipp_frame_size(frame), 1 << 20);
    ipp_frame_unref(frame);
    ck_assert_int_eq(truncate(path, (1 << 20) + 1), 0);
    check_unread(path, EFBIG);
}
END_TEST

START_TEST(read_wants_a_regular_file)
{
    check_unread(path, ENOENT);
    check_unread(unit_folder, EINVAL);
    check_unread("/dev/null", EINVAL);
    write_it("text");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* must not wait for a writer */
    check_unread(path, EINVAL);
}
END_TEST

START_TEST(read_of_anothers_file_is_eacces)
{
    write_it("text");
    ck_assert_int_eq(chmod(unit_folder, 0755), 0);
    ck_assert_int_eq(chmod(path, 0), 0);
    unit_be_nobody();
    check_unread(path, EACCES);
    unit_be_root();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("private files");
    TCase *writes = tcase_create("write"), *folders = tcase_create("folders"),
          *reads = tcase_create("read");
    tcase_add_checked_fixture(writes, setup, unit_remove_folder);
    tcase_add_test(writes, write_makes_private_folders_and_file);
    tcase_add_test(writes, write_works_under_the_strictest_umask);
    tcase_add_test(writes, write_leaves_folders_that_are_there_alone);
    tcase_add_test(writes, write_replaces_in_one_step);
    tcase_add_test(writes, write_replaces_a_link_and_goes_through_linked_folders);
    tcase_add_test(writes, write_to_an_unwritable_folder_fails_whole);
    tcase_add_test(writes, write_below_a_file_or_onto_a_folder_fails_whole);
    tcase_add_checked_fixture(folders, setup, unit_remove_folder);
    tcase_add_test(folders, folders_are_made_once_and_the_file_is_not);
    tcase_add_test(folders, folders_name_what_is_in_the_way);
    tcase_add_test(folders, folders_want_to_be_writable);
    tcase_add_checked_fixture(reads, setup, unit_remove_folder);
    tcase_add_test(reads, read_gives_all_bytes_up_to_a_mebibyte);
    tcase_add_test(reads, read_wants_a_regular_file);
    tcase_add_test(reads, read_of_anothers_file_is_eacces);
    suite_add_tcase(suite, writes);
    suite_add_tcase(suite, folders);
    suite_add_tcase(suite, reads);
    return unit_run(suite);
}
