// SPDX-License-Identifier: ISC
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// No configuration is as large; /dev/zero is.
#define SIZE_MAX_BYTES ((size_t)256 << 20)

// Reads FD to its end. Returns 0, or -1 with errno.
static int read_all(int fd, char **bytes, size_t *size)
{
    size_t capacity = 0;

    *bytes = NULL;
    *size = 0;
    for (;;) {
        ssize_t got;

        if (*size == capacity) {
            char *grown = NULL;

            if (capacity < SIZE_MAX_BYTES)
                grown = realloc(*bytes, capacity ? capacity * 2 : 65536);
            else
                errno = EFBIG;
            if (!grown)
                return -1;
            *bytes = grown;
            capacity = capacity ? capacity * 2 : 65536;
        }
        got = read(fd, *bytes + *size, capacity - *size);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -1;
        *size += got > 0 ? (size_t)got : 0;
    }
}

// The same for the same file, whatever path leads to it.
static char *identify(int fd)
{
    struct stat status;
    char *identity = NULL;

    if (fstat(fd, &status) < 0 ||
        asprintf(&identity, "%llx:%llx", (unsigned long long)status.st_dev,
                 (unsigned long long)status.st_ino) < 0)
        return NULL;
    return identity;
}

int source_read(const char *name, struct conf_source *source)
{
    bool standard = strcmp(name, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *bytes = NULL;
    int saved = 0;

    memset(source, 0, sizeof *source);
    source->name = strdup(standard ? "<stdin>" : name);
    if (fd < 0)
        goto failed;
    source->identity = identify(fd);
    if (!source->name || !source->identity || read_all(fd, &bytes, &source->size) < 0)
        goto failed;
    source->bytes = bytes;
    if (!standard)
        close(fd);
    return 0;
failed:
    saved = errno;
    free(bytes);
    if (fd >= 0 && !standard)
        close(fd);
    source->error = strerror(saved);
    errno = saved;
    return -1;
}

// The texts of a conf_source are constant for conf; they were allocated here.
static void free_constant(const char *text)
{
    union {
        const char *constant;
        char *allocated;
    } same = {.constant = text};

    free(same.allocated);
}

void source_free(struct conf_source *source)
{
    free_constant(source->name);
    free_constant(source->identity);
    free_constant(source->bytes);
    memset(source, 0, sizeof *source);
}

// PATTERN as seen from the folder of the file FROM; on the heap. What the folder itself is called
// must not be taken for a pattern.
static char *beside(const char *pattern, const char *from)
{
    const char *slash = strrchr(from, '/');
    char *joined, *to;

    if (pattern[0] == '/' || !slash)
        return strdup(pattern);
    to = joined = malloc((size_t)(slash - from) * 2 + strlen(pattern) + 2);
    if (!joined)
        return NULL;
    for (; from <= slash; from++) {
        if (strchr("*?[\\", *from))
            *to++ = '\\';
        *to++ = *from;
    }
    strcpy(to, pattern);
    return joined;
}

static bool read_matches(const glob_t *matches, struct conf_sources *found)
{
    struct conf_source *sources = calloc(matches->gl_pathc, sizeof *sources);
    struct stat status;

    if (!sources)
        return false;
    found->source = sources;
    found->count = matches->gl_pathc;
    // One that cannot be read carries its own error: the others still count. Reading a fifo or a
    // terminal that an include names would wait for somebody to write.
    for (size_t i = 0; i < matches->gl_pathc; i++) {
        if (stat(matches->gl_pathv[i], &status) < 0 || S_ISREG(status.st_mode)) {
            // Found by a pattern, "-" is a file.
            const char *path = matches->gl_pathv[i];

            source_read(strcmp(path, "-") == 0 ? "./-" : path, &sources[i]);
        } else {
            sources[i].name = strdup(matches->gl_pathv[i]);
            sources[i].error = "it is not a regular file";
        }
        if (!sources[i].name)
            return false;
    }
    return true;
}

// A folder that is not there has no files that match.
static int glob_error(const char *path, int error)
{
    (void)path;
    return error != ENOENT && error != ENOTDIR;
}

static void source_release(void *context, struct conf_sources *found)
{
    union {
        const struct conf_source *constant;
        struct conf_source *allocated;
    } same = {.constant = found->source};

    (void)context;
    for (size_t i = 0; i < found->count; i++)
        source_free(&same.allocated[i]);
    free(same.allocated);
    found->source = NULL;
    found->count = 0;
}

static bool source_find(void *context, const char *pattern, const char *from,
                        struct conf_sources *found, const char **error)
{
    char *path = beside(pattern, from);
    glob_t matches;
    int result;

    (void)context;
    found->source = NULL;
    found->count = 0;
    if (!path) {
        *error = strerror(errno);
        return false;
    }
    result = glob(path, 0, glob_error, &matches);
    free(path);
    if (result == GLOB_NOMATCH && strpbrk(pattern, "*?["))
        return true;
    if (result != 0) {
        *error = result == GLOB_NOMATCH   ? strerror(ENOENT)
                 : result == GLOB_NOSPACE ? strerror(ENOMEM)
                                          : "its folder cannot be read";
        return false;
    }
    if (!read_matches(&matches, found)) {
        *error = strerror(ENOMEM);
        source_release(context, found);
        globfree(&matches);
        return false;
    }
    globfree(&matches);
    return true;
}

const struct conf_reader source_reader = {.find = source_find, .release = source_release};
