/* SPDX-License-Identifier: BSD-3-Clause
 * The room wire: operations, the codec, signatures and replays, JSON, and the records of the stock
 * client. */
#include "unit.h"
#include "wire/wire.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "a0b1c2d3-e4f5061728394a5b6c7d8e9f0011223344556677"
#define HEADER "{\"msg_id\":\"1\",\"msg_type\":\"apply_request\",\"session\":\"s\"}"

/* ---- operations ---- */

START_TEST(op_is_found_by_channel_and_type)
{
    const struct wire_op_info *op = wire_op_find(WIRE_TASK, "apply_request");
    ck_assert_ptr_eq(op, wire_op_info(WIRE_OP_APPLY));
    ck_assert_str_eq(op->reply, "apply_reply");
    ck_assert_int_eq(op->destination, WIRE_TO_RUN);
    ck_assert_int_eq(op->role, WIRE_ROLE_OPERATOR);
    ck_assert_uint_eq(op->channels,
                      1u << WIRE_MUX | 1u << WIRE_TASK | 1u << WIRE_BROADCAST | 1u << WIRE_ENGINES);
}
END_TEST

START_TEST(channels_and_roles_are_found_by_name)
{
    for (int c = 0; c < WIRE_CHANNELS; c++) {
        const char *name = wire_channel_name((enum wire_channel)c);
        ck_assert_int_eq(wire_channel_find(name, strlen(name)), c);
    }
    ck_assert_int_eq(wire_channel_find("engine", 6), -1);
    ck_assert_int_eq(wire_channel_find("", 0), -1);
    ck_assert_int_eq(wire_role_find("operator"), WIRE_ROLE_OPERATOR);
    ck_assert_str_eq(wire_role_name(WIRE_ROLE_OWNER), "owner");
    ck_assert_int_eq(wire_role_find("Owner"), -1);
}
END_TEST

START_TEST(head_is_32_bytes_in_little_endian_order)
{
    const struct wire_head head = { .sequence = 0x0102030405060708,
                                    .acknowledged = 2,
                                    .request = UINT64_MAX,
                                    .engine = -1,
                                    .flags = WIRE_HEAD_LAST | WIRE_HEAD_ABORTED };
    static const unsigned char expected[WIRE_HEAD_BYTES] = {
        8,    7,    6,    5,    4,    3,    2,    1,    2,    0,    0,    0,    0, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 5, 0, 0, 0
    };
    struct wire_head back;
    ipp_frame_t *frame = wire_head_frame(&head), *longer = ipp_frame_alloc(WIRE_HEAD_BYTES + 1);
    ck_assert(ipp_frame_equals(frame, expected, sizeof expected));
    ck_assert_int_eq(wire_head_read(&back, frame), 0);
    ck_assert(back.sequence == head.sequence && back.acknowledged == 2 &&
              back.request == UINT64_MAX && back.engine == -1 && back.flags == head.flags);
    ck_assert_int_eq(wire_head_read(&back, longer), -1);
    ck_assert_int_eq(errno, EBADMSG);
    ipp_frame_unref(frame);
    ipp_frame_unref(longer);
}
END_TEST

/* ---- packs ---- */

static ipp_frame_t *frame_of_size(size_t size, int fill)
{
    ipp_frame_t *frame = ipp_frame_alloc(size);
    memset(ipp_frame_data(frame), fill, size);
    return frame;
}

static void check_same(const ipp_frames_t *a, const ipp_frames_t *b)
{
    ck_assert_uint_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        ck_assert(ipp_frame_equals(a->at[i], ipp_frame_data(b->at[i]), ipp_frame_size(b->at[i])));
}

START_TEST(pack_takes_the_small_frames_and_leaves_the_large)
{
    static const size_t sizes[] = { 3, 0, WIRE_PACKED_BYTES, WIRE_PACKED_BYTES + 1, 5, 100000 };
    ipp_frames_t frames = { 0 }, original = { 0 };
    for (int i = 0; i < 6; i++)
        ipp_frames_push(&frames, frame_of_size(sizes[i], 'a' + i));
    ipp_frames_share(&original, &frames, 0);
    ck_assert_int_eq(wire_pack(&frames, 1), 0);
    ck_assert_uint_eq(frames.count, 4);
    ck_assert_ptr_eq(frames.at[0], original.at[0]);
    ck_assert_uint_eq(ipp_frame_size(frames.at[1]), 4 + 5 * 4 + 0 + WIRE_PACKED_BYTES + 5);
    ck_assert_ptr_eq(frames.at[2], original.at[3]);
    ck_assert_ptr_eq(frames.at[3], original.at[5]);
    ck_assert_int_eq(wire_unpack(&frames, 1), 0);
    check_same(&frames, &original);
    ipp_frames_clear(&frames);
    ipp_frames_clear(&original);
}
END_TEST

