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

static const struct {
    const char *text;
    int priority; // of the journal, syslog(3)
} events[] = {
    [LOG_EVENT_OPENED] = {"opened", LOG_INFO},
    [LOG_EVENT_DONE_LOCAL_CLOSED] = {"done-local-closed", LOG_INFO},
    [LOG_EVENT_DONE_REMOTE_CLOSED] = {"done-remote-closed", LOG_INFO},
    // The trailing dashes are rinetd's, and part of the text in both styles.
    [LOG_EVENT_ACCEPT_FAILED] = {"accept-failed -", LOG_WARNING},
    [LOG_EVENT_LOCAL_SOCKET_FAILED] = {"local-socket-failed -", LOG_WARNING},
    [LOG_EVENT_LOCAL_BIND_FAILED] = {"local-bind-failed -", LOG_WARNING},
    [LOG_EVENT_LOCAL_CONNECT_FAILED] = {"local-connect-failed -", LOG_WARNING},
    [LOG_EVENT_NOT_ALLOWED] = {"not-allowed", LOG_NOTICE},
    [LOG_EVENT_DENIED] = {"denied", LOG_NOTICE},
};
_Static_assert(sizeof events / sizeof *events == LOG_EVENT_DENIED + 1, "every event has its text");

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
                    (unsigned long long)r->to_client, events[r->event].text);
}

static int format_common(char *line, const char *when, const struct log_record *r)
{
    long minutes = labs(r->when.tm_gmtoff) / 60;

    return snprintf(line, LOG_LINE_MAX,
                    "%s - - [%s %c%02ld%02ld] \"GET /rinetd-services/%s/%u/%s/%u/%s HTTP/1.0\" "
                    "200 %llu - - - %llu\n",
                    r->client ? r->client : "?", when, r->when.tm_gmtoff < 0 ? '-' : '+',
                    minutes / 60, minutes % 60, r->listener_host, r->listener_port, r->target_host,
                    r->target_port, events[r->event].text, (unsigned long long)r->to_client,
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

static void add_text(struct journal_message *message, const char *name, const char *text)
{
    journal_add(message, name, text, strlen(text));
}

static void add_number(struct journal_message *message, const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    add_text(message, name, text);
}

// As an address is written in other places: an IPv6 one in brackets, no port where there is none.
static void add_endpoint(struct journal_message *message, const char *name, const char *host,
                         unsigned port)
{
    char text[LOG_LINE_MAX];

    if (port == 0)
        snprintf(text, sizeof text, "%s", host);
    else
        snprintf(text, sizeof text, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    add_text(message, name, text);
}

void log_fields(struct journal_message *message, const char *program,
                const struct log_record *record, const char *line, size_t length)
{
    const char *result = events[record->event].text;

    message->length = 0;
    journal_add(message, "MESSAGE", line, length - 1);
    add_number(message, "PRIORITY", (uint64_t)events[record->event].priority);
    add_text(message, "SYSLOG_IDENTIFIER", program);
    add_number(message, "SYSLOG_FACILITY", LOG_DAEMON >> 3);
    if (record->client)
        add_text(message, "CLIENT", record->client);
    add_endpoint(message, "LISTENER", record->listener_host, record->listener_port);
    add_endpoint(message, "TARGET", record->target_host, record->target_port);
    add_number(message, "BYTES_IN", record->from_client);
    add_number(message, "BYTES_OUT", record->to_client);
    journal_add(message, "RESULT", result, strcspn(result, " "));
}

int log_write(const char *sink, const char *program, const struct log_record *record,
              const char *line, size_t length)
{
    struct journal_message message;
    char text[LOG_LINE_MAX];

    if (strcmp(sink, "journal") == 0) {
        log_fields(&message, program, record, line, length);
        return journal_send(&message);
    }
    if (strcmp(sink, "syslog") != 0)
        return write_to_file(sink, line, length);
    snprintf(text, sizeof text, "%.*s", (int)length - 1, line);
    return syslogd_send(program, LOG_INFO, text);
}
