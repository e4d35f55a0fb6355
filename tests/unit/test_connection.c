/* SPDX-License-Identifier: BSD-3-Clause
 * The connection file: its path, writing it whole, reading it with errors that name the key. */
#include "wire/wire.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64]; /* a fresh one for each test */
static char path[256];  /* of a connection file in folders that do not exist yet */

static void make_folder(void)
{
    strcpy(folder, "/tmp/ippmpi-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/profile_x/security/ipcontroller-client.json", folder);
}

static int remove_entry(const char *name, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(name);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static wire_connection_t example(void)
{
    wire_connection_t c = { .interface = strdup("tcp://127.0.0.1"),
                            .location = strdup("node1"),
                            .key = strdup("secret"),
                            .cluster_id = strdup("night"),
                            .python = strdup("3.11.2"),
                            .engines = 62,
                            .pid = 4711 };
    for (int i = 0; i < WIRE_CHANNELS; i++)
        c.ports[i] = 40000 + i;
    return c;
}

static void write_example(void)
{
    ipp_err_t err = { "" };
    wire_connection_t c = example();
    ck_assert_msg(wire_connection_write(path, &c, &err) == 0, "%s", err.text);
    wire_connection_clear(&c);
}

static int entries_beside(void)
{
    char parent[256];
    struct dirent **names;
    strcpy(parent, path);
    *strrchr(parent, '/') = '\0';
    int count = scandir(parent, &names, NULL, NULL);
    for (int i = 0; i < count; i++)
        free(names[i]);
    if (count >= 0)
        free(names);
    return count < 0 ? 0 : count - 2;
}

/* ---- the path ---- */

static void check_path(const char *profile, const char *id, const char *expected)
{
    ipp_err_t err = { "" };
    char *got = wire_connection_path(profile, id, &err);
    ck_assert_msg(got, "%s", err.text);
    ck_assert_str_eq(got, expected);
    free(got);
}

START_TEST(path_is_where_ipyparallel_looks)
{
    setenv("IPYTHONDIR", "/ipy", 1);
    check_path(NULL, NULL, "/ipy/profile_default/security/ipcontroller-client.json");
    check_path("", "", "/ipy/profile_default/security/ipcontroller-client.json");
    check_path("mpi", "a b.1", "/ipy/profile_mpi/security/ipcontroller-a b.1-client.json");
}
END_TEST

START_TEST(path_falls_back_to_the_home_folder)
{
    setenv("HOME", "/home/ada", 1);
    unsetenv("IPYTHONDIR");
    check_path(NULL, "", "/home/ada/.ipython/profile_default/security/ipcontroller-client.json");
    setenv("IPYTHONDIR", "", 1);
    check_path(NULL, "", "/home/ada/.ipython/profile_default/security/ipcontroller-client.json");
    setenv("IPYTHONDIR", "~/ipy", 1);
    check_path(NULL, "", "/home/ada/ipy/profile_default/security/ipcontroller-client.json");
    setenv("IPYTHONDIR", "~ada/ipy", 1); /* another user's home: left as it is */
    check_path(NULL, "", "~ada/ipy/profile_default/security/ipcontroller-client.json");
    unsetenv("IPYTHONDIR");
    unsetenv("HOME");
    char *got = wire_connection_path(NULL, NULL, NULL); /* from the password file, if it knows us */
    if (got)
        ck_assert_ptr_nonnull(strstr(got, "/.ipython/profile_default/"));
    else
        ck_assert_int_eq(errno, ENOENT);
    free(got);
}
END_TEST

START_TEST(path_refuses_names_that_lead_elsewhere)
{
    static const char *const bad[] = { "a/b", "..", ".hidden", "/", "new\nline", "\x7f" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ipp_err_t err = { "" };
        errno = 0;
        ck_assert_ptr_null(wire_connection_path(NULL, bad[i], &err));
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "cluster id"));
        ck_assert_ptr_null(wire_connection_path(bad[i], "", &err));
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "profile"));
    }
}
END_TEST

/* ---- writing ---- */

START_TEST(write_makes_private_folders_and_file)
{
    struct stat info;
    umask(0);
    write_example();
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0700);
}
END_TEST

START_TEST(write_gives_what_the_client_reads)
{
    write_example();
    json_t *file = json_load_file(path, 0, NULL);
    ck_assert_str_eq(wire_json_string(file, "interface", ""), "tcp://127.0.0.1");
    ck_assert_str_eq(wire_json_string(file, "location", ""), "node1");
    ck_assert_str_eq(wire_json_string(file, "ssh", "?"), "");
    ck_assert_str_eq(wire_json_string(file, "key", ""), "secret");
    ck_assert_str_eq(wire_json_string(file, "pack", ""), "json");
    ck_assert_str_eq(wire_json_string(file, "unpack", ""), "json");
    ck_assert_str_eq(wire_json_string(file, "signature_scheme", ""), "hmac-sha256");
    ck_assert_str_eq(wire_json_string(file, "task_scheme", ""), "leastload");
    static const char *const ports[] = { "registration", "mux",   "task",        "broadcast",
                                         "control",      "iopub", "notification" };
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(json_integer_value(json_object_get(file, ports[i])), 40000 + i);
    json_t *ours = json_object_get(file, "ippmpi");
    ck_assert_str_eq(wire_json_string(ours, "cluster_id", ""), "night");
    ck_assert_str_ne(wire_json_string(ours, "version", ""), "");
    json_decref(file);
}
END_TEST