START_TEST(pack_of_slices_has_its_numbers_in_little_endian_order)
{
    static const char expected[] = "\3\0\0\0\2\0\0\0\xff\xff\xff\xff\1\0\0\0abc";
    const struct wire_slice slices[] = { { "ab", 2 }, { NULL, 70000 }, { "c", 1 } };
    ipp_frame_t *pack = wire_pack_slices(slices, 3);
    ck_assert(ipp_frame_equals(pack, expected, sizeof expected - 1));
    ipp_frame_unref(pack);
    const struct wire_slice huge[] = { { "", UINT32_MAX } };
    ck_assert_ptr_null(wire_pack_slices(huge, 1));
    ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

static void check_no_pack(const char *bytes, size_t size, size_t behind)
{
    ipp_frames_t frames = { 0 }, original = { 0 };
    if (bytes)
        ipp_frames_push_copy(&frames, bytes, size);
    for (size_t i = 0; i < behind; i++)
        ipp_frames_push_copy(&frames, "x", 1);
    ipp_frames_share(&original, &frames, 0);
    ck_assert_int_eq(wire_unpack(&frames, 0), -1);
    ck_assert_int_eq(errno, EBADMSG);
    check_same(&frames, &original);
    ipp_frames_clear(&frames);
    ipp_frames_clear(&original);
}

START_TEST(unpack_refuses_what_is_no_pack)
{
    check_no_pack(NULL, 0, 0);
    check_no_pack("", 0, 0);
    check_no_pack("\0\0\0", 3, 0);
    check_no_pack("\1\0\0\0", 4, 0);                 /* a table beyond the end */
    check_no_pack("\xff\xff\xff\xff\0\0\0\0", 8, 0); /* likewise */
    check_no_pack("\1\0\0\0\2\0\0\0a", 9, 0);        /* a frame beyond the end */
    check_no_pack("\1\0\0\0\1\0\0\0ab", 10, 0);      /* bytes of no frame */
    check_no_pack("\1\0\0\0\xff\xff\xff\xff", 8, 0); /* none follows */
    check_no_pack("\1\0\0\0\1\0\0\0a", 9, 1);        /* one too many follows */
}
END_TEST

START_TEST(op_of_one_name_on_two_channels_is_two_ops)
{
    ck_assert_int_eq(wire_op_find(WIRE_QUERY, "shutdown_request")->op, WIRE_OP_SHUTDOWN_ALL);
    ck_assert_int_eq(wire_op_find(WIRE_CONTROL, "shutdown_request")->op, WIRE_OP_SHUTDOWN);
}
END_TEST

START_TEST(op_unknown_and_misplaced_differ)
{
    errno = 0;
    ck_assert_ptr_null(wire_op_find(WIRE_MUX, "no_such_request"));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(wire_op_find(WIRE_MUX, ""));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(wire_op_find(WIRE_CONTROL, "apply_request"));
    ck_assert_int_eq(errno, EPROTOTYPE);
}
END_TEST

START_TEST(op_table_is_sound)
{
    for (unsigned i = 0; i < WIRE_OP_COUNT; i++) {
        const struct wire_op_info *op = wire_op_info((enum wire_op)i);
        ck_assert_uint_eq(op->op, i);
        ck_assert(op->channels && op->doc[0]);
        size_t stem = strlen(op->request) - strlen("_request");
        ck_assert_str_eq(op->request + stem, "_request");
        ck_assert(strncmp(op->request, op->reply, stem) == 0);
        ck_assert_str_eq(op->reply + stem, "_reply");
        for (unsigned c = 0; c < WIRE_CHANNELS; c++)
            if (op->channels & 1u << c)
                ck_assert_ptr_eq(wire_op_find((enum wire_channel)c, op->request), op);
    }
}
END_TEST

/* ---- the protocol document ---- */

static const char *top_folder(void)
{
    const char *folder = getenv("srcdir");
    return folder ? folder : ".";
}

static char *read_text(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", top_folder(), name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t size = fread(text, 1, (1 << 20) - 1, file);
    ck_assert(size > 0 && feof(file));
    fclose(file);
    return text;
}

static void documented_row(const struct wire_op_info *op, char *row, size_t size)
{
    static const char *const destinations[] = { "bridge", "run queue", "comm thread", "absent" };
    static const char *const roles[] = { "observer", "operator", "owner" };
    char channels[100] = "";
    for (unsigned c = 0; c < WIRE_CHANNELS; c++)
        if (op->channels & 1u << c)
            sprintf(channels + strlen(channels), "%s%s", channels[0] ? ", " : "",
                    wire_channel_name((enum wire_channel)c));
    snprintf(row, size, "\n| `%s` | `%s` | %s | %s | %s | %s |\n", op->request, op->reply, channels,
             destinations[op->destination], roles[op->role], op->doc);
}

START_TEST(op_table_stands_in_the_protocol_document)
{
    char row[512], *text = read_text("docs/protocol.md");
    ck_assert_msg(text, "no docs/protocol.md below %s", top_folder());
    for (unsigned i = 0; i < WIRE_OP_COUNT; i++) {
        documented_row(wire_op_info((enum wire_op)i), row, sizeof row);
        ck_assert_msg(strstr(text, row), "docs/protocol.md lacks this row:%s", row);
    }
    free(text);
}
END_TEST

/* ---- codec ---- */

static wire_signer_t *signer;

static void create_signer(void)
{
    signer = wire_signer_create(KEY, 100);
    ck_assert_ptr_nonnull(signer);
}

static void destroy_signer(void)
{
    wire_signer_destroy(signer);
}

static ipp_frame_t *text_frame(const char *text)
{
    return ipp_frame_copy(text, strlen(text));
}

/* Two identities, two buffers. */
static wire_msg_t example(const char *header)
{
    wire_msg_t msg = { .header = text_frame(header),
                       .parent = text_frame("{}"),
                       .metadata = text_frame("{\"targets\": []}"),
                       .content = text_frame("{ \"code\": \"1+1\" }") };
    ipp_frames_push_copy(&msg.identities, "\0client", 7);
    ipp_frames_push_copy(&msg.identities, "engine", 6);
    ipp_frames_push_copy(&msg.buffers, "", 0);
    ipp_frames_push_copy(&msg.buffers, "<IDS|MSG>", 9); /* data, here */
    return msg;
}

static ipp_frames_t example_frames(const char *header)
{
    ipp_frames_t frames = { 0 };
    wire_msg_t msg = example(header);
    ck_assert_int_eq(wire_encode(&frames, &msg, signer), 0);
    wire_msg_clear(&msg);
    return frames;
}

static void replace(ipp_frames_t *frames, size_t at, const char *text)
{
    ipp_frame_unref(frames->at[at]);
    frames->at[at] = text_frame(text);
}

/* Decoding must fail with `code` and change nothing. */
static void check_refused(ipp_frames_t *frames, int code)
{
    static ipp_frame_t *before[200];
    ipp_err_t err = { "" };
    wire_msg_t msg = { .header = text_frame("kept") };
    size_t count = frames->count;
    ck_assert_uint_le(count, 200);
    if (count > 0)
        memcpy(before, frames->at, count * sizeof *before);
    errno = 0;
    ck_assert_int_eq(wire_decode(&msg, frames, signer, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert(err.text[0] && !strchr(err.text, '\n'));
    ck_assert_uint_eq(frames->count, count);
    ck_assert(count == 0 || memcmp(before, frames->at, count * sizeof *before) == 0);
    ck_assert(ipp_frame_equals(msg.header, "kept", 4));
    ck_assert(!msg.parent && !msg.header_json && msg.identities.count == 0);
    wire_msg_clear(&msg);
}

START_TEST(decode_gives_what_was_encoded)
{
    ipp_frames_t frames = example_frames(HEADER), again = { 0 };
    wire_msg_t msg = { 0 };
    ck_assert_uint_eq(frames.count, 10);
    ck_assert(ipp_frame_equals(frames.at[2], "<IDS|MSG>", 9));
    ipp_frames_share(&again, &frames, 0);
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0);
    ck_assert_uint_eq(frames.count, 0);
    ck_assert_uint_eq(msg.identities.count, 2);
    ck_assert(ipp_frame_equals(msg.identities.at[0], "\0client", 7));
    ck_assert(ipp_frame_equals(msg.header, HEADER, strlen(HEADER)));
    ck_assert(ipp_frame_equals(msg.parent, "{}", 2));
    ck_assert(ipp_frame_equals(msg.metadata, "{\"targets\": []}", 15));
    ck_assert(ipp_frame_equals(msg.content, "{ \"code\": \"1+1\" }", 17));
    ck_assert_uint_eq(msg.buffers.count, 2);
    ck_assert_ptr_eq(msg.buffers.at[1], again.at[9]);
    ck_assert_str_eq(wire_json_string(msg.header_json, "msg_type", ""), "apply_request");
    ipp_frames_clear(&again);
    wire_msg_clear(&msg);
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(decode_drops_what_the_message_held)
{
    wire_msg_t msg = example(HEADER);
    ipp_frames_t frames = example_frames(HEADER);
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0); /* leaks are the sanitizer's */
    ck_assert_uint_eq(msg.identities.count, 2);
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(decode_wants_a_delimiter_among_the_first_frames)
{
    ipp_frames_t frames = { 0 }, rest = example_frames(HEADER);
    check_refused(&frames, EBADMSG);
    for (int identities = 0; identities < 15; identities++)
        ipp_frames_push_copy(&frames, "i", 1);
    ipp_frames_share(&frames, &rest, 0);
    check_refused(&frames, EBADMSG); /* 17 identities */
    ipp_frame_unref(frames.at[0]);
    memmove(frames.at, frames.at + 1, --frames.count * sizeof *frames.at);
    wire_msg_t msg = { 0 };
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0); /* 16 */
    ck_assert_uint_eq(msg.identities.count, 16);
    wire_msg_clear(&msg);
    replace(&rest, 2, "<IDS|MSG");
    replace(&rest, 9, "");
    check_refused(&rest, EBADMSG);
    ipp_frames_clear(&rest);
}
END_TEST

START_TEST(decode_wants_all_frames)
{
    ipp_frames_t frames = example_frames(HEADER);
    wire_msg_t msg = { 0 };
    while (frames.count > 8)
        ipp_frame_unref(frames.at[--frames.count]);
    ipp_frames_t whole = { 0 };
    ipp_frames_share(&whole, &frames, 0);
    while (frames.count > 0) {
        ipp_frame_unref(frames.at[--frames.count]);
        check_refused(&frames, EBADMSG);
    }
    ck_assert_int_eq(wire_decode(&msg, &whole, signer, NULL), 0); /* no buffers is fine */
    ck_assert_uint_eq(msg.buffers.count, 0);
    wire_msg_clear(&msg);
    ipp_frames_clear(&frames);
}
END_TEST

START_TEST(decode_refuses_a_header_that_is_none)
{
    static const char *const headers[] = { "",
                                           "{",
                                           "[]",
                                           "1",
                                           "null",
                                           "{}",
                                           "{\"msg_id\":\"1\"}",
                                           "{\"msg_type\":\"x\"}",
                                           "{\"msg_id\":1,\"msg_type\":\"x\"}",
                                           "{\"msg_id\":\"1\",\"msg_type\":\"apply\\u0000x\"}",
                                           "{\"msg_id\":\"1\",\"msg_type\":\"x\"} {}",
                                           "{\"msg_id\":\"1\",\"msg_type\":\"\xff\"}",
                                           "{\"msg_id\":\n\x1b[2J}" };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ipp_frames_t frames = example_frames(headers[i]);
        check_refused(&frames, EBADMSG);
        check_refused(&frames, EBADMSG); /* and it was not remembered as seen */
        ipp_frames_clear(&frames);
    }
}
END_TEST

START_TEST(decode_leaves_content_to_its_reader)
{
    wire_msg_t msg = example(HEADER);
    ipp_frames_t frames = { 0 };
    ipp_err_t err;
    ipp_frame_unref(msg.content);
    msg.content =
        text_frame("{\"code\": \"\xed\xa0\x80\"}"); /* a lone surrogate, as Python may send */
    ck_assert_int_eq(wire_encode(&frames, &msg, signer), 0);
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, &err), 0);
    ck_assert_ptr_null(wire_json_read(msg.content, &err));
    ck_assert_int_eq(errno, EBADMSG);
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(encode_fills_in_empty_objects)
{
    wire_msg_t msg = { .header = text_frame(HEADER) };
    ipp_frames_t frames = { 0 };
    ck_assert_int_eq(wire_encode(&frames, &msg, signer), 0);
    ck_assert_uint_eq(frames.count, 6);
    for (size_t i = 3; i < 6; i++)
        ck_assert(ipp_frame_equals(frames.at[i], "{}", 2));
    ck_assert_ptr_null(msg.parent);
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0);
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(encode_appends_and_wants_a_header)
{
    wire_msg_t msg = { .parent = text_frame("{}") };
    ipp_frames_t frames = { 0 };
    ipp_frames_push_copy(&frames, "before", 6);
    errno = 0;
    ck_assert_int_eq(wire_encode(&frames, &msg, signer), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_uint_eq(frames.count, 1);
    msg.header = text_frame(HEADER);
    ck_assert_int_eq(wire_encode(&frames, &msg, signer), 0);
    ck_assert_uint_eq(frames.count, 7);
    ck_assert(ipp_frame_equals(frames.at[0], "before", 6));
    ipp_frames_clear(&frames);
    wire_msg_clear(&msg);
}
END_TEST

/* ---- signatures ---- */

START_TEST(signature_is_hmac_sha256_in_hex)
{
    wire_signer_t *known = wire_signer_create("Jefe", 0); /* RFC 4231, test case 2, cut in four */
    wire_msg_t msg = { .header = text_frame("what do "),
                       .parent = text_frame("ya want "),
                       .metadata = text_frame("for nothing"),
                       .content = text_frame("?") };
    ipp_frames_t frames = { 0 };
    ck_assert_int_eq(wire_encode(&frames, &msg, known), 0);
    const char *hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    ck_assert(ipp_frame_equals(frames.at[1], hex, 64));
    ipp_frames_clear(&frames);
    wire_msg_clear(&msg);
    wire_signer_destroy(known);
}
END_TEST

START_TEST(signature_of_another_key_or_form_is_refused)
{
    static const char *const wrong[] = { "", "0", "zz" };
    ipp_frames_t frames = example_frames(HEADER);
    char upper[65] = "";
    for (int i = 0; i < 64; i++) {
        char c = ((char *)ipp_frame_data(frames.at[3]))[i];
        upper[i] = (char)(c >= 'a' ? c - 'a' + 'A' : c);
    }
    for (int i = 0; i < 3; i++) {
        replace(&frames, 3, wrong[i]);
        check_refused(&frames, EACCES);
    }
    replace(&frames, 3, upper);
    check_refused(&frames, EACCES);
    ipp_frames_clear(&frames);
    frames = example_frames(HEADER);
    wire_signer_destroy(signer);
    signer = wire_signer_create("another", 100);
    check_refused(&frames, EACCES);
    ipp_frames_clear(&frames);
}
END_TEST

START_TEST(signature_covers_each_json_frame_and_no_buffer)
{
    for (size_t at = 4; at < 8; at++) {
        ipp_frames_t frames = example_frames(HEADER);
        replace(&frames, at, "{\"msg_id\":\"2\",\"msg_type\":\"x\"}");
        check_refused(&frames, EACCES);
        ipp_frames_clear(&frames);
    }
    ipp_frames_t frames = example_frames(HEADER);
    wire_msg_t msg = { 0 };
    replace(&frames, 8, "changed");
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0);
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(empty_key_signs_and_verifies_nothing)
{
    wire_signer_destroy(signer);
    signer = wire_signer_create("", 100);
    wire_msg_t msg = { 0 };
    for (int i = 0; i < 2; i++) { /* nor is a replay known */
        ipp_frames_t frames = example_frames(HEADER);
        ck_assert_uint_eq(ipp_frame_size(frames.at[3]), 0);
        replace(&frames, 3, "whatever");
        ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0);
    }
    wire_msg_clear(&msg);
}
END_TEST

