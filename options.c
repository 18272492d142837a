// SPDX-License-Identifier: ISC
#include "options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "host.h"

#define NAME_MAX_BYTES 64
#define PATH_MAX_BYTES 4095
#define SECONDS_MAX    2000000 // in milliseconds, still an int for poll(2)
#define LIMIT_MAX      1000000

const struct option_row options_table[OPTION_COUNT] = {
    [OPTION_SRC] = {"src", OPTION_IS_HOST, OPTION_FOR_RELAY, 0, 0, 0, "ADDRESS",
                    "connect to the target from this address of this host"},
    [OPTION_CONNECT_TIMEOUT] = {"connect-timeout", OPTION_IS_NUMBER, OPTION_FOR_RELAY, 0,
                                SECONDS_MAX, 10, "SECONDS",
                                "for looking the target up and connecting, all its addresses "
                                "together; 0: as long as the kernel tries"},
    [OPTION_TIMEOUT] = {"timeout", OPTION_IS_NUMBER, OPTION_FOR_RELAY, 0, SECONDS_MAX, 0, "SECONDS",
                        "end a connection on which nothing moves for so long; 0: never; of a UDP "
                        "client: 0, as nothing, is 72"},
    [OPTION_KEEPALIVE] = {"keepalive", OPTION_IS_SWITCH, OPTION_FOR_RELAY, 0, 1, 1, "on|off",
                          "let the kernel find out when a silent peer is gone"},
    [OPTION_MAX] = {"max", OPTION_IS_NUMBER, OPTION_FOR_ACCEPTOR, 1, LIMIT_MAX, 1000, "N",
                    "connections at once; more wait until one of them has ended; of UDP "
                    "clients, 5000 unless given: the longest idle one is ended"},
    [OPTION_PER_SOURCE] = {"per-source", OPTION_IS_NUMBER, OPTION_FOR_ACCEPTOR, 1, LIMIT_MAX, -1,
                           "N", "connections, or UDP clients, at once from one address"},
    [OPTION_LINGER] = {"linger", OPTION_IS_NUMBER, OPTION_FOR_ACCEPTOR, 1, SECONDS_MAX, 60,
                       "SECONDS", "end when there has been no client for so long"},
    [OPTION_WRAP] = {"wrap", OPTION_IS_NAME, OPTION_FOR_WRAP, 0, 0, 0, "NAME",
                     "ask TCP wrappers under this daemon name"},
    [OPTION_GLOBAL_ALLOW] = {"global-allow", OPTION_IS_PATTERNS, OPTION_FOR_COMMAND, 0, 0, 0,
                             "PATTERN,...|@FILE", "patterns of which a client must match one"},
    [OPTION_GLOBAL_DENY] = {"global-deny", OPTION_IS_PATTERNS, OPTION_FOR_COMMAND, 0, 0, 0,
                            "PATTERN,...|@FILE", "patterns of which a client must match none"},
    [OPTION_ALLOW] = {"allow", OPTION_IS_PATTERNS, OPTION_FOR_COMMAND, 0, 0, 0, "PATTERN,...|@FILE",
                      "a second such list: a client must pass both"},
    [OPTION_DENY] = {"deny", OPTION_IS_PATTERNS, OPTION_FOR_COMMAND, 0, 0, 0, "PATTERN,...|@FILE",
                     "a second such list: a client must pass both"},
    [OPTION_LISTENER] = {"listener", OPTION_IS_LISTENER, OPTION_FOR_COMMAND, 0, 0, 0, "HOST:PORT",
                         "what the log calls the listener, an IPv6 address in brackets"},
    [OPTION_LOG] = {"log", OPTION_IS_LOG, OPTION_FOR_COMMAND, 0, 0, 0, "FILE|syslog|journal",
                    "where log lines go; without it there are none"},
    [OPTION_LOG_COMMON] = {"log-common", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL,
                           "log in the web servers' common format"},
    [OPTION_REFUSED] = {"refused", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL,
                        "log the client as denied and end: what rinetd-wrap asks for"},
    [OPTION_KEEP_QUEUE] = {"keep-queue", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL,
                           "keep xinetd from emptying a datagram socket when the relay ends"},
    [OPTION_RESOLVE] = {"resolve", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL,
                        "look up the names on standard input, one a line, and print what is found"},
    [OPTION_HELP] = {"help", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL, "print this"},
    [OPTION_VERSION] = {"version", OPTION_IS_FLAG, OPTION_FOR_COMMAND, 0, 0, 0, NULL,
                        "print the version"},
};

