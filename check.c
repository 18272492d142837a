// SPDX-License-Identifier: ISC
#include "check.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// For the names of all listeners; the rest is not looked up then.
#define LOOKUPS_TOTAL_MS 20000

#define PORTS 65536

// The rules ordered by listener, so that each is found or compared without looking at all others.
struct check_index {
    struct conf *conf; // NULL where nothing is to be said
    struct emit_rule **sorted;
    size_t count;
    // By port: a rule left out whose clients any wildcard of UDP would get, since its address or
    // its protocol is not known; or NULL.
    const struct emit_rule **lost;
    struct ifaddrs *interfaces;
    bool no_lookups;   // names of listeners are errors
    int64_t lookup_ms; // spent on them
};

// The one name that needs no look-up to be known as an address of FAMILY: RFC 6761, section 6.3.
static const char *concrete_text(const char *host, int family)
{
    if (strcmp(host, "localhost") != 0)
        return host;
    return family == AF_INET6 ? "::1" : "127.0.0.1";
}

// 0: there is no such service.
static unsigned service_port(const char *service, bool udp)
{
    const struct servent *entry = getservbyname(service, udp ? "udp" : "tcp");

    return entry ? ntohs((uint16_t)entry->s_port) : 0;
}

static bool find_port(struct conf *conf, struct conf_port *port, unsigned *number)
{
    *number = port->service ? service_port(port->service, port->udp) : port->number;
    if (port->service && *number == 0) {
        conf_report(conf, CONF_ERROR, &port->place,
                    "found %s, expected a port or the name of a service that services(5) lists "
                    "for %s",
                    conf_quote(conf, port->service, strlen(port->service)),
                    port->udp ? "UDP" : "TCP");
        return false;
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool find_listener(struct check_index *table, struct conf_host *host,
                          union host_address *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int64_t start = now_ms();
    struct conf *conf = table->conf;
    char text[HOST_TEXT_MAX];
    const char *name;
    int error;

    if (host_address(host->text, 0, address) > 0)
        return true;
    name = conf_quote(conf, host->text, strlen(host->text));
    if (table->no_lookups) {
        if (host_address(concrete_text(host->text, AF_INET), 0, address) > 0)
            return true;
        conf_report(conf, CONF_ERROR, &host->place,
                    "found %s, expected an address: names cannot be looked up while systemd reads "
                    "its units",
                    name);
        return false;
    }
    if (table->lookup_ms > LOOKUPS_TOTAL_MS) {
        conf_report(conf, CONF_ERROR, &host->place,
                    "the listener's name %s was not looked up: the names before it took too long; "
                    "an address needs no look-up",
                    name);
        return false;
    }
    error = getaddrinfo(host->text, NULL, &hints, &found);
    table->lookup_ms += now_ms() - start;
    if (error) {
        conf_report(conf, CONF_ERROR, &host->place,
                    "unable to look up the listener's name %s: %s; an address needs no look-up",
                    name, gai_strerror(error));
        return false;
    }
    memset(address, 0, sizeof *address);
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    host_text(address, text);
    // That one stays what it is.
    if (strcmp(host->text, "localhost") != 0)
        conf_report(conf, CONF_WARNING, &host->place,
                    "the listener %s is pinned to %s, what it stands for now; convert again when "
                    "that changes",
                    name, text);
    return true;
}

// TCP wrappers tell clients by their connections.
static bool has_bad_wrap(struct conf *conf, const struct emit_rule *rule)
{
    const struct conf_rule *source = rule->rule;
    const struct conf_place *wrap = &source->option_place[OPTION_WRAP];

    if (!rule->udp || !rule->wrap_name)
        return false;
    conf_report(conf, CONF_ERROR, wrap->line ? wrap : &source->bind_port.protocol_place,
                "TCP wrappers cannot be asked about datagrams, so the rule is left out; expected "
                "%s, and allow and deny lines for its clients",
                wrap->line ? "no \"wrap\" on UDP" : "no UDP rule with --wrap");
    return true;
}

// Says what is probably not meant, and does no harm.
static void note_udp(struct conf *conf, const struct conf_rule *rule)
{
    const struct options *options = &rule->options;
    const char *src = options->text[OPTION_SRC];
    bool looks_up = rule->target.kind == HOST_NAME || (src && host_kind(src) == HOST_NAME);

    if (rule->bind_port.udp && !rule->target_port.protocol_place.line)
        conf_report(conf, CONF_WARNING, &rule->target_port.place,
                    "found no protocol after the target's port: without one it is TCP, as for "
                    "rinetd 0.73, whatever the listener is, so datagrams become a stream; write "
                    "/udp, or /tcp if that is meant");
    if (rule->bind_port.udp && rule->target_port.udp && options->text[OPTION_KEEPALIVE])
        conf_report(conf, CONF_WARNING, &rule->option_place[OPTION_KEEPALIVE],
                    "\"keepalive\" has no effect here: neither side is a connection of TCP");
    if (rule->target_port.udp && !looks_up && options->text[OPTION_CONNECT_TIMEOUT])
        conf_report(conf, CONF_WARNING, &rule->option_place[OPTION_CONNECT_TIMEOUT],
                    "\"connect-timeout\" has no effect here: there is no name to be looked up, and "
                    "no connection to be made");
}

// A source address from which the target cannot be reached, by what both are.
static bool has_bad_source(struct conf *conf, const struct conf_rule *rule)
{
    const char *src = rule->options.text[OPTION_SRC];
    enum host_kind kind = src ? host_kind(src) : HOST_NAME;

    if (!src || rule->target.kind == HOST_NAME ||
        (rule->target.kind != HOST_UNIX && (kind == HOST_NAME || kind == rule->target.kind)))
        return false;
    conf_report(conf, CONF_ERROR, &rule->option_place[OPTION_SRC],
                "found the source address %s, expected %s as the target is %s",
                conf_quote(conf, src, strlen(src)),
                rule->target.kind == HOST_UNIX   ? "none"
                : rule->target.kind == HOST_IPV4 ? "one of IPv4"
                                                 : "one of IPv6",
                rule->target.text);
    return true;
}

// The scope that a line at RULE's place would belong to, were it no rule, is not to be converted.
static void leave_out_before(struct conf *conf, const struct conf_rule *rule)
{
    if (rule == conf->rules)
        conf->global_broken = true;
    else
        conf->rules[rule - conf->rules - 1].broken = true;
}

// Fills in OUT from RULE, which conf has found broken: no more than the listener, and that only as
// far as it needs no look-up of a host. It keeps its listener from a later rule that might let
// everybody in; and with UDP, where the port is all that counts, from an earlier one.
static bool hold_listener(const struct conf_rule *rule, struct emit_rule *out)
{
    const struct conf_port *port = &rule->bind_port;

    out->listener_port = port->number;
    if (port->service && (port->udp || port->unclear))
        out->listener_port = service_port(port->service, true);
    if (!rule->bind.text || out->listener_port == 0 ||
        host_address(concrete_text(rule->bind.text, AF_INET), 0, &out->listener) == 0 ||
        out->listener.any.sa_family == AF_UNIX)
        return false;
    host_unmap(&out->listener);
    emit_name(out);
    return true;
}

// Fills in OUT from RULE alone, and marks a rule that cannot be converted. Returns whether it has
// a listener that other rules could be in the way of.
static bool convert(struct check_index *table, struct conf_rule *rule, const char *wrap_name,
                    struct emit_rule *out)
{
    struct conf *conf = table->conf;
    bool listens;

    memset(out, 0, sizeof *out);
    out->rule = rule;
    out->udp = rule->bind_port.udp;
    if (rule->broken)
        return hold_listener(rule, out);
    out->wrap_name = rule->options.text[OPTION_WRAP] ? rule->options.text[OPTION_WRAP] : wrap_name;
    listens = find_port(conf, &rule->bind_port, &out->listener_port);
    // Four words of prose have the form of a rule, and what follows is meant for what stands
    // before.
    if (!listens && rule->bind.kind == HOST_NAME)
        leave_out_before(conf, rule);
    listens = listens && find_listener(table, &rule->bind, &out->listener);
    host_unmap(&out->listener);
    emit_name(out);
    if (rule->target.kind != HOST_UNIX && !find_port(conf, &rule->target_port, &out->target_port))
        rule->broken = true;
    if (!listens || has_bad_wrap(conf, out) || has_bad_source(conf, rule))
        rule->broken = true;
    if (!rule->broken)
        note_udp(conf, rule);
    return listens;
}

// By protocol, port, family and address: a wildcard stands before all others of its family.
static int compare_listeners(const struct emit_rule *x, const struct emit_rule *y)
{
    int family = x->listener.any.sa_family;

    if (x->udp != y->udp)
        return x->udp < y->udp ? -1 : 1;
    if (x->listener_port != y->listener_port)
        return x->listener_port < y->listener_port ? -1 : 1;
    if (family != y->listener.any.sa_family)
        return family < y->listener.any.sa_family ? -1 : 1;
    if (family == AF_INET)
        return memcmp(&x->listener.in.sin_addr, &y->listener.in.sin_addr,
                      sizeof x->listener.in.sin_addr);
    return memcmp(&x->listener.in6.sin6_addr, &y->listener.in6.sin6_addr,
                  sizeof x->listener.in6.sin6_addr);
}

static int compare_entries(const void *a, const void *b)
{
    const struct emit_rule *x = *(const struct emit_rule *const *)a;
    const struct emit_rule *y = *(const struct emit_rule *const *)b;
    int order = compare_listeners(x, y);

    // Both stand in one array, in file order.
    return order ? order : (x > y) - (x < y);
}

static bool is_dual(const struct emit_rule *rule)
{
    return rule->listener.any.sa_family == AF_INET6 && host_is_wildcard(&rule->listener);
}

static void break_rule(struct check_index *table, const struct emit_rule *rule)
{
    table->conf->rules[rule->rule - table->conf->rules].broken = true;
}

static void report_collision(struct check_index *table, const struct emit_rule *first,
                             const struct emit_rule *second)
{
    const struct conf_place *place = &first->rule->place;
    const char *file = conf_quote(table->conf, place->file, strlen(place->file));

    if (host_same(&first->listener, &second->listener))
        conf_report(table->conf, CONF_ERROR, &second->rule->place,
                    "the listener %s port %u is already that of the rule in %s, line %u",
                    second->rule->bind.text, second->listener_port, file, place->line);
    else
        conf_report(table->conf, CONF_ERROR, &second->rule->place,
                    "the listener %s port %u cannot be opened beside that of the rule in %s, line "
                    "%u: one of the two is for all addresses",
                    second->rule->bind.text, second->listener_port, file, place->line);
    break_rule(table, second);
}

void check_leave_out_wildcard(struct conf *conf, const struct emit_rule *wildcard,
                              const struct emit_rule *missing)
{
    const struct conf_place *place = &missing->rule->place;

    conf_report(conf, CONF_ERROR, &wildcard->rule->place,
                "the listener %s port %u is left out as the rule in %s, line %u, is: it would get "
                "that one's datagrams",
                wildcard->rule->bind.text, wildcard->listener_port,
                conf_quote(conf, place->file, strlen(place->file)), place->line);
    conf->rules[wildcard->rule - conf->rules].broken = true;
}

static void drop_broken(struct check_index *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++)
        if (!table->sorted[i]->rule->broken)
            table->sorted[kept++] = table->sorted[i];
    table->count = kept;
}

static void drop_twins(struct check_index *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        struct emit_rule *rule = table->sorted[i];

        if (kept > 0 && compare_listeners(table->sorted[kept - 1], rule) == 0)
            report_collision(table, table->sorted[kept - 1], rule);
        else
            table->sorted[kept++] = rule;
    }
    table->count = kept;
}

