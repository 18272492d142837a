// SPDX-License-Identifier: ISC
//
// logfile: where the lines of a configuration's log go.
#ifndef LOGFILE_H
#define LOGFILE_H

#include "conf.h"
#include "emit.h"

// Puts into SETTINGS, whose format is known, what CONF says of its log. What cannot be a log file
// is an error, and lines go to syslog. OWN_STDOUT is what stands for the standard output that the
// log may name, under --run, where a relative name starts from the current folder; else NULL. The
// log's name may be a new one: the caller frees *MADE in any case.
void logfile_settle(struct conf *conf, struct emit_settings *settings, const char *own_stdout,
                    char **made);

#endif
