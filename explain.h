// SPDX-License-Identifier: ISC
//
// explain: whom the rules of a configuration would let in, and which line decides.
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "emit.h"
#include "host.h"
#include "text.h"

// The address of a client as a relay would see it: plain where it is IPv4-mapped, with its
// interface where it is link-local. Returns whether TEXT is one.
bool explain_address(const char *text, union host_address *address);

// Appends to TEXT, for every rule of CONF in file order, whether a client from ADDRESS would be let
// in, and why: a line each, printable. RULES, COUNT of them, are those that are converted.
void explain(const struct conf *conf, const struct emit_rule *rules, size_t count,
             const union host_address *address, struct text *text);

#endif
