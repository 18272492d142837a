// SPDX-License-Identifier: ISC
//
// syslogd: a line to the system's log without ever waiting for it. syslog(3) would wait while the
// daemon at the other end is stopped, with a connection behind it; and musl's writes the time in
// UTC.
#ifndef SYSLOGD_H
#define SYSLOGD_H

// Sends TEXT, without LF, to /dev/log as PROGRAM with this process's number, facility daemon and
// PRIORITY (LOG_ERR and its kind, syslog(3)), in the form of RFC 3164. Returns 0, or -1 with errno:
// EAGAIN where the daemon does not keep up.
int syslogd_send(const char *program, int priority, const char *text);

#endif
