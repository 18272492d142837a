// SPDX-License-Identifier: ISC
//
// log: what happened to a connection, as a line of rinetd's log, to the byte; and lines to a file,
// to syslog or to the journal. Formatting is pure: the time is a field.
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "journal.h"

enum log_event {
    LOG_EVENT_OPENED,
    LOG_EVENT_DONE_LOCAL_CLOSED,  // the target ended first
    LOG_EVENT_DONE_REMOTE_CLOSED, // the client ended first
    LOG_EVENT_ACCEPT_FAILED,
    LOG_EVENT_LOCAL_SOCKET_FAILED,
    LOG_EVENT_LOCAL_BIND_FAILED,
    LOG_EVENT_LOCAL_CONNECT_FAILED,
    LOG_EVENT_NOT_ALLOWED,
    LOG_EVENT_DENIED,
};

enum log_style { LOG_STYLE_TABS, LOG_STYLE_COMMON };

struct log_record {
    struct tm when; // local time, tm_gmtoff included
    enum log_event event;
    const char *client;              // numeric, or NULL where it is unknown
    const char *listener_host;       // as written in the configuration
    unsigned listener_port;          // host byte order
    const char *target_host;         // as written in the configuration
    unsigned target_port;            // 0 for a unix socket
    uint64_t from_client, to_client; // bytes
};

// The longest line, its LF included; longer texts are cut, so that a line is one write(2).
#define LOG_LINE_MAX 1024

// Writes RECORD as one line, LF included and NUL after it. Returns its length without the NUL.
size_t log_format(char line[static LOG_LINE_MAX], enum log_style style,
                  const struct log_record *record);

// Makes MESSAGE of LINE, LENGTH bytes with their LF, and of what RECORD has: MESSAGE is the line,
// PRIORITY tells a refusal (notice) and a failure (warning) from the rest (info); CLIENT, LISTENER,
// TARGET, BYTES_IN (from the client), BYTES_OUT, and RESULT in rinetd's words. No field where
// nothing is known.
void log_fields(struct journal_message *message, const char *program,
                const struct log_record *record, const char *line, size_t length);

// Appends LINE, LENGTH bytes with their LF, made of RECORD, to SINK: "syslog" (facility daemon,
// priority info, as PROGRAM), "journal" (log_fields()), or the path of a file, which is opened,
// created where it is missing (0666 less the umask), written to once and closed: a file renamed by
// logrotate(8) needs no signal. Never waits for a reader of a fifo, nor for syslog's daemon, and a
// second at most for the journal. Returns 0, or -1 with errno; nothing but a part of the line is in
// the file then.
int log_write(const char *sink, const char *program, const struct log_record *record,
              const char *line, size_t length);

#endif