START_TEST(key_is_fresh_hexadecimal)
{
    char a[49], b[49];
    wire_key_generate(a);
    wire_key_generate(b);
    ck_assert_uint_eq(strspn(a, "0123456789abcdef"), 48);
    ck_assert_uint_eq(strlen(a), 48);
    ck_assert_str_ne(a, b);
}
END_TEST

/* ---- replays ---- */

static ipp_frames_t numbered(int number)
{
    char header[80];
    snprintf(header, sizeof header, "{\"msg_id\":\"%d\",\"msg_type\":\"x\"}", number);
    return example_frames(header);
}

static void check_accepted(int number)
{
    wire_msg_t msg = { 0 };
    ipp_frames_t frames = numbered(number);
    ck_assert_int_eq(wire_decode(&msg, &frames, signer, NULL), 0);
    wire_msg_clear(&msg);
}

static void check_replayed(int number)
{
    ipp_frames_t frames = numbered(number);
    check_refused(&frames, EALREADY);
    ipp_frames_clear(&frames);
}

START_TEST(replay_is_refused)
{
    check_accepted(1);
    check_replayed(1);
    check_accepted(2);
    check_replayed(1);
    check_replayed(2);
}
END_TEST

START_TEST(replay_memory_forgets_the_oldest)
{
    static const int sizes[] = { 1, 2, 3, 7, 64, 100 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int size = sizes[s];
        wire_signer_destroy(signer);
        signer = wire_signer_create(KEY, (size_t)size);
        for (int i = 0; i < 5 * size; i++) {
            check_accepted(i);
            check_replayed(i);
            if (i >= size - 1)
                check_replayed(i - size + 1); /* the oldest kept */
        }
        check_accepted(0);
        check_replayed(0);
    }
}
END_TEST

