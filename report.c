// SPDX-License-Identifier: ISC
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "syslogd.h"

#define LINE_MAX_BYTES 1024

static const char *program_name;
static const char *prefix = "";
static bool to_syslog, may_print;

// Whether OTHER is the very socket that INPUT is.
static bool is_client(const struct stat *input, const struct stat *other)
{
    return S_ISSOCK(input->st_mode) && input->st_dev == other->st_dev &&
           input->st_ino == other->st_ino;
}

static bool is_null(const struct stat *status)
{
    struct stat null;

    return S_ISCHR(status->st_mode) && stat("/dev/null", &null) == 0 &&
           status->st_rdev == null.st_rdev;
}

// Whether systemd has connected it to the journal: sd-journal's $JOURNAL_STREAM, systemd.exec(5).
static bool is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char text[64];

    if (!stream)
        return false;
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)status->st_dev,
             (unsigned long long)status->st_ino);
    return strcmp(text, stream) == 0;
}

// Where there is no /dev/null, as in a bare chroot, a pipe that nobody reads does as well. Returns
// whether there was either.
static bool open_null(int fd)
{
    int null = open("/dev/null", O_RDWR), ends[2];

    if (null < 0 && pipe(ends) == 0) {
        null = ends[1];
        close(ends[0]);
    }
    if (null >= 0 && null != fd) {
        dup2(null, fd);
        close(null);
    }
    return null >= 0;
}

void report_init(const char *program)
{
    struct stat status[3];

    program_name = program;
    // The lowest free descriptor is the one that open(2) gives: 0 too must be taken first.
    for (int fd = 0; fd <= 2; fd++) {
        if (fstat(fd, &status[fd]) == 0)
            continue;
        memset(&status[fd], 0, sizeof status[fd]);
        if (errno == EBADF) {
            open_null(fd);
            to_syslog |= fd == 2;
        }
    }
    may_print = !is_client(&status[0], &status[1]);
    if (is_client(&status[0], &status[2])) {
        to_syslog = true;
        close(2);
        // Else the next file that is opened would be standard error to every library.
        if (!open_null(2))
            dup2(0, 2);
    } else if (is_null(&status[2])) {
        to_syslog = true; // rinetd-wrap has been here before
    } else if (is_journal(&status[2])) {
        prefix = "<3>"; // LOG_ERR, sd-daemon(3); else the line would pass for information
    }
}

static void report_line(bool syslog_wanted, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void report_line(bool syslog_wanted, const char *format, va_list arguments)
{
    char line[LINE_MAX_BYTES];
    int saved = errno, length = 0;

    if (!syslog_wanted)
        length = snprintf(line, sizeof line, "%s%s: ", prefix, program_name);
    vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    if (syslog_wanted) {
        // Nobody is left to be told of a failure, here and below.
        syslogd_send(program_name, LOG_ERR, line);
    } else {
        length = (int)strlen(line);
        line[length++] = '\n';
        if (write(2, line, (size_t)length) < 0)
            errno = saved;
    }
    errno = saved;
}

void report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report_line(to_syslog, format, arguments);
    va_end(arguments);
}

void report_to_syslog(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report_line(true, format, arguments);
    va_end(arguments);
}

bool report_may_print(void)
{
    return may_print;
}
