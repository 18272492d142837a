// SPDX-License-Identifier: ISC
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "source.h"

// How far into a file its mark may stand.
#define MARK_WITHIN 512

#define TEMPORARY ".rinetd-gen.XXXXXX"

#define STALE_S 3600 // nobody writes for so long
#define LOOK_MS 20   // between two looks whether a lock is free

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

static bool is_written(const struct output_step *step)
{
    return step->change == OUTPUT_CREATED || step->change == OUTPUT_REPLACED;
}

// Puts SIZE bytes into a new temporary file of STEP's, with its mode and, where it has one, owner.
static int stage(const struct output_plan *plan, struct output_step *step, const char *text,
                 size_t size)
{
    int fd, saved;

    if (asprintf(&step->temporary, "%s/" TEMPORARY, plan->dir) < 0) {
        step->temporary = NULL;
        return -1;
    }
    fd = mkostemp(step->temporary, O_CLOEXEC);
    if (fd < 0) {
        free(step->temporary);
        step->temporary = NULL;
        return -1;
    }
    // Only root can give a file away, and nobody else has to.
    if (step->done && geteuid() == 0 && fchown(fd, step->uid, step->gid) < 0)
        goto failed;
    if (write_all(fd, text, size) < 0 || fchmod(fd, step->done ? step->mode : 0644) < 0)
        goto failed;
    // Who goes by the time of a file is to see that nothing has happened.
    if (step->done &&
        futimens(fd, (const struct timespec[]){{.tv_nsec = UTIME_OMIT}, step->modified}) < 0)
        goto failed;
    if (fsync(fd) < 0)
        goto failed;
    return close(fd);
failed:
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int move_in(const struct output_plan *plan, struct output_step *step)
{
    char *path;
    int result;

    if (asprintf(&path, "%s/%s", plan->dir, step->name) < 0)
        return -1;
    result = rename(step->temporary, path);
    free(path);
    if (result < 0)
        return -1;
    free(step->temporary);
    step->temporary = NULL;
    return 0;
}

static int move_out(const struct output_plan *plan, const struct output_step *step)
{
    char *path;
    int result;

    if (asprintf(&path, "%s/%s", plan->dir, step->name) < 0)
        return -1;
    result = unlink(path);
    free(path);
    return result < 0 && errno != ENOENT ? -1 : 0;
}

static void drop_temporaries(struct output_plan *plan)
{
    int saved = errno;

    for (size_t i = 0; i < plan->count; i++) {
        if (!plan->step[i].temporary)
            continue;
        unlink(plan->step[i].temporary);
        free(plan->step[i].temporary);
        plan->step[i].temporary = NULL;
    }
    errno = saved;
}

bool output_is_marked(const char *bytes, size_t size)
{
    const char *mark;

    if (size > MARK_WITHIN)
        size = MARK_WITHIN;
    mark = size > 0 ? memmem(bytes, size, OUTPUT_MARK, strlen(OUTPUT_MARK)) : NULL;
    return mark && (mark == bytes || mark[-1] == '\n');
}

// Reads up to SIZE bytes at OFFSET. Returns how many there were, or -1 with errno.
static ssize_t read_at(int fd, char *bytes, size_t size, off_t offset)
{
    size_t count = 0;

    while (count < size) {
        ssize_t got = pread(fd, bytes + count, size - count, offset + (off_t)count);

        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        count += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)count;
}

// Whether FD, a file of SIZE bytes, holds TEXT. Returns 1, 0, or -1 with errno.
static int holds(int fd, const char *text, size_t size)
{
    char bytes[65536];

    for (size_t at = 0; at < size;) {
        ssize_t got = read_at(fd, bytes, sizeof bytes, (off_t)at);

        if (got < 0)
            return -1;
        if (got == 0 || (size_t)got > size - at || memcmp(bytes, text + at, (size_t)got) != 0)
            return 0;
        at += (size_t)got;
    }
    return 1;
}

// Finds out what becomes of the regular file FD at PATH, and reads it where it may have to be put
// back. Returns 0, or -1 with errno.
static int compare(int fd, const char *path, enum output_kind kind, struct output_step *step)
{
    char head[MARK_WITHIN];
    ssize_t got = read_at(fd, head, sizeof head, 0);
    struct stat status;
    int same = 0;

    if (got < 0 || fstat(fd, &status) < 0)
        return -1;
    step->change = OUTPUT_FOREIGN;
    if (!output_is_marked(head, (size_t)got))
        return 0;
    step->mode = status.st_mode & 07777;
    step->uid = status.st_uid;
    step->gid = status.st_gid;
    step->modified = status.st_mtim;
    if (step->text && (uint64_t)status.st_size == step->size)
        same = holds(fd, step->text, step->size);
    if (same < 0)
        return -1;
    if (same > 0)
        step->change = OUTPUT_SAME;
    else if (step->text)
        step->change = OUTPUT_REPLACED;
    else
        step->change = kind == OUTPUT_NAMED ? OUTPUT_LEFT : OUTPUT_REMOVED;
    if (step->change == OUTPUT_REPLACED || step->change == OUTPUT_REMOVED)
        return source_read(path, &step->before);
    return 0;
}

// Fills in what is there now. Returns 0, or -1 with errno.
static int look(const struct output_plan *plan, enum output_kind kind, struct output_step *step)
{
    struct stat status;
    char *path;
    int result = 0, fd, saved;

    if (asprintf(&path, "%s/%s", plan->dir, step->name) < 0)
        return -1;
    if (lstat(path, &status) < 0) {
        step->change = OUTPUT_CREATED;
        result = errno == ENOENT ? 0 : -1;
    } else if (!S_ISREG(status.st_mode)) {
        step->change = OUTPUT_FOREIGN;
    } else {
        // Not what may have come in between, to wait for somebody who writes.
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        result = fd < 0 ? -1 : compare(fd, path, kind, step);
        saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
    }
    free(path);
    return result;
}

static bool is_wanted(const struct output_file *files, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].name, name) == 0)
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    const struct output_step *x = a, *y = b;

    return strcmp(x->name, y->name);
}

