// SPDX-License-Identifier: ISC
//
// unit: how a systemd unit file writes what must come out literally. systemd.syntax(7);
// systemd.unit(5) on specifiers; systemd.service(5) on command lines.
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>

#include "text.h"

// systemd reads only lines that are UTF-8.
bool unit_is_utf8(const char *text);

// Appends VALUE for a setting that is read as it stands up to the end of the line, as Description=
// is. What is not UTF-8, and control bytes, are written as "\xHH", which a reader understands and
// systemd does not.
void unit_add_value(struct text *to, const char *value);

// Appends ARGUMENT as one word of ExecStart=, in quotes. Any byte can be said. The first word, the
// program, is FIRST: systemd looks for no variables in it.
void unit_add_argument(struct text *to, const char *argument, bool first);

// Whether unit_add_path() can write PATH: it is absolute, UTF-8, has no control bytes, and none of
// its parts is "..".
bool unit_is_path(const char *path);

// Appends PREFIX and PATH as one word of a list of paths, as ReadWritePaths= is.
void unit_add_path(struct text *to, const char *prefix, const char *path);

#endif