START_TEST(write_replaces_in_one_step)
{
    struct stat before, after;
    write_example();
    chmod(path, 0644);
    ck_assert_int_eq(stat(path, &before), 0);
    FILE *reader = fopen(path, "r"); /* keeps the old file alive */
    write_example();
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_ne(before.st_ino, after.st_ino);
    ck_assert_uint_eq(after.st_mode & 07777, 0600);
    ck_assert_int_eq(fgetc(reader), '{');
    fclose(reader);
    ck_assert_int_eq(entries_beside(), 1);
}
END_TEST

static void check_not_written(const wire_connection_t *c, int code, const char *word)
{
    ipp_err_t err = { "" };
    errno = 0;
    ck_assert_int_eq(wire_connection_write(path, c, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, word), "%s", err.text);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(entries_beside(), 0);
}

START_TEST(write_refuses_what_no_client_could_use)
{
    wire_connection_t good = example(), c = good;
    c.ports[WIRE_TASK] = 0;
    check_not_written(&c, EINVAL, "task");
    c.ports[WIRE_TASK] = 65536;
    check_not_written(&c, EINVAL, "task");
    c = good, c.interface = NULL;
    check_not_written(&c, EINVAL, "interface");
    c = good, c.interface = (char[]){ "127.0.0.1" };
    check_not_written(&c, EINVAL, "interface");
    c = good, c.key = NULL;
    check_not_written(&c, EINVAL, "key");
    c = good, c.location = NULL;
    check_not_written(&c, EINVAL, "location");
    c = good, c.location = (char[]){ "\xff" };
    check_not_written(&c, EINVAL, "UTF-8");
    c = good, c.pid = 0;
    check_not_written(&c, EINVAL, "pid");
    wire_connection_clear(&good);
}
END_TEST

START_TEST(write_to_an_unwritable_folder_fails_whole)
{
    wire_connection_t c = example();
    ck_assert_int_eq(chmod(folder, 0500), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(folder, 65534, 65534), 0);
        ck_assert_int_eq(seteuid(65534), 0); /* to root every folder is writable */
    }
    check_not_written(&c, EACCES, path);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    wire_connection_clear(&c);
}
END_TEST

START_TEST(write_below_a_file_or_onto_a_folder_fails_whole)
{
    wire_connection_t c = example();
    char long_path[512], saved[256];
    write_example();
    strcpy(saved, path);
    snprintf(long_path, sizeof long_path, "%s/below", saved);
    ipp_err_t err;
    ck_assert_int_eq(wire_connection_write(long_path, &c, &err), -1);
    ck_assert_int_eq(errno, ENOTDIR);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(wire_connection_write(path, &c, &err), -1);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(entries_beside(), 1); /* no temporary file left */
    wire_connection_clear(&c);
}
END_TEST

/* ---- reading ---- */

START_TEST(read_gives_what_was_written)
{
    wire_connection_t c = { .key = strdup("dropped") };
    ipp_err_t err = { "" };
    write_example();
    ck_assert_msg(wire_connection_read(path, &c, &err) == 0, "%s", err.text);
    ck_assert_str_eq(c.interface, "tcp://127.0.0.1");
    ck_assert_str_eq(c.location, "node1");
    ck_assert_str_eq(c.key, "secret");
    ck_assert_str_eq(c.cluster_id, "night");
    ck_assert_str_eq(c.python, "3.11.2");
    ck_assert_int_eq(c.engines, 62);
    ck_assert_int_eq(c.pid, 4711);
    for (int i = 0; i < WIRE_CHANNELS; i++)
        ck_assert_int_eq(c.ports[i], 40000 + i);
    wire_connection_clear(&c);
    ck_assert_ptr_null(c.key);
    wire_connection_clear(&c);
}
END_TEST

START_TEST(read_takes_optional_strings_as_empty)
{
    wire_connection_t c = example();
    free(c.cluster_id);
    free(c.python);
    c.cluster_id = c.python = NULL;
    ck_assert_int_eq(wire_connection_write(path, &c, NULL), 0);
    ck_assert_int_eq(wire_connection_read(path, &c, NULL), 0);
    ck_assert_str_eq(c.cluster_id, "");
    ck_assert_str_eq(c.python, "");
    wire_connection_clear(&c);
}
END_TEST