// Takes the next step, for NAME. It is dropped again by its maker if there is nothing to do.
static struct output_step *add_step(struct output_plan *plan, const char *name)
{
    struct output_step *grown;

    grown = reallocarray(plan->step, plan->count + 1, sizeof *grown);
    if (!grown)
        return NULL;
    plan->step = grown;
    grown += plan->count;
    memset(grown, 0, sizeof *grown);
    grown->name = strdup(name);
    if (!grown->name)
        return NULL;
    plan->count++;
    return grown;
}

static int add_leftover(struct output_plan *plan, const char *name, enum output_kind kind)
{
    struct output_step *step = add_step(plan, name);

    if (!step)
        return -1;
    if (look(plan, kind, step) < 0) {
        plan->failed = step->name;
        return -1;
    }
    if (step->change == OUTPUT_REMOVED || step->change == OUTPUT_LEFT) {
        plan->changes++;
        return 0;
    }
    source_free(&step->before);
    free(step->name);
    plan->count--;
    return 0;
}

static int add_leftovers(struct output_plan *plan, const struct output_file *files, size_t count,
                         enum output_kind (*kind_of)(const char *name))
{
    DIR *dir = opendir(plan->dir);
    const struct dirent *entry;
    int result = 0, saved;

    if (!dir)
        return -1;
    while (result == 0 && (errno = 0, entry = readdir(dir))) {
        enum output_kind kind = kind_of(entry->d_name);

        if (kind != OUTPUT_NOT_OURS && !is_wanted(files, count, entry->d_name))
            result = add_leftover(plan, entry->d_name, kind);
    }
    saved = errno;
    if (result == 0 && saved != 0)
        result = -1;
    closedir(dir);
    errno = saved;
    if (plan->count > count)
        qsort(plan->step + count, plan->count - count, sizeof *plan->step, compare_names);
    return result;
}

int output_lock(struct output_plan *plan, const char *dir, int limit_ms)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};

    plan->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    plan->locked = plan->lock >= 0;
    for (int waited_ms = 0; plan->locked && flock(plan->lock, LOCK_EX | LOCK_NB) < 0;) {
        plan->locked = errno == EWOULDBLOCK && waited_ms < limit_ms;
        if (plan->locked) {
            nanosleep(&look, NULL);
            waited_ms += LOOK_MS;
        } else {
            int saved = errno;

            close(plan->lock);
            return saved == EWOULDBLOCK ? -1 : 0;
        }
    }
    return 0;
}

