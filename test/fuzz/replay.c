// SPDX-License-Identifier: ISC
//
// Feeds the files, and every file of the folders, that its command line names to a fuzz target:
// what the fuzzer once found is found again without it. An input that fails ends the program.
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Replays one file. Returns 1, or -1 with errno.
static int replay_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat status;
    int count = -1;

    if (!in)
        return -1;
    if (fstat(fileno(in), &status) < 0)
        goto close;
    data = malloc((size_t)status.st_size + 1);
    if (!data || fread(data, 1, (size_t)status.st_size, in) != (size_t)status.st_size)
        goto close;
    LLVMFuzzerTestOneInput(data, (size_t)status.st_size);
    count = 1;
close:
    free(data);
    fclose(in);
    return count;
}

// Replays all files of a folder but hidden ones. Returns how many, or -1 with errno.
static int replay_folder(const char *path)
{
    struct dirent **entries;
    int entry_count = scandir(path, &entries, NULL, alphasort), count = 0;

    if (entry_count < 0)
        return -1;
    for (int i = 0; i < entry_count; i++) {
        char *name;

        if (entries[i]->d_name[0] != '.' && count >= 0) {
            if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
                abort();
            count = replay_file(name) < 0 ? -1 : count + 1;
            free(name);
        }
        free(entries[i]);
    }
    free(entries);
    return count;
}

int main(int argc, char **argv)
{
    int failures = 0;

    for (int i = 1; i < argc; i++) {
        struct stat status;
        int count = stat(argv[i], &status);

        if (count == 0)
            count = S_ISDIR(status.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
        failures += count <= 0;
        if (count < 0)
            printf("not ok %d - %s: %s\n", i, argv[i], strerror(errno));
        else
            printf("%sok %d - %s: %d inputs replayed\n", count ? "" : "not ", i, argv[i], count);
    }
    printf("1..%d\n", argc - 1);
    return failures > 0;
}