static bool same_port(const struct emit_rule *x, const struct emit_rule *y)
{
    return x->udp == y->udp && x->listener_port == y->listener_port;
}

// Where the listeners of one protocol, port and family end, of which the first is at FROM.
static size_t group_end(const struct check_index *table, size_t from)
{
    const struct emit_rule *rule = table->sorted[from];
    size_t to;

    for (to = from + 1; to < table->count; to++)
        if (!same_port(table->sorted[to], rule) ||
            table->sorted[to]->listener.any.sa_family != rule->listener.any.sa_family)
            break;
    return to;
}

// The listeners of one port and family, from FROM to before TO, of which the first is a wildcard.
// As for rinetd, the one that comes first in the file has the port.
static void check_wildcard(struct check_index *table, size_t from, size_t to)
{
    struct emit_rule *wildcard = table->sorted[from], *first = wildcard;

    for (size_t i = from + 1; i < to; i++)
        if (table->sorted[i] < first)
            first = table->sorted[i];
    if (first != wildcard) {
        report_collision(table, first, wildcard);
        return;
    }
    for (size_t i = from + 1; i < to; i++)
        report_collision(table, wildcard, table->sorted[i]);
}

// A rule on the port of WILDCARD that is left out: among those with a listener, from FROM to before
// TO, or those of which only the port is certain. NULL: there is none.
static const struct emit_rule *find_missing(const struct check_index *table, size_t from, size_t to,
                                            const struct emit_rule *wildcard)
{
    for (size_t i = from; i < to; i++)
        if (table->sorted[i]->rule->broken)
            return table->sorted[i];
    return table->lost[wildcard->listener_port];
}