START_TEST(replay_memory_may_be_off)
{
    wire_signer_destroy(signer);
    signer = wire_signer_create(KEY, 0);
    check_accepted(1);
    check_accepted(1);
}
END_TEST

START_TEST(replay_memory_too_large_is_enomem)
{
    errno = 0;
    ck_assert_ptr_null(wire_signer_create(KEY, SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = ERANGE;
    wire_signer_destroy(NULL);
    ck_assert_int_eq(errno, ERANGE);
}
END_TEST

/* ---- JSON ---- */

START_TEST(json_read_says_where_it_fails)
{
    static const char *const bad[] = { "",
                                       " ",
                                       "[1]",
                                       "\"x\"",
                                       "{\"a\":}",
                                       "{} x",
                                       "{\"a\":\"\x80\"}",
                                       "{\"a\":1e999}",
                                       "{\"a\":\"\n\"}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ipp_err_t err = { "" };
        ipp_frame_t *frame = text_frame(bad[i]);
        errno = 0;
        ck_assert_ptr_null(wire_json_read(frame, &err));
        ck_assert_int_eq(errno, EBADMSG);
        for (const char *c = err.text; *c; c++)
            ck_assert(*c >= ' ' && *c <= '~');
        ck_assert(err.text[0]);
        ck_assert_ptr_null(wire_json_read(frame, NULL));
        ipp_frame_unref(frame);
    }
}
END_TEST

START_TEST(json_read_stops_at_a_depth_bomb)
{
    enum { DEPTH = 200000 };
    ipp_frame_t *frame = ipp_frame_alloc(5 * DEPTH);
    for (size_t i = 0; i < DEPTH; i++)
        memcpy((char *)ipp_frame_data(frame) + 5 * i, "{\"a\":", 5);
    ck_assert_ptr_null(wire_json_read(frame, NULL));
    ck_assert_int_eq(errno, EBADMSG);
    ipp_frame_unref(frame);
}
END_TEST

START_TEST(json_frame_is_compact_and_comes_back)
{
    ipp_frame_t *frame = wire_json_frame_new(json_pack("{s:i,s:[s]}", "b", 1, "a", "\u00fc"));
    ck_assert(ipp_frame_equals(frame, "{\"b\":1,\"a\":[\"\u00fc\"]}", 18));
    json_t *value = wire_json_read(frame, NULL);
    ipp_frame_t *again = wire_json_frame(value);
    ck_assert(ipp_frame_equals(again, ipp_frame_data(frame), ipp_frame_size(frame)));
    json_decref(value);
    ipp_frame_unref(frame);
    ipp_frame_unref(again);
}
END_TEST

START_TEST(json_frame_of_nothing_is_einval)
{
    json_t *number = json_integer(1);
    errno = 0;
    ck_assert_ptr_null(wire_json_frame(number));
    ck_assert_int_eq(errno, EINVAL);
    json_decref(number);
    errno = 0;
    ck_assert_ptr_null(wire_json_frame_new(json_pack("{s:s}", "a", "\xff")));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(json_string_falls_back)
{
    ipp_frame_t *frame =
        text_frame("{\"s\":\"x\",\"n\":1,\"nul\":\"a\\u0000b\",\"d\":1,\"d\":\"last\"}");
    json_t *value = wire_json_read(frame, NULL);
    ck_assert_str_eq(wire_json_string(value, "s", "?"), "x");
    ck_assert_str_eq(wire_json_string(value, "n", "?"), "?");
    ck_assert_str_eq(wire_json_string(value, "nul", "?"), "?");
    ck_assert_str_eq(wire_json_string(value, "d", "?"), "last");
    ck_assert_ptr_null(wire_json_string(value, "missing", NULL));
    ck_assert_str_eq(wire_json_string(NULL, "s", "?"), "?");
    ck_assert_uint_eq(json_string_length(json_object_get(value, "nul")), 3);
    json_decref(value);
    ipp_frame_unref(frame);
}
END_TEST

/* ---- headers and ids ---- */

START_TEST(uuid_is_version_4)
{
    char uuid[37], other[37];
    for (int i = 0; i < 100; i++) {
        wire_uuid(uuid);
        ck_assert_uint_eq(strlen(uuid), 36);
        ck_assert_uint_eq(strspn(uuid, "0123456789abcdef-"), 36);
        ck_assert(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
        ck_assert(uuid[14] == '4' && strchr("89ab", uuid[19]));
    }
    wire_uuid(other);
    ck_assert_str_ne(uuid, other);
}
END_TEST

static json_t *next_header(wire_headers_t *headers, const char *msg_type)
{
    ipp_frame_t *frame = wire_headers_next(headers, msg_type);
    json_t *header = frame ? wire_json_read(frame, NULL) : NULL;
    ipp_frame_unref(frame);
    ck_assert_ptr_nonnull(header);
    return header;
}

START_TEST(header_has_what_jupyter_wants)
{
    wire_headers_t *headers = wire_headers_create("se\"ssion");
    json_t *header = next_header(headers, "st\"atus"), *next = next_header(headers, "st\"atus");
    ck_assert_str_eq(wire_json_string(header, "msg_type", ""), "st\"atus");
    ck_assert_str_eq(wire_json_string(header, "session", ""), "se\"ssion");
    ck_assert_str_eq(wire_json_string(header, "username", ""), "ipp");
    ck_assert_str_eq(wire_json_string(header, "version", ""), "5.3");
    const char *date = wire_json_string(header, "date", "?");
    ck_assert_int_eq(date[strlen(date) - 1], 'Z');
    ck_assert_uint_eq(json_object_size(header), 6);
    ck_assert_str_ne(wire_json_string(header, "msg_id", ""), wire_json_string(next, "msg_id", ""));
    json_decref(header);
    json_decref(next);
    errno = 0;
    ck_assert_ptr_null(wire_headers_next(headers, "\xff"));
    ck_assert_int_eq(errno, EINVAL);
    wire_headers_destroy(headers);
}
END_TEST

START_TEST(headers_of_many_types)
{
    wire_headers_t *headers = wire_headers_create("s");
    for (int i = 0; i < 400; i++) {
        char type[16];
        snprintf(type, sizeof type, "type_%d", i % 200);
        json_t *header = next_header(headers, type);
        ck_assert_str_eq(wire_json_string(header, "msg_type", ""), type);
        json_decref(header);
    }
    wire_headers_destroy(headers);
    wire_headers_destroy(NULL);
}
END_TEST

enum { THREADS = 4, EACH = 500 };

struct maker {
    wire_headers_t *headers;
    ipp_frames_t made;
};

static void *make_headers(void *arg)
{
    struct maker *maker = arg;
    for (int i = 0; i < EACH; i++)
        ipp_frames_push(&maker->made, wire_headers_next(maker->headers, i % 2 ? "x" : "y"));
    return NULL;
}

START_TEST(header_ids_differ_among_threads)
{
    pthread_t threads[THREADS];
    struct maker makers[THREADS];
    wire_headers_t *headers = wire_headers_create("");
    json_t *ids = json_object();
    for (int t = 0; t < THREADS; t++) {
        makers[t] = (struct maker){ .headers = headers };
        ck_assert_int_eq(pthread_create(&threads[t], NULL, make_headers, &makers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        ck_assert_uint_eq(makers[t].made.count, EACH);
        for (size_t i = 0; i < makers[t].made.count; i++) {
            json_t *header = wire_json_read(makers[t].made.at[i], NULL);
            json_object_set_new(ids, wire_json_string(header, "msg_id", ""), json_true());
            json_decref(header);
        }
        ipp_frames_clear(&makers[t].made);
    }
    ck_assert_uint_eq(json_object_size(ids), THREADS * EACH);
    json_decref(ids);
    wire_headers_destroy(headers);
}
END_TEST

START_TEST(form_is_filled_in)
{
    wire_form_t *form = wire_form_create(
        json_pack("{s:s, s:s, s:i, s:s}", "a", "", "bb", "", "n", 7, "rest", "\"\\"), 2);
    ck_assert_ptr_nonnull(form);
    static const char *const values[][2] = { { "", "" }, { "x", "" }, { "", "long \\\" value" } };
    static const char *const texts[] = { "{\"a\":\"\",\"bb\":\"\",\"n\":7,\"rest\":\"\\\"\\\\\"}",
                                         "{\"a\":\"x\",\"bb\":\"\",\"n\":7,\"rest\":\"\\\"\\\\\"}",
                                         "{\"a\":\"\",\"bb\":\"long \\\" value\",\"n\":7,"
                                         "\"rest\":\"\\\"\\\\\"}" };
    for (int i = 0; i < 3; i++) {
        const struct wire_slice blanks[] = { { values[i][0], strlen(values[i][0]) },
                                             { values[i][1], strlen(values[i][1]) } };
        ipp_frame_t *frame = wire_form_fill(form, blanks);
        ck_assert(ipp_frame_equals(frame, texts[i], strlen(texts[i])));
        ipp_frame_unref(frame);
    }
    wire_form_destroy(form);
}
END_TEST

START_TEST(form_wants_its_blanks_first_and_empty)
{
    static const char *const wrong[] = { "{}", "{\"a\": \"x\"}", "{\"n\": 1, \"a\": \"\"}",
                                         "{\"\\u00e9\\\"\": \"\"}" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        ck_assert_ptr_null(wire_form_create(json_loads(wrong[i], 0, NULL), 1));
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert_ptr_null(wire_form_create(NULL, 0));
    ck_assert_int_eq(errno, EINVAL);
    wire_form_t *form = wire_form_create(json_object(), 0);
    ipp_frame_t *frame = wire_form_fill(form, NULL);
    ck_assert(ipp_frame_equals(frame, "{}", 2));
    ipp_frame_unref(frame);
    wire_form_destroy(form);
    wire_form_destroy(NULL);
}
END_TEST

/* ---- records of the stock client ---- */

static ipp_frame_t *frame_of_hex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    ipp_frame_t *frame = ipp_frame_alloc(size);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        ((unsigned char *)ipp_frame_data(frame))[i] = (unsigned char)byte;
    }
    return frame;
}

static int is_record(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

/* Accepted with the record's key, and put together again byte for byte, the signature included. */
static void check_record(const json_t *record)
{
    wire_signer_t *recorded = wire_signer_create(wire_json_string(record, "key", ""), 10);
    ipp_frames_t frames = { 0 }, original = { 0 }, again = { 0 };
    wire_msg_t msg = { 0 };
    ipp_err_t err = { "" };
    size_t i;
    json_t *hex;
    json_array_foreach(json_object_get(record, "frames"), i, hex)
        ipp_frames_push(&frames, frame_of_hex(json_string_value(hex)));
    ipp_frames_share(&original, &frames, 0);
    ck_assert_msg(wire_decode(&msg, &frames, recorded, &err) == 0, "%s", err.text);
    ck_assert_int_eq(wire_encode(&again, &msg, recorded), 0);
    check_same(&again, &original);
    ipp_frame_t *const objects[] = { msg.header, msg.parent, msg.metadata, msg.content };
    for (int k = 0; k < 4; k++) {
        json_t *object = wire_json_read(objects[k], &err);
        ck_assert_msg(object, "%s", err.text);
        json_decref(object);
    }
    ipp_frames_clear(&original);
    ipp_frames_clear(&again);
    wire_msg_clear(&msg);
    wire_signer_destroy(recorded);
}

START_TEST(records_come_back_byte_for_byte)
{
    char folder[1024], path[2048];
    struct dirent **entries;
    snprintf(folder, sizeof folder, "%s/tests/golden", top_folder());
    int count = scandir(folder, &entries, is_record, alphasort);
    ck_assert_msg(count >= 10, "%d records in %s", count, folder);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        json_t *record = json_load_file(path, 0, NULL);
        ck_assert_msg(record, "%s is no JSON", path);
        check_record(record);
        json_decref(record);
        free(entries[i]);
    }
    free(entries);
}
END_TEST

static TCase *operations_case(void)
{
    TCase *test = tcase_create("operations");
    tcase_add_test(test, op_is_found_by_channel_and_type);
    tcase_add_test(test, op_of_one_name_on_two_channels_is_two_ops);
    tcase_add_test(test, op_unknown_and_misplaced_differ);
    tcase_add_test(test, channels_and_roles_are_found_by_name);
    tcase_add_test(test, head_is_32_bytes_in_little_endian_order);
    tcase_add_test(test, pack_takes_the_small_frames_and_leaves_the_large);
    tcase_add_test(test, pack_of_slices_has_its_numbers_in_little_endian_order);
    tcase_add_test(test, unpack_refuses_what_is_no_pack);
    tcase_add_test(test, op_table_is_sound);
    tcase_add_test(test, op_table_stands_in_the_protocol_document);
    return test;
}

static TCase *codec_case(void)
{
    TCase *test = tcase_create("codec");
    tcase_add_checked_fixture(test, create_signer, destroy_signer);
    tcase_add_test(test, decode_gives_what_was_encoded);
    tcase_add_test(test, decode_drops_what_the_message_held);
    tcase_add_test(test, decode_wants_a_delimiter_among_the_first_frames);
    tcase_add_test(test, decode_wants_all_frames);
    tcase_add_test(test, decode_refuses_a_header_that_is_none);
    tcase_add_test(test, decode_leaves_content_to_its_reader);
    tcase_add_test(test, encode_fills_in_empty_objects);
    tcase_add_test(test, encode_appends_and_wants_a_header);
    tcase_add_test(test, records_come_back_byte_for_byte);
    return test;
}

static TCase *signatures_case(void)
{
    TCase *test = tcase_create("signatures");
    tcase_add_checked_fixture(test, create_signer, destroy_signer);
    tcase_add_test(test, signature_is_hmac_sha256_in_hex);
    tcase_add_test(test, signature_of_another_key_or_form_is_refused);
    tcase_add_test(test, signature_covers_each_json_frame_and_no_buffer);
    tcase_add_test(test, empty_key_signs_and_verifies_nothing);
    tcase_add_test(test, key_is_fresh_hexadecimal);
    tcase_add_test(test, replay_is_refused);
    tcase_add_test(test, replay_memory_forgets_the_oldest);
    tcase_add_test(test, replay_memory_may_be_off);
    tcase_add_test(test, replay_memory_too_large_is_enomem);
    return test;
}

START_TEST(copy_of_a_broadcast_has_an_id_of_its_own)
{
    static const char uuid[] = "8c1d0a2e-0000-4000-8000-000000000001";
    static const size_t lengths[] = { 0, 1, 218, 219, 220, 5000, 1000000 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *original = calloc(1, lengths[i] + 1);
        memset(original, 'm', lengths[i]);
        json_t *header = json_pack("{s:s, s:s}", "msg_id", original, "session", "s");
        ck_assert_int_eq(wire_copy_rename(header, uuid), 0);
        const char *renamed = wire_json_string(header, "msg_id", NULL);
        char *id = wire_copy_id(original, uuid);
        ck_assert_uint_eq(strlen(id), lengths[i] + 1 + strlen(uuid));
        ck_assert(strncmp(id, original, lengths[i]) == 0);
        ck_assert_str_eq(id + lengths[i] + 1, uuid);
        ck_assert_str_eq(renamed, id);
        ck_assert_str_eq(wire_json_string(header, "session", NULL), "s");
        free(id);
        free(original);
        json_decref(header);
    }
}
END_TEST

/* As wire_copy_rename makes it, whatever stands in the id and beside it. */
START_TEST(copies_are_named_without_reading_their_header)
{
    static const char uuid[] = "8c1d0a2e-0000-4000-8000-000000000001";
    static const char *const headers[] = {
        "{\"msg_id\": \"m\"}",
        "{\"msg_id\": \"\", \"date\": \"d\"}",
        "{\"session\": \"m_1\", \"msg_id\": \"m_1\", \"x\": {\"msg_id\": \"m_1\"}, \"msg_type\": "
        "\"t\"}",
        "{\"a\": [1, 2.5, null], \"msg_id\": \"q\\\"\\\\\\n\\u0001\\u00e9\\u2028/\", \"z\": "
        "\"\\\"}\"}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size_t id_end = 0;
        json_t *header = json_loads(headers[i], 0, NULL), *expected = json_deep_copy(header);
        ck_assert_int_eq(wire_copy_rename(expected, uuid), 0);
        ipp_frame_t *first = wire_copies_header(header, &id_end);
        ipp_frame_t *copy = wire_copy_header(first, id_end, uuid);
        json_t *reread = wire_json_read(first, NULL), *copied = wire_json_read(copy, NULL);
        ck_assert(json_equal(reread, header));
        ck_assert(json_equal(copied, expected));
        struct wire_slice id = wire_copies_id(copy, id_end);
        char quoted[200];
        snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)id.size, (const char *)id.data);
        json_t *back = json_loads(quoted, JSON_DECODE_ANY, NULL);
        ck_assert(json_equal(back, json_object_get(header, "msg_id")));
        json_decref(back);
        json_decref(copied);
        json_decref(reread);
        json_decref(expected);
        json_decref(header);
        ipp_frame_unref(copy);
        ipp_frame_unref(first);
    }
}
END_TEST

START_TEST(copies_need_an_id_and_its_end)
{
    size_t id_end = 0;
    json_t *header = json_pack("{s:i}", "msg_id", 3);
    ck_assert_ptr_null(wire_copies_header(header, &id_end));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(wire_copies_header(NULL, &id_end));
    json_object_set_new(header, "msg_id", json_string("m"));
    ipp_frame_t *frame = wire_copies_header(header, &id_end);
    static const size_t wrong[] = { 0, 1, 10, 11, 13, 14, 1000 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        ck_assert_ptr_null(wire_copy_header(frame, wrong[i], "u"));
        ck_assert_int_eq(errno, EBADMSG);
    }
    ipp_frame_unref(frame);
    json_decref(header);
}
END_TEST

START_TEST(copy_rename_leaves_what_it_cannot_rename)
{
    json_t *header = json_pack("{s:i}", "msg_id", 3);
    ck_assert_int_eq(wire_copy_rename(header, "u"), -1);
    ck_assert_int_eq(errno, EINVAL);
    json_object_set_new(header, "msg_id", json_string("m"));
    ck_assert_int_eq(wire_copy_rename(header, "\xff"), -1);
    ck_assert_str_eq(wire_json_string(header, "msg_id", NULL), "m");
    json_decref(header);
}
END_TEST

static TCase *json_case(void)
{
    TCase *test = tcase_create("json");
    tcase_add_test(test, json_read_says_where_it_fails);
    tcase_add_test(test, json_read_stops_at_a_depth_bomb);
    tcase_add_test(test, json_frame_is_compact_and_comes_back);
    tcase_add_test(test, json_frame_of_nothing_is_einval);
    tcase_add_test(test, json_string_falls_back);
    tcase_add_test(test, uuid_is_version_4);
    tcase_add_test(test, header_has_what_jupyter_wants);
    tcase_add_test(test, headers_of_many_types);
    tcase_add_test(test, header_ids_differ_among_threads);
    tcase_add_test(test, form_is_filled_in);
    tcase_add_test(test, form_wants_its_blanks_first_and_empty);
    tcase_add_test(test, copy_of_a_broadcast_has_an_id_of_its_own);
    tcase_add_test(test, copies_are_named_without_reading_their_header);
    tcase_add_test(test, copies_need_an_id_and_its_end);
    tcase_add_test(test, copy_rename_leaves_what_it_cannot_rename);
    return test;
}

int main(void)
{
    Suite *suite = suite_create("wire");
    suite_add_tcase(suite, operations_case());
    suite_add_tcase(suite, codec_case());
    suite_add_tcase(suite, signatures_case());
    suite_add_tcase(suite, json_case());
    return unit_run(suite);
}
