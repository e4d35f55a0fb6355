/* SPDX-License-Identifier: BSD-3-Clause
 * The connection file: its path, writing it, reading it with errors that name the key. */
#include "unit.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[256]; /* of a connection file in folders that do not exist yet */

static void setup(void)
{
    unit_make_folder();
    snprintf(path, sizeof path, "%s/profile_x/security/ipcontroller-client.json", unit_folder);
}

static wire_connection_t example(void)
{
    wire_connection_t c = { .interface = strdup("tcp://127.0.0.1"),
                            .location = strdup("node1"),
                            .key = strdup("secret"),
                            .cluster_id = strdup("night"),
                            .python = strdup("3.11.2"),
                            .engines = 62,
                            .pid = 4711,
                            .steering = { .protocol = WIRE_STEERING_PROTOCOL,
                                          .port = 40100,
                                          .ipc = strdup("ipc:///run/x/steering") } };
    memset(c.steering.server_key, 's', WIRE_Z85_LEN);
    memset(c.steering.public_key, 'p', WIRE_Z85_LEN);
    memset(c.steering.secret_key, 'c', WIRE_Z85_LEN);
    for (int i = 0; i < WIRE_PORTS; i++)
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

START_TEST(write_makes_a_private_file_and_says_where_it_cannot)
{
    struct stat info;
    char saved[256];
    write_example();
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    strcpy(saved, path);
    strcat(path, "/below");
    wire_connection_t c = example();
    ipp_err_t err = { "" };
    ck_assert_int_eq(wire_connection_write(path, &c, &err), -1);
    ck_assert_int_eq(errno, ENOTDIR);
    ck_assert_ptr_nonnull(strstr(err.text, saved));
    wire_connection_clear(&c);
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

static void check_not_written(const wire_connection_t *c, int code, const char *word)
{
    ipp_err_t err = { "" };
    errno = 0;
    ck_assert_int_eq(wire_connection_write(path, c, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, word), "%s", err.text);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(unit_entries_beside(path), 0);
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
    c = good, c.steering.port = 0;
    check_not_written(&c, EINVAL, "steering");
    c = good, c.steering.secret_key[10] = 0;
    check_not_written(&c, EINVAL, "steering");
    c = good, c.invited = (char[]){ "bob" };
    check_not_written(&c, EINVAL, "role");
    wire_connection_clear(&good);
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
    for (int i = 0; i < WIRE_PORTS; i++)
        ck_assert_int_eq(c.ports[i], 40000 + i);
    ck_assert_int_eq(c.steering.protocol, WIRE_STEERING_PROTOCOL);
    ck_assert_int_eq(c.steering.port, 40100);
    ck_assert_str_eq(c.steering.ipc, "ipc:///run/x/steering");
    ck_assert(c.steering.server_key[0] == 's' && c.steering.public_key[39] == 'p' &&
              c.steering.secret_key[39] == 'c' && c.steering.secret_key[40] == 0);
    ck_assert(!c.invited && !c.role && !c.expires);
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

START_TEST(remove_takes_the_local_socket_along)
{
    char folder[300], socket[320], endpoint[340];
    struct stat info;
    snprintf(folder, sizeof folder, "%s/ippmpi-AbCdEf", unit_folder);
    snprintf(socket, sizeof socket, "%s/steering", folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", socket);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    fclose(fopen(socket, "w"));
    wire_connection_t c = example();
    free(c.steering.ipc);
    c.steering.ipc = strdup(endpoint);
    ck_assert_int_eq(wire_connection_write(path, &c, NULL), 0);
    wire_connection_clear(&c);
    wire_connection_remove(path);
    ck_assert(stat(path, &info) < 0 && stat(socket, &info) < 0 && stat(folder, &info) < 0);
    ck_assert_int_eq(stat(unit_folder, &info), 0);
    wire_connection_remove(path); /* nothing is there */
}
END_TEST

START_TEST(an_invitation_has_no_key_and_no_ports)
{
    wire_connection_t c = example();
    free(c.key);
    c.key = NULL;
    memset(c.ports, 0, sizeof c.ports);
    c.invited = strdup("bob");
    c.role = strdup("observer");
    c.expires = strdup("2026-01-31T12:00:00Z");
    ipp_err_t err = { "" };
    ck_assert_msg(wire_connection_write(path, &c, &err) == 0, "%s", err.text);
    json_t *file = json_load_file(path, 0, NULL);
    ck_assert(!json_object_get(file, "key") && !json_object_get(file, "mux"));
    json_decref(file);
    ck_assert_msg(wire_connection_read(path, &c, &err) == 0, "%s", err.text);
    ck_assert_ptr_null(c.key);
    ck_assert_str_eq(c.invited, "bob");
    ck_assert_str_eq(c.role, "observer");
    ck_assert_str_eq(c.expires, "2026-01-31T12:00:00Z");
    ck_assert_int_eq(c.steering.port, 40100);
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
    check_unread(unit_folder, EINVAL, "Invalid argument");
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
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
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
    check_key(true, "steering", NULL);
    check_key(true, "steering", json_array());
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
    tcase_add_checked_fixture(writes, setup, unit_remove_folder);
    tcase_add_test(writes, write_makes_a_private_file_and_says_where_it_cannot);
    tcase_add_test(writes, write_gives_what_the_client_reads);
    tcase_add_test(writes, write_refuses_what_no_client_could_use);
    tcase_add_checked_fixture(reads, setup, unit_remove_folder);
    tcase_add_test(reads, read_gives_what_was_written);
    tcase_add_test(reads, read_takes_optional_strings_as_empty);
    tcase_add_test(reads, remove_takes_the_local_socket_along);
    tcase_add_test(reads, an_invitation_has_no_key_and_no_ports);
    tcase_add_test(reads, read_says_what_the_file_system_said);
    tcase_add_test(reads, read_refuses_what_is_no_object);
    tcase_add_test(reads, read_names_the_key_at_fault);
    suite_add_tcase(suite, paths);
    suite_add_tcase(suite, writes);
    suite_add_tcase(suite, reads);
    return unit_run(suite);
}