// Datagram sockets of one port stand beside each other, and the kernel gives each datagram to the
// one that is for its address. Without that one it would be the wildcard's, whose access lines may
// let in more.
static void check_datagram_wildcards(struct check_index *table)
{
    size_t to;

    for (size_t from = 0; from < table->count; from = to) {
        const struct emit_rule *wildcard = table->sorted[from], *missing;

        to = group_end(table, from);
        if (!wildcard->udp || !host_is_wildcard(&wildcard->listener) || wildcard->rule->broken)
            continue;
        missing = find_missing(table, from + 1, to, wildcard);
        if (missing)
            check_leave_out_wildcard(table->conf, wildcard, missing);
    }
}

// The left-out ones of RULES count: their clients are for nobody else.
static void set_beside(struct check_index *table)
{
    size_t to;

    for (size_t from = 0; from < table->count; from = to) {
        struct emit_rule *rule = table->sorted[from];
        // AF_INET is below AF_INET6, so an IPv4 listener of the port stands right before a ::.
        const struct emit_rule *before = from > 0 ? table->sorted[from - 1] : NULL;

        to = group_end(table, from);
        if (is_dual(rule))
            rule->v6only =
                before && same_port(before, rule) && before->listener.any.sa_family == AF_INET;
        rule->beside =
            rule->udp && host_is_wildcard(&rule->listener) && (to > from + 1 || rule->v6only);
    }
}

