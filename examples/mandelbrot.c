/* SPDX-License-Identifier: BSD-3-Clause
 * The Mandelbrot set as a farm: each row of the picture is a task, and some take a hundred times as
 * long as others. Writes a PGM picture (netpbm, "P5").
 *
 *     mpirun -n 4 examples/mandelbrot [WIDTH HEIGHT [FILE]]
 *
 * Default: 1200 900 mandelbrot.pgm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ippmpi.h"

#define ITERATIONS 1000

struct picture {
    int width, height;
};

/* How soon z -> z^2 + c leaves the circle of radius 2, as a shade; black when it does not. */
static unsigned char shade(double re, double im)
{
    double x = 0, y = 0;
    for (int i = 0; i < ITERATIONS; i++) {
        double x2 = x * x, y2 = y * y;
        if (x2 + y2 > 4)
            return (unsigned char)(55 + i * 8 % 200);
        y = 2 * x * y + im;
        x = x2 - y2 + re;
    }
    return 0;
}

/* The payload is the number of a row, the result its pixels. */
static int draw_row(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                    void *arg)
{
    const struct picture *picture = arg;
    int row;
    (void)ipp;
    if (size != sizeof row)
        return 1;
    memcpy(&row, payload, sizeof row);
    unsigned char *pixels = ipp_task_room(output, (size_t)picture->width);
    if (!pixels)
        return 1;
    double im = 1.5 - 3.0 * (row + 0.5) / picture->height;
    for (int i = 0; i < picture->width; i++)
        pixels[i] = shade(-2.5 + 4.0 * (i + 0.5) / picture->width, im);
    return 0;
}

/* The rows that rank 0 has submitted, in whatever order they were done. */
static int write_picture(ipp_t *ipp, const struct picture *picture, ipp_task_t **rows,
                         const char *path)
{
    long black = 0;
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        return 1;
    }
    fprintf(file, "P5\n%d %d\n255\n", picture->width, picture->height);
    for (int row = 0; row < picture->height; row++) {
        ipp_task_result_t result;
        if (ipp_task_wait(ipp, rows[row], -1, &result) < 0 || result.status != IPP_TASK_OK)
            return 1;
        fwrite(result.data, 1, result.size, file);
        for (size_t i = 0; i < result.size; i++)
            black += ((const unsigned char *)result.data)[i] == 0;
        ipp_task_free(ipp, rows[row]);
    }
    if (fclose(file) != 0) {
        perror(path);
        return 1;
    }
    printf("mandelbrot: %s, %d x %d, area %.3f\n", path, picture->width, picture->height,
           12.0 * (double)black / picture->width / picture->height);
    return 0;
}

static int run(ipp_t *ipp, struct picture *picture, const char *path)
{
    int rank, code = 0;
    MPI_Comm_rank(ipp_comm(ipp), &rank);
    ipp_task_type_t *type = ipp_task_register(ipp, "row", draw_row, picture);
    ipp_task_t **rows = calloc((size_t)picture->height, sizeof(ipp_task_t *));
    if (!type || !rows)
        return 1;
    for (int row = 0; rank == 0 && code == 0 && row < picture->height; row++)
        code = ipp_task_submit(ipp, type, &row, sizeof row, NULL, &rows[row]) < 0;
    if (ipp_task_serve(ipp) != 0)
        code = 1;
    if (rank == 0 && code == 0)
        code = write_picture(ipp, picture, rows, path);
    free(rows);
    return code;
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    ipp_options_t options = { .log_level = "error" };
    if (ipp_init(&ipp, &argc, &argv, &options) < 0)
        return 2;
    struct picture picture = { argc > 2 ? atoi(argv[1]) : 1200, argc > 2 ? atoi(argv[2]) : 900 };
    bool fine = picture.width > 0 && picture.height > 0 && picture.width <= 100000;
    if (!fine)
        fprintf(stderr, "mandelbrot: %s x %s: not the size of a picture\n", argv[1], argv[2]);
    int code = fine ? 0 : 2;
    if (fine && !ipp_is_service(ipp))
        code = run(ipp, &picture, argc > 3 ? argv[3] : "mandelbrot.pgm");
    return ipp_finalize(ipp) < 0 ? 1 : code;
}
