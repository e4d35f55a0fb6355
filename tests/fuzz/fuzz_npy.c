/* SPDX-License-Identifier: BSD-3-Clause
 * Fuzzes the reader of .npy files: whatever is read lies inside the file, is shown, and is read
 * again from the header that we write for it. Input: the file. */
#include "steer/cli/npy.h"
#include "steer/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct npy_array *array)
{
    struct npy_array back;
    size_t size;
    char *header = npy_header(array, &size, NULL);
    CHECK(header);
    char *file = calloc(1, size + array->size + 1);
    CHECK(file);
    memcpy(file, header, size);
    CHECK(npy_parse(&back, file, size + array->size, NULL) == 0);
    CHECK(back.ndims == array->ndims && back.size == array->size);
    CHECK(json_equal(back.dtype, array->dtype));
    json_decref(back.dtype);
    free(header);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_array array;
    struct text text = { 0 };
    if (npy_parse(&array, data, size, NULL) < 0)
        return 0;
    const uint8_t *begin = array.data;
    CHECK(begin >= data && array.size <= (size_t)(data + size - begin));
    array_print(&text, &array);
    json_decref(array_json(&array));
    check_again(&array);
    text_clear(&text);
    json_decref(array.dtype);
    return 0;
}
