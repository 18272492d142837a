// SPDX-License-Identifier: ISC
//
// source: configuration files read from the file system, for conf.
#ifndef SOURCE_H
#define SOURCE_H

#include "conf.h"

// Reads the file NAME, "-" being standard input, into SOURCE. Returns 0, or -1 with errno, and
// SOURCE->error set as conf_reader wants it. source_free() releases it in both cases.
int source_read(const char *name, struct conf_source *source);
void source_free(struct conf_source *source);

// A reader for conf_parse() that finds what glob(7) finds, relative to the including file.
extern const struct conf_reader source_reader;

#endif
