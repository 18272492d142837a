// SPDX-License-Identifier: ISC
#include "generator.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// The kernel cuts longer records.
#define RECORD_MAX 960

// Where units may lie, those that override first: systemd.unit(5).
static const char *const unit_folders[] = {
    "/etc/systemd/system",     "/run/systemd/system", "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system",
};
#define UNIT_FOLDERS (sizeof unit_folders / sizeof *unit_folders)

// Standard error on its way to the kernel log.
static int kernel_log = -1, messages = -1;

bool generator_is(const char *argv0, const char *name)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

    return argv0 && strcmp(slash ? slash + 1 : argv0, name) == 0;
}

void generator_use_kernel_log(void)
{
    kernel_log = open("/dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    if (kernel_log < 0)
        return;
    messages = memfd_create("messages", MFD_CLOEXEC);
    if (messages < 0 || dup2(messages, STDERR_FILENO) < 0) {
        close(kernel_log);
        kernel_log = -1;
    }
}

// One write(2) is one record.
static void send_record(const char *program, const char *line)
{
    bool error = strstr(line, " error: ") || strstr(line, "unable to ");
    char record[RECORD_MAX];
    int length = snprintf(record, sizeof record, "<%d>%s: %s\n", error ? 3 : 4, program, line);

    if (length >= RECORD_MAX)
        length = RECORD_MAX - 1;
    // Nobody is left to tell if that fails.
    if (write(kernel_log, record, (size_t)length) < 0)
        return;
}

void generator_flush_kernel_log(const char *program)
{
    char line[RECORD_MAX];
    FILE *stream;

    if (kernel_log < 0 || fflush(stderr) != 0 || lseek(messages, 0, SEEK_SET) < 0)
        return;
    stream = fdopen(messages, "r");
    while (stream && fgets(line, sizeof line, stream)) {
        line[strcspn(line, "\n")] = '\0';
        send_record(program, line);
    }
    if (stream)
        fclose(stream);
    close(kernel_log);
}

static bool is_set_to(const char *variable, const char *value)
{
    const char *found = getenv(variable);

    return found && strcmp(found, value) == 0;
}

bool generator_is_elsewhere(void)
{
    return is_set_to("SYSTEMD_IN_INITRD", "1") || is_set_to("SYSTEMD_SCOPE", "user");
}

static bool first_match(const char *pattern, char *where, size_t size)
{
    glob_t found;
    bool any = glob(pattern, 0, NULL, &found) == 0;

    if (any)
        snprintf(where, size, "%s", found.gl_pathv[0]);
    globfree(&found);
    return any;
}

// The unit that is in force: 1, masked: -1, none: 0. NAME becomes what it is called where SERVICE
// is a link to it.
static int find_unit(const char *service, char name[static NAME_MAX + 1])
{
    char path[PATH_MAX], target[PATH_MAX];
    struct stat status;

    for (size_t i = 0; i < UNIT_FOLDERS; i++) {
        snprintf(path, sizeof path, "%s/%s.service", unit_folders[i], service);
        if (lstat(path, &status) < 0)
            continue;
        if (!realpath(path, target))
            return -1;
        if (strcmp(target, "/dev/null") == 0 || stat(path, &status) < 0 || status.st_size == 0)
            return -1;
        snprintf(name, NAME_MAX + 1, "%s", strrchr(target, '/') + 1);
        return 1;
    }
    return 0;
}

// Whether a unit or target wants or requires the unit NAME.
static bool is_wanted(const char *name, char *where, size_t size)
{
    static const char *const kinds[] = {"wants", "requires"};
    char pattern[PATH_MAX];

    for (size_t i = 0; i < UNIT_FOLDERS * 2; i++) {
        snprintf(pattern, sizeof pattern, "%s/*.%s/%s", unit_folders[i / 2], kinds[i % 2], name);
        if (first_match(pattern, where, size))
            return true;
    }
    return false;
}

// Whether a run level of /etc starts the init script. One that is not executable is what a package
// leaves that was removed, and systemd passes over it, too.
static bool has_script(const char *service, char *where, size_t size)
{
    char pattern[PATH_MAX];

    snprintf(pattern, sizeof pattern, "/etc/rc[2345].d/S[0-9][0-9]%s", service);
    return first_match(pattern, where, size) && access(where, X_OK) == 0;
}

bool generator_is_enabled(const char *service, char *where, size_t size)
{
    char name[NAME_MAX + 1], own[NAME_MAX + 1];

    switch (find_unit(service, name)) {
    case -1:
        return false;
    case 0:
        return has_script(service, where, size);
    default:
        snprintf(own, sizeof own, "%s.service", service);
        return is_wanted(own, where, size) || is_wanted(name, where, size);
    }
}

int generator_want(const char *dir, const char *name)
{
    char folder[PATH_MAX], link[PATH_MAX], target[NAME_MAX + 4];

    if (snprintf(folder, sizeof folder, "%s/sockets.target.wants", dir) >= (int)sizeof folder ||
        snprintf(link, sizeof link, "%s/sockets.target.wants/%s", dir, name) >= (int)sizeof link ||
        snprintf(target, sizeof target, "../%s", name) >= (int)sizeof target) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return -1;
    return symlink(target, link) == 0 || errno == EEXIST ? 0 : -1;
}