// Whether the rule for all addresses of IPv4 on its port is there as well. The :: is in SORTED at
// AT, and what is for IPv4 stands before it, the wildcard first.
static bool has_any4(const struct check_index *table, size_t at)
{
    size_t first = at;

    while (first > 0 && same_port(table->sorted[first - 1], table->sorted[at]))
        first--;
    return first < at && table->sorted[first]->listener.any.sa_family == AF_INET &&
           host_is_wildcard(&table->sorted[first]->listener);
}

// Finds listeners that the kernel would not open beside each other. A :: is no trouble for IPv4
// listeners: it is then made to serve IPv6 only.
static void check_collisions(struct check_index *table)
{
    size_t to;

    drop_twins(table);
    for (size_t from = 0; from < table->count; from = to) {
        const struct emit_rule *rule = table->sorted[from];

        to = group_end(table, from);
        if (!rule->udp && host_is_wildcard(&rule->listener))
            check_wildcard(table, from, to);
    }
    check_datagram_wildcards(table);
    set_beside(table);
    drop_broken(table);
}

static bool is_loopback(const union host_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

static bool is_local(const struct ifaddrs *interfaces, const union host_address *address)
{
    if (is_loopback(address) || host_is_wildcard(address))
        return true;
    for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
        union host_address own;

        if (!i->ifa_addr)
            continue;
        memset(&own, 0, sizeof own);
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(&own.in, i->ifa_addr, sizeof own.in);
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(&own.in6, i->ifa_addr, sizeof own.in6);
        else
            continue;
        if (host_same(&own, address))
            return true;
    }
    return false;
}