int output_plan(struct output_plan *plan, const char *dir, const struct output_file *files,
                size_t count, enum output_kind (*kind_of)(const char *name))
{
    plan->dir = dir;
    for (size_t i = 0; i < count; i++) {
        struct output_step *step = add_step(plan, files[i].name);

        if (!step)
            return -1;
        step->text = files[i].text;
        step->size = files[i].size;
        if (look(plan, OUTPUT_OURS, step) < 0) {
            plan->failed = step->name;
            return -1;
        }
        plan->foreign += step->change == OUTPUT_FOREIGN;
        plan->changes += is_written(step);
    }
    return kind_of ? add_leftovers(plan, files, count, kind_of) : 0;
}

// Removes what one who was killed has left. What fails here is not worth a word.
static void drop_stale(const struct output_plan *plan)
{
    const struct dirent *entry;
    DIR *dir = opendir(plan->dir);
    struct stat status;

    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, TEMPORARY, strcspn(TEMPORARY, "X")) == 0 &&
            strlen(entry->d_name) == strlen(TEMPORARY) &&
            fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode) && (plan->locked || status.st_mtime < time(NULL) - STALE_S))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

// Returns 0, or -1 with errno and the step in question in plan->failed.
static int commit_all(struct output_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct output_step *step = &plan->step[i];

        plan->failed = step->name;
        if (is_written(step) && stage(plan, step, step->text, step->size) < 0)
            return -1;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct output_step *step = &plan->step[i];

        plan->failed = step->name;
        if (is_written(step) && move_in(plan, step) < 0)
            return -1;
        if (step->change == OUTPUT_REMOVED && move_out(plan, step) < 0)
            return -1;
        step->done = is_written(step) || step->change == OUTPUT_REMOVED;
    }
    plan->failed = NULL;
    return 0;
}

int output_commit(struct output_plan *plan)
{
    const char *failed;
    int saved;

    drop_stale(plan);
    if (commit_all(plan) == 0) {
        if (plan->changes > 0)
            sync_folder(plan->dir);
        return 0;
    }
    saved = errno;
    failed = plan->failed;
    // What is not needed any more gives way first: the disk may be full.
    drop_temporaries(plan);
    output_revert(plan);
    plan->failed = failed;
    errno = saved;
    return -1;
}

// Whether a file that is replaced or removed names the file NAME.
static bool was_named(const struct output_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct conf_source *before = &plan->step[i].before;

        if (before->bytes && memmem(before->bytes, before->size, name, strlen(name)))
            return true;
    }
    return false;
}

int output_clean(struct output_plan *plan, bool all)
{
    size_t removed = 0;

    for (size_t i = 0; i < plan->count; i++) {
        struct output_step *step = &plan->step[i];

        if (step->change != OUTPUT_LEFT || (!all && was_named(plan, step->name)))
            continue;
        if (move_out(plan, step) < 0) {
            plan->failed = step->name;
            return -1;
        }
        step->change = OUTPUT_CLEANED;
        removed++;
    }
    if (removed > 0)
        sync_folder(plan->dir);
    return 0;
}

int output_revert(struct output_plan *plan)
{
    int error = 0;

    for (size_t i = 0; i < plan->count; i++) {
        struct output_step *step = &plan->step[i];
        int result;

        if (!step->done)
            continue;
        if (step->change == OUTPUT_CREATED)
            result = move_out(plan, step);
        else
            result = stage(plan, step, step->before.bytes, step->before.size) < 0
                         ? -1
                         : move_in(plan, step);
        if (result < 0) {
            error = errno;
            plan->failed = step->name;
        } else {
            step->done = false;
        }
    }
    drop_temporaries(plan);
    sync_folder(plan->dir);
    errno = error;
    return error ? -1 : 0;
}

void output_plan_free(struct output_plan *plan)
{
    drop_temporaries(plan);
    for (size_t i = 0; i < plan->count; i++) {
        source_free(&plan->step[i].before);
        free(plan->step[i].name);
    }
    free(plan->step);
    if (plan->locked)
        close(plan->lock);
    memset(plan, 0, sizeof *plan);
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