void options_init(struct options *options)
{
    memset(options, 0, sizeof *options);
    for (int i = 0; i < OPTION_COUNT; i++)
        options->number[i] = options_table[i].standard;
}

int options_find(const char *name, size_t length, bool in_rule)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &options_table[i];

        if (strncmp(row->name, name, length) == 0 && row->name[length] == '\0')
            return in_rule && row->audience == OPTION_FOR_COMMAND ? -1 : i;
    }
    return -1;
}

static const char *set_number(const struct option_row *row, const char *value, long *number,
                              char *buffer, size_t size)
{
    size_t zeros = strspn(value, "0"), digits = zeros + strspn(value + zeros, "0123456789");
    long parsed = -1;

    // More than nine digits that count are over every limit, and might be over a long.
    if (digits > 0 && value[digits] == '\0' && digits - zeros <= 9)
        parsed = strtol(value, NULL, 10);
    if (parsed < row->min || parsed > row->max) {
        snprintf(buffer, size, "a whole number from %ld to %ld", row->min, row->max);
        return buffer;
    }
    *number = parsed;
    return NULL;
}

static bool is_plain_name(const char *value)
{
    size_t length = strlen(value);

    for (const char *p = value; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return length > 0 && length <= NAME_MAX_BYTES && value[0] != '-';
}

static bool is_log(const char *value)
{
    size_t length = strlen(value);

    if (strcmp(value, "syslog") == 0 || strcmp(value, "journal") == 0)
        return true;
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return value[0] == '/' && length > 1 && length <= PATH_MAX_BYTES;
}

unsigned options_listener(const char *text, char *host, size_t size)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (!colon || length == 0 || length >= size)
        return 0;
    memcpy(host, text, length);
    host[length] = '\0';
    colon++;
    if (strspn(colon, "0123456789") != strlen(colon) || strlen(colon) > 5)
        return 0;
    return (unsigned)atoi(colon);
}

static bool is_listener(const char *value)
{
    char host[HOST_NAME_MAX_BYTES + 2];
    unsigned port = options_listener(value, host, sizeof host);
    enum host_kind kind;

    if (port == 0 || port > 65535)
        return false;
    kind = host_kind(host);
    return kind == HOST_IPV4 || kind == HOST_NAME || (kind == HOST_IPV6 && value[0] == '[');
}

// What VALUE of a textual kind should have been, or NULL where it is.
static const char *text_error(enum option_kind kind, const char *value)
{
    enum host_kind host;

    switch (kind) {
    case OPTION_IS_HOST:
        host = host_kind(value);
        return host == HOST_BAD || host == HOST_UNIX ? "an address or a host name" : NULL;
    case OPTION_IS_NAME:
        return is_plain_name(value) ? NULL : "a name of letters, digits, '.', '-' and '_'";
    case OPTION_IS_PATTERNS:
        return acl_patterns_valid(value) ? NULL
                                         : "address patterns, with commas between "
                                           "them, or @ and an absolute path";
    case OPTION_IS_LISTENER:
        return is_listener(value) ? NULL : "HOST:PORT, or [ADDRESS]:PORT for IPv6";
    case OPTION_IS_LOG:
        return is_log(value) ? NULL : "an absolute path, syslog or journal";
    case OPTION_IS_FLAG:
        return *value == '\0' ? NULL : "no value";
    case OPTION_IS_NUMBER:
    case OPTION_IS_SWITCH:
        break;
    }
    return NULL;
}

const char *options_set(struct options *options, enum option_id id, const char *value, char *buffer,
                        size_t size)
{
    const struct option_row *row = &options_table[id];
    const char *expected;

    if (row->kind == OPTION_IS_NUMBER) {
        expected = set_number(row, value, &options->number[id], buffer, size);
    } else if (row->kind == OPTION_IS_SWITCH) {
        bool on = strcmp(value, "on") == 0;

        expected = on || strcmp(value, "off") == 0 ? NULL : "on or off";
        if (!expected)
            options->number[id] = on;
    } else {
        expected = text_error(row->kind, value);
    }
    if (!expected)
        options->text[id] = value;
    return expected;
}