static bool covers(const struct emit_rule *rule, const union host_address *address, bool local)
{
    if (host_same(&rule->listener, address))
        return true;
    if (!local || !host_is_wildcard(&rule->listener))
        return false;
    return rule->listener.any.sa_family == address->any.sa_family ||
           (is_dual(rule) && !rule->v6only);
}

static struct emit_rule *find_rule(const struct check_index *table,
                                   const union host_address *address, unsigned port, bool udp)
{
    struct emit_rule wanted = {.listener = *address, .listener_port = port, .udp = udp};
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_listeners(table->sorted[middle], &wanted);

        if (order == 0)
            return table->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct emit_rule *check_reached(const struct check_index *index, const union host_address *address,
                                unsigned port, bool udp)
{
    static const union host_address any4 = {.in = {.sin_family = AF_INET}};
    static const union host_address any6 = {.in6 = {.sin6_family = AF_INET6}};
    union host_address concrete = *address;
    struct emit_rule *found;

    host_make_concrete(&concrete);
    found = find_rule(index, &concrete, port, udp);
    if (found || !is_local(index->interfaces, &concrete))
        return found;
    if (concrete.any.sa_family == AF_INET)
        found = find_rule(index, &any4, port, udp);
    if (!found)
        found = find_rule(index, &any6, port, udp);
    return found && covers(found, &concrete, true) ? found : NULL;
}

// Whether the relay of RULE takes ADDRESS, on the target's port, for its own listener: it knows no
// other one, and another rule of UDP may be the one that is reached there.
static bool is_own(const struct check_index *index, const struct emit_rule *rule,
                   const union host_address *address)
{
    union host_address concrete = *address;

    host_make_concrete(&concrete);
    return rule->udp && rule->rule->target_port.udp && rule->target_port == rule->listener_port &&
           covers(rule, &concrete, is_local(index->interfaces, &concrete));
}

// The rule whose listener the target of RULE is, as an address of FAMILY where it can be both, or
// NULL.
static struct emit_rule *reached_by(const struct check_index *index, struct emit_rule *rule,
                                    int family)
{
    union host_address address;

    if (host_address(concrete_text(rule->rule->target.text, family), 0, &address) == 0 ||
        address.any.sa_family == AF_UNIX)
        return NULL;
    if (is_own(index, rule, &address))
        return rule;
    return check_reached(index, &address, rule->target_port, rule->rule->target_port.udp);
}

// The same, where it is localhost by FAMILY rather than by the other: the relay tries both.
static struct emit_rule *next_of(const struct check_index *table, struct emit_rule *rule,
                                 int family)
{
    struct emit_rule *next = reached_by(table, rule, family);

    return next ? next : reached_by(table, rule, family == AF_INET ? AF_INET6 : AF_INET);
}

static void report_circle(struct check_index *table, const struct emit_rule *rule,
                          const struct emit_rule *next)
{
    const struct conf_place *place = &next->rule->place;
    struct conf *conf = table->conf;

    if (rule == next)
        conf_report(conf, CONF_ERROR, &rule->rule->target.place,
                    "the target %s port %u is the rule's own listener: each %s would start "
                    "another without end",
                    rule->rule->target.text, rule->target_port,
                    rule->udp ? "datagram" : "connection");
    else
        conf_report(conf, CONF_ERROR, &rule->rule->target.place,
                    "the target %s port %u is the listener of the rule in %s, line %u, and from "
                    "there %s come back here in a circle",
                    rule->rule->target.text, rule->target_port,
                    conf_quote(conf, place->file, strlen(place->file)), place->line,
                    rule->udp ? "datagrams" : "connections");
    break_rule(table, rule);
}

// Each rule leads to one other at most, so every circle is found by walking on from each rule until
// something is met that a walk has seen before. SEEN has the number of that walk for each rule.
static void check_circles(struct check_index *table, const struct emit_rule *rules, size_t count,
                          int family)
{
    size_t *seen = calloc(count ? count : 1, sizeof *seen);
    struct emit_rule **next = calloc(count ? count : 1, sizeof(struct emit_rule *));

    if (!seen || !next) {
        table->conf->no_memory = true;
        goto done;
    }
    for (size_t i = 0; i < table->count; i++)
        next[table->sorted[i] - rules] = next_of(table, table->sorted[i], family);
    for (size_t i = 0; i < table->count; i++) {
        size_t at = (size_t)(table->sorted[i] - rules), end;

        while (!seen[at] && next[at]) {
            seen[at] = i + 1;
            at = (size_t)(next[at] - rules);
        }
        if (seen[at] != i + 1)
            continue;
        end = at;
        do {
            report_circle(table, &rules[at], next[at]);
            at = (size_t)(next[at] - rules);
        } while (at != end);
    }
    check_datagram_wildcards(table);
    drop_broken(table);
done:
    free(seen);
    free(next);
}

// Notes RULE, which is left out, for the wildcards of UDP on its port. A number in error may be
// beyond all ports.
static void note_lost(struct check_index *table, const struct emit_rule *rule)
{
    if ((rule->udp || rule->rule->bind_port.unclear) && rule->listener_port < PORTS)
        table->lost[rule->listener_port] = rule;
}

size_t check_rules(struct conf *conf, const struct check_settings *settings,
                   struct emit_rule *rules)
{
    struct check_index table = {.conf = conf, .no_lookups = settings->no_lookups};
    size_t count = 0, kept = 0;

    table.sorted = calloc(conf->rule_count ? conf->rule_count : 1, sizeof(struct emit_rule *));
    table.lost = calloc(PORTS, sizeof *table.lost);
    if (!table.sorted || !table.lost) {
        conf->no_memory = true;
        goto done;
    }
    if (getifaddrs(&table.interfaces) < 0)
        table.interfaces = NULL;
    for (size_t i = 0; i < conf->rule_count; i++) {
        struct emit_rule *rule = &rules[count];

        if (convert(&table, &conf->rules[i], settings->wrap_name, rule)) {
            table.sorted[table.count++] = rule;
            count++;
        } else {
            conf->rules[i].broken = true;
            // At the end of RULES, where there is room for as many.
            rule = &rules[conf->rule_count - 1 - (i - count)];
            *rule = rules[count];
            note_lost(&table, rule);
        }
        if (conf->rules[i].bind_port.unclear)
            note_lost(&table, rule);
    }
    qsort(table.sorted, table.count, sizeof *table.sorted, compare_entries);
    check_collisions(&table);
    check_circles(&table, rules, count, AF_INET);
    check_circles(&table, rules, count, AF_INET6);
    for (size_t i = 0; i < table.count; i++)
        table.sorted[i]->any4 = table.sorted[i]->v6only && has_any4(&table, i);
    for (size_t i = 0; i < count; i++) {
        if (conf->global_broken)
            conf->rules[rules[i].rule - conf->rules].broken = true;
        if (!rules[i].rule->broken)
            rules[kept++] = rules[i];
    }
    if (table.interfaces)
        freeifaddrs(table.interfaces);
done:
    free(table.lost);
    free(table.sorted);
    return kept;
}

struct check_index *check_index(struct emit_rule *rules, size_t count)
{
    struct check_index *index = calloc(1, sizeof *index);

    if (!index)
        return NULL;
    index->sorted = calloc(count + 1, sizeof(struct emit_rule *));
    if (!index->sorted) {
        free(index);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        index->sorted[i] = &rules[i];
    index->count = count;
    qsort(index->sorted, count, sizeof *index->sorted, compare_entries);
    if (getifaddrs(&index->interfaces) < 0)
        index->interfaces = NULL;
    return index;
}

void check_index_free(struct check_index *index)
{
    if (index->interfaces)
        freeifaddrs(index->interfaces);
    free(index->sorted);
    free(index);
}
