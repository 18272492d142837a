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

// A line as it grows; what does not fit is cut off. printf(3) would take most of the time that a
// short connection spends outside of the kernel.
struct draft {
    char *text;
    size_t length;
};

static void put(struct draft *draft, const char *text)
{
    size_t length = strlen(text), room = LOG_LINE_MAX - 1 - draft->length;

    if (length > room)
        length = room;
    memcpy(draft->text + draft->length, text, length);
    draft->length += length;
}

// At least WIDTH digits, and what follows them.
static void put_number(struct draft *draft, uint64_t number, int width, const char *after)
{
    char text[24], *start = text + sizeof text - 1;

    *start = '\0';
    do {
        *--start = (char)('0' + number % 10);
        number /= 10;
        width--;
    } while (number > 0 || width > 0);
    put(draft, start);
    put(draft, after);
}

static void put_time(struct draft *draft, const struct tm *when)
{
    put_number(draft, (unsigned)when->tm_mday, 2, "/");
    put(draft, month_names[when->tm_mon % 12]);
    put(draft, "/");
    put_number(draft, (unsigned)when->tm_year + 1900, 1, ":");
    put_number(draft, (unsigned)when->tm_hour, 2, ":");
    put_number(draft, (unsigned)when->tm_min, 2, ":");
    put_number(draft, (unsigned)when->tm_sec, 2, " ");
}

static void put_tabs(struct draft *draft, const struct log_record *r)
{
    put_time(draft, &r->when);
    put(draft, "\t");
    put(draft, r->client ? r->client : "?");
    put(draft, "\t");
    put(draft, r->listener_host);
    put(draft, "\t");
    put_number(draft, r->listener_port, 1, "\t");
    put(draft, r->target_host);
    put(draft, "\t");
    put_number(draft, r->target_port, 1, "\t");
    put_number(draft, r->from_client, 1, "\t");
    put_number(draft, r->to_client, 1, "\t");
    put(draft, events[r->event].text);
}

static void put_common(struct draft *draft, const struct log_record *r)
{
    unsigned long minutes = (unsigned long)labs(r->when.tm_gmtoff) / 60;

    put(draft, r->client ? r->client : "?");
    put(draft, " - - [");
    put_time(draft, &r->when);
    put(draft, r->when.tm_gmtoff < 0 ? " -" : " +");
    put_number(draft, minutes / 60, 2, "");
    put_number(draft, minutes % 60, 2, "] \"GET /rinetd-services/");
    put(draft, r->listener_host);
    put(draft, "/");
    put_number(draft, r->listener_port, 1, "/");
    put(draft, r->target_host);
    put(draft, "/");
    put_number(draft, r->target_port, 1, "/");
    put(draft, events[r->event].text);
    put(draft, " HTTP/1.0\" 200 ");
    put_number(draft, r->to_client, 1, " - - - ");
    put_number(draft, r->from_client, 1, "");
}

size_t log_format(char line[static LOG_LINE_MAX], enum log_style style,
                  const struct log_record *record)
{
    struct draft draft = {.text = line};

    if (style == LOG_STYLE_COMMON)
        put_common(&draft, record);
    else
        put_tabs(&draft, record);
    if (draft.length == LOG_LINE_MAX - 1)
        draft.length--;
    line[draft.length++] = '\n';
    line[draft.length] = '\0';
    return draft.length;
}

static int write_to_file(const char *path, const char *line, size_t length)
{
    ssize_t written;
    int fd, error = 0;

    // Nothing is executed meanwhile, and O_CLOEXEC is a second system call in musl.
    do
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK, 0666);
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

// In log_write(), this and the next would have the line of a file touch their pages of the stack.
__attribute__((noinline)) static int write_to_journal(const char *program,
                                                      const struct log_record *record,
                                                      const char *line, size_t length)
{
    struct journal_message message;

    log_fields(&message, program, record, line, length);
    return journal_send(&message);
}

__attribute__((noinline)) static int write_to_syslog(const char *program, const char *line,
                                                     size_t length)
{
    char text[LOG_LINE_MAX];

    snprintf(text, sizeof text, "%.*s", (int)length - 1, line);
    return syslogd_send(program, LOG_INFO, text);
}

int log_write(const char *sink, const char *program, const struct log_record *record,
              const char *line, size_t length)
{
    if (strcmp(sink, "journal") == 0)
        return write_to_journal(program, record, line, length);
    if (strcmp(sink, "syslog") == 0)
        return write_to_syslog(program, line, length);
    return write_to_file(sink, line, length);
}