/* Reading fails with `code`, names the file and `word`, and leaves the connection alone. */
static void check_unread(const char *file, int code, const char *word)
{
    ipp_err_t err = { "" };
    char key[] = "kept";
    wire_connection_t c = { .key = key, .engines = 5 };
    errno = 0;
    ck_assert_int_eq(wire_connection_read(file, &c, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, file) && strstr(err.text, word), "%s (%s)", err.text, word);
    ck_assert(c.key == key && c.engines == 5 && !c.interface && !c.location && !c.python);
    ck_assert_int_eq(wire_connection_read(file, &c, NULL), -1);
}

START_TEST(read_says_what_the_file_system_said)
{
    check_unread(path, ENOENT, "No such file");
    check_unread(folder, EINVAL, "Invalid argument");
    write_example();
    ck_assert_int_eq(truncate(path, (1 << 20) + 1), 0);
    check_unread(path, EFBIG, "too large");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* must not wait for a writer */
    check_unread(path, EINVAL, "Invalid argument");
}
END_TEST

START_TEST(read_of_a_private_file_is_eacces)
{
    write_example();
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert_int_eq(chmod(path, 0), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    check_unread(path, EACCES, "denied");
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(read_refuses_what_is_no_object)
{
    static const char *const bad[] = { "", "[]", "{\"interface\": ", "{} {}" };
    write_example();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *file = fopen(path, "w");
        fputs(bad[i], file);
        fclose(file);
        check_unread(path, EBADMSG, "");
    }
}
END_TEST

/* Puts `value` (NULL: nothing) at `key` of the example's file or of its object "ippmpi", and reads.
 */
static void check_key(bool ours, const char *key, json_t *value)
{
    char quoted[64];
    write_example();
    json_t *file = json_load_file(path, 0, NULL);
    json_t *object = ours ? json_object_get(file, "ippmpi") : file;
    ck_assert_ptr_nonnull(json_object_get(object, key));
    if (value)
        json_object_set_new(object, key, value);
    else
        json_object_del(object, key);
    ck_assert_int_eq(json_dump_file(file, path, 0), 0);
    json_decref(file);
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    check_unread(path, EBADMSG, quoted);
}

START_TEST(read_names_the_key_at_fault)
{
    static const char *const strings[] = { "interface", "location", "key",
                                           "pack",      "unpack",   "signature_scheme" };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        check_key(false, strings[i], NULL);
        check_key(false, strings[i], json_integer(1));
    }
    for (unsigned i = 0; i < WIRE_CHANNELS; i++) {
        const char *name = wire_channel_name((enum wire_channel)i);
        check_key(false, name, NULL);
        check_key(false, name, json_integer(0));
        check_key(false, name, json_integer(65536));
        check_key(false, name, json_string("40000"));
        check_key(false, name, json_real(40000));
    }
    check_key(false, "pack", json_string("pickle"));
    check_key(false, "signature_scheme", json_string("hmac-md5"));
    check_key(false, "ippmpi", NULL);
    check_key(false, "ippmpi", json_array());
    check_key(true, "pid", NULL);
    check_key(true, "pid", json_integer(0));
    check_key(true, "pid", json_integer(-1));
    check_key(true, "pid", json_integer(1LL << 40));
    check_key(true, "engines", json_integer(-1));
    check_key(true, "cluster_id", json_null());
    check_key(true, "python", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connection");
    TCase *paths = tcase_create("path"), *writes = tcase_create("write"),
          *reads = tcase_create("read");
    tcase_add_test(paths, path_is_where_ipyparallel_looks);
    tcase_add_test(paths, path_falls_back_to_the_home_folder);
    tcase_add_test(paths, path_refuses_names_that_lead_elsewhere);
    tcase_add_checked_fixture(writes, make_folder, remove_folder);
    tcase_add_test(writes, write_makes_private_folders_and_file);
    tcase_add_test(writes, write_gives_what_the_client_reads);
    tcase_add_test(writes, write_replaces_in_one_step);
    tcase_add_test(writes, write_refuses_what_no_client_could_use);
    tcase_add_test(writes, write_to_an_unwritable_folder_fails_whole);
    tcase_add_test(writes, write_below_a_file_or_onto_a_folder_fails_whole);
    tcase_add_checked_fixture(reads, make_folder, remove_folder);
    tcase_add_test(reads, read_gives_what_was_written);
    tcase_add_test(reads, read_takes_optional_strings_as_empty);
    tcase_add_test(reads, read_says_what_the_file_system_said);
    tcase_add_test(reads, read_of_a_private_file_is_eacces);
    tcase_add_test(reads, read_refuses_what_is_no_object);
    tcase_add_test(reads, read_names_the_key_at_fault);
    suite_add_tcase(suite, paths);
    suite_add_tcase(suite, writes);
    suite_add_tcase(suite, reads);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
