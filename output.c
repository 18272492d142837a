// SPDX-License-Identifier: ISC
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "source.h"

// How far into a file its mark may stand.
#define MARK_WITHIN 512

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

// Makes a rename in DIR last, as far as one can: a folder may be writable and not readable, and
// some file systems do not know fsync(2) of a folder.
static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int replace(const char *dir, const char *path, const char *text, size_t size)
{
    char *temporary;
    int fd, saved;

    if (asprintf(&temporary, "%s/.rinetd-gen.XXXXXX", dir) < 0)
        return -1;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        free(temporary);
        return -1;
    }
    if (write_all(fd, text, size) < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0)
        goto failed;
    if (close(fd) < 0) {
        fd = -1;
        goto failed;
    }
    fd = -1;
    if (rename(temporary, path) < 0)
        goto failed;
    free(temporary);
    sync_folder(dir);
    return 0;
failed:
    saved = errno;
    if (fd >= 0)
        close(fd);
    unlink(temporary);
    free(temporary);
    errno = saved;
    return -1;
}

bool output_is_marked(const char *bytes, size_t size)
{
    const char *mark;

    if (size > MARK_WITHIN)
        size = MARK_WITHIN;
    mark = size > 0 ? memmem(bytes, size, OUTPUT_MARK, strlen(OUTPUT_MARK)) : NULL;
    return mark && (mark == bytes || mark[-1] == '\n');
}

enum output_change output_write(const char *dir, const char *name, const char *text, size_t size)
{
    enum output_change change = OUTPUT_FAILED;
    struct conf_source before = {.size = 0};
    struct stat status;
    char *path;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return OUTPUT_FAILED;
    if (lstat(path, &status) < 0) {
        if (errno == ENOENT && replace(dir, path, text, size) == 0)
            change = OUTPUT_CREATED;
    } else if (!S_ISREG(status.st_mode)) {
        change = OUTPUT_FOREIGN;
    } else if (source_read(path, &before) == 0) {
        if (!output_is_marked(before.bytes, before.size))
            change = OUTPUT_FOREIGN;
        else if (before.size == size && memcmp(before.bytes, text, size) == 0)
            change = OUTPUT_SAME;
        else if (replace(dir, path, text, size) == 0)
            change = OUTPUT_REPLACED;
    }
    source_free(&before);
    free(path);
    return change;
}

int output_create_log(const char *path, uid_t uid, gid_t gid)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600), saved;

    if (fd < 0)
        return errno == EEXIST ? 0 : -1;
    if (fchown(fd, uid, gid) == 0 && fchmod(fd, 0640) == 0)
        return close(fd) == 0 ? 1 : -1;
    saved = errno;
    unlink(path);
    close(fd);
    errno = saved;
    return -1;
}
