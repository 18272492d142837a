// SPDX-License-Identifier: ISC
//
// report: how rinetd-relay and rinetd-wrap speak of trouble, when their standard error may be the
// client's own socket. For the mains alone.
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>

// Opens /dev/null on whichever of descriptors 0 to 2 is closed, so that no socket opened later gets
// their numbers. Where descriptor 2 was closed, is /dev/null, or is the client's socket (the one
// that descriptor 0 is), reports go to syslog(3) as PROGRAM, facility daemon; that socket is then
// replaced by /dev/null, so that no library can write to it either; it stays only where nothing can
// be opened instead. PROGRAM must stay valid.
void report_init(const char *program);

// Reports one line, without LF, to standard error after "PROGRAM: ", or to syslog with priority
// err, which the journal behind standard error is told, too. Leaves errno alone.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same, to syslog wherever report() goes: what concerns the log and must not end beside it.
void report_to_syslog(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Whether descriptor 1 may be written to: it is not the client's socket.
bool report_may_print(void);

#endif
