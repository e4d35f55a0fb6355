/* SPDX-License-Identifier: BSD-3-Clause
 * Runs a fuzz target over the files of the folders named on the command line: the corpus as a plain
 * test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The buffer has exactly the size of the input, so that a sanitizer sees a read beyond it. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    uint8_t *data = size >= 0 ? malloc(size > 0 ? (size_t)size : 1) : NULL;
    if (data) {
        rewind(file);
        if (fread(data, 1, (size_t)size, file) == (size_t)size)
            LLVMFuzzerTestOneInput(data, (size_t)size);
        else
            size = -1;
    }
    int failed = !data || size < 0;
    free(data);
    if (file)
        fclose(file);
    if (failed)
        fprintf(stderr, "cannot read %s\n", path);
    return failed ? -1 : 0;
}

/* How many files were run, -1 when one could not be. */
static int run_folder(const char *folder)
{
    char path[4096];
    struct dirent **entries;
    int count = scandir(folder, &entries, not_hidden, alphasort), failed = 0;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        failed |= run_file(path) < 0;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return failed ? -1 : count;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: no inputs, or not all readable\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return 0;
}
