// SPDX-License-Identifier: ISC
//
// ranges: patterns into the file that list.h looks into: sorted ranges of addresses, and those
// patterns that are none.
#ifndef RANGES_H
#define RANGES_H

#include <stddef.h>

#include "text.h"

// Appends to the empty FILE the list of all patterns in the COUNT TEXTS, each well-formed patterns
// with commas between them, or nothing. The same patterns give the same bytes, on every machine.
// Memory that runs out is noted in FILE.
void ranges_compile(const char *const *texts, size_t count, struct text *file);

#endif
