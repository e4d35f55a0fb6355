/* SPDX-License-Identifier: BSD-3-Clause
 * Arrays in .npy files: numpy's format, versions 1 to 3, in C order and without objects. */
#ifndef IPP_CLI_NPY_H
#define IPP_CLI_NPY_H

#include <jansson.h>

#include "base/base.h"

#define NPY_DIMS_MAX 64

/* An array in C order. dtype as in the file: a string ("<f8"), or for records a list of fields
 * [name, dtype] or [name, dtype, shape]. */
struct npy_array {
    json_t *dtype; /* owned by who made the struct */
    int ndims;
    int64_t shape[NPY_DIMS_MAX];
    const void *data; /* borrowed */
    size_t size;      /* of data: items times bytes of one */
};

/* Bytes of one item; -1 with a text and errno EINVAL for what is no dtype, ENOTSUP for objects. */
int64_t npy_item_bytes(const json_t *dtype, ipp_err_t *err);
/* Sets array->size to what dtype and shape say. -1: as npy_item_bytes, or EOVERFLOW. */
int npy_measure(struct npy_array *array, ipp_err_t *err);

/* Takes a whole file apart; `data` points into it, dtype is the caller's (json_decref). -1 with a
 * text and errno EBADMSG (no .npy file, or one that is cut off), ENOTSUP (objects, Fortran order, a
 * version from the future). */
int npy_parse(struct npy_array *array, const void *bytes, size_t size, ipp_err_t *err);

/* A file in memory, not copied; npy_close gives both back. */
struct npy_file {
    struct npy_array array;
    void *map;
    size_t size;
};
int npy_open(struct npy_file *file, const char *path, ipp_err_t *err);
void npy_close(struct npy_file *file);

/* The bytes that stand before an array's data in a file; the caller frees them. NULL with a text.
 */
char *npy_header(const struct npy_array *array, size_t *size, ipp_err_t *err);
/* Writes an array whose data lie in several pieces, one after the other; the file appears whole or
 * not at all. array->data and size are not used. -1 with a text that names `path`. */
struct npy_piece {
    const void *data;
    size_t size;
};
int npy_write(const char *path, const struct npy_array *array, const struct npy_piece *pieces,
              size_t count, ipp_err_t *err);

#endif
