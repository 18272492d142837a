// SPDX-License-Identifier: ISC
//
// check: what a configuration means on this host. Service names become ports, listeners become
// addresses; rules that cannot stand beside each other, or that forward to themselves, are found.
// Listener names are looked up; target names are not.
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "emit.h"

struct check_settings {
    const char *wrap_name; // for the TCP wrappers of rules that name none, or NULL
    bool no_lookups;       // a listener's name is an error, but for "localhost"
};

// Puts the rules of CONF that can be converted into RULES, which has room for conf->rule_count, in
// file order, and marks all others `broken`; what is wrong becomes messages of CONF. Returns their
// number.
size_t check_rules(struct conf *conf, const struct check_settings *settings,
                   struct emit_rule *rules);

// Reports that WILDCARD, a rule of UDP for all addresses, cannot be converted because MISSING is
// not, a rule of its port and family for one address, and marks it `broken`.
void check_leave_out_wildcard(struct conf *conf, const struct emit_rule *wildcard,
                              const struct emit_rule *missing);

// The rules by their listeners. check_index_free() ends it; NULL: memory ran out.
struct check_index *check_index(struct emit_rule *rules, size_t count);
void check_index_free(struct check_index *index);

// The rule at whose listener a connection, or with UDP a datagram, from this host to ADDRESS and
// PORT would arrive, or NULL.
struct emit_rule *check_reached(const struct check_index *index, const union host_address *address,
                                unsigned port, bool udp);

#endif
