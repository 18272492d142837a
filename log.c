// SPDX-License-Identifier: ISC
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "syslogd.h"

static const char *const event_texts[] = {
    [LOG_EVENT_OPENED] = "opened",
    [LOG_EVENT_DONE_LOCAL_CLOSED] = "done-local-closed",
    [LOG_EVENT_DONE_REMOTE_CLOSED] = "done-remote-closed",
    // The trailing dashes are rinetd's, and part of the text in both styles.
    [LOG_EVENT_ACCEPT_FAILED] = "accept-failed -",
    [LOG_EVENT_LOCAL_SOCKET_FAILED] = "local-socket-failed -",
    [LOG_EVENT_LOCAL_BIND_FAILED] = "local-bind-failed -",
    [LOG_EVENT_LOCAL_CONNECT_FAILED] = "local-connect-failed -",
    [LOG_EVENT_NOT_ALLOWED] = "not-allowed",
    [LOG_EVENT_DENIED] = "denied",
};
_Static_assert(sizeof event_texts / sizeof *event_texts == LOG_EVENT_DENIED + 1,
               "every event has its text");

// strftime(3)'s %b would follow a locale; these are the log's own.
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static void format_time(char *text, size_t size, const struct tm *when)
{
    snprintf(text, size, "%02d/%s/%d:%02d:%02d:%02d ", when->tm_mday,
             month_names[when->tm_mon % 12], when->tm_year + 1900, when->tm_hour, when->tm_min,
             when->tm_sec);
}

static int format_tabs(char *line, const char *when, const struct log_record *r)
{
    return snprintf(line, LOG_LINE_MAX, "%s\t%s\t%s\t%u\t%s\t%u\t%llu\t%llu\t%s\n", when,
                    r->client ? r->client : "?", r->listener_host, r->listener_port, r->target_host,
                    r->target_port, (unsigned long long)r->from_client,
                    (unsigned long long)r->to_client, event_texts[r->event]);
}

static int format_common(char *line, const char *when, const struct log_record *r)
{
    long minutes = labs(r->when.tm_gmtoff) / 60;

    return snprintf(line, LOG_LINE_MAX,
                    "%s - - [%s %c%02ld%02ld] \"GET /rinetd-services/%s/%u/%s/%u/%s HTTP/1.0\" "
                    "200 %llu - - - %llu\n",
                    r->client ? r->client : "?", when, r->when.tm_gmtoff < 0 ? '-' : '+',
                    minutes / 60, minutes % 60, r->listener_host, r->listener_port, r->target_host,
                    r->target_port, event_texts[r->event], (unsigned long long)r->to_client,
                    (unsigned long long)r->from_client);
}

size_t log_format(char line[static LOG_LINE_MAX], enum log_style style,
                  const struct log_record *record)
{
    char when[64];
    int length;

    format_time(when, sizeof when, &record->when);
    if (style == LOG_STYLE_COMMON)
        length = format_common(line, when, record);
    else
        length = format_tabs(line, when, record);
    if (length < LOG_LINE_MAX)
        return (size_t)length;
    line[LOG_LINE_MAX - 2] = '\n';
    return LOG_LINE_MAX - 1;
}

static int write_to_file(const char *path, const char *line, size_t length)
{
    ssize_t written;
    int fd, error = 0;

    do
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -1;
    do
        written = write(fd, line, length);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        error = errno;
    else if ((size_t)written < length)
        error = ENOSPC; // the only reason of a regular file to take a part
    // A network file system may tell of a full disk only here.
    if (close(fd) != 0 && error == 0 && errno != EINTR)
        error = errno;
    errno = error;
    return error ? -1 : 0;
}

int log_write(const char *sink, const char *program, const char *line, size_t length)
{
    char text[LOG_LINE_MAX];

    if (strcmp(sink, "syslog") != 0)
        return write_to_file(sink, line, length);
    snprintf(text, sizeof text, "%.*s", (int)length - 1, line);
    return syslogd_send(program, LOG_INFO, text);
}
