// SPDX-License-Identifier: ISC
#include "arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

static int list_of(enum option_id id)
{
    switch (id) {
    case OPTION_GLOBAL_ALLOW:
        return ACL_GLOBAL_ALLOW;
    case OPTION_GLOBAL_DENY:
        return ACL_GLOBAL_DENY;
    case OPTION_ALLOW:
        return ACL_ALLOW;
    case OPTION_DENY:
        return ACL_DENY;
    default:
        return -1;
    }
}

static int refuse(char error[static ARGUMENTS_ERROR_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(char error[static ARGUMENTS_ERROR_MAX], const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(error, ARGUMENTS_ERROR_MAX, format, list);
    va_end(list);
    return -1;
}

// The row that "--name=value" or "--name" is of, or -1.
static int option_of(const char *argument)
{
    return options_find(argument + 2, strcspn(argument + 2, "="), false);
}

static int take_option(struct arguments *arguments, const char *argument, char *error)
{
    const char *equals = strchr(argument, '='), *expected;
    int id = option_of(argument), list;
    char buffer[80];

    if (id < 0)
        return refuse(error, "unknown option \"%s\"; --help lists them all", argument);
    if (!equals && options_table[id].kind != OPTION_IS_FLAG)
        return refuse(error, "--%s needs a value: --%s=%s", options_table[id].name,
                      options_table[id].name, options_table[id].value);
    expected = options_set(&arguments->options, (enum option_id)id, equals ? equals + 1 : "",
                           buffer, sizeof buffer);
    if (expected)
        return refuse(error, "found \"%s\", expected %s", argument, expected);
    list = list_of((enum option_id)id);
    if (list < 0)
        return 0;
    if (arguments->acl.list[list].count == ARGUMENTS_LISTS_MAX)
        return refuse(error, "--%s is given more than %d times; put commas between patterns",
                      options_table[id].name, ARGUMENTS_LISTS_MAX);
    arguments->patterns[list][arguments->acl.list[list].count++] = arguments->options.text[id];
    return 0;
}

// What follows the digits of a port. Returns whether it is a protocol, or nothing.
static bool take_protocol(struct arguments *arguments, const char *text)
{
    if (*text == '\0')
        arguments->target_protocol = ARGUMENTS_AS_CLIENT;
    else if (strcmp(text, "/tcp") == 0)
        arguments->target_protocol = ARGUMENTS_TCP;
    else if (strcmp(text, "/udp") == 0)
        arguments->target_protocol = ARGUMENTS_UDP;
    else
        return false;
    return true;
}

static int take_target(struct arguments *arguments, int count, char *const operands[], char *error)
{
    enum host_kind kind = count > 0 ? host_kind(operands[0]) : HOST_BAD;
    char *end;
    unsigned long port;

    if (count != (kind == HOST_UNIX ? 1 : 2))
        return refuse(
            error,
            "expected HOST PORT[/tcp|/udp], or unix:/PATH alone, after the options, found %d "
            "arguments; see --help",
            count);
    if (kind == HOST_BAD)
        return refuse(error, "found \"%s\", expected an address, a host name or unix:/PATH",
                      operands[0]);
    arguments->target_host = operands[0];
    if (kind == HOST_UNIX)
        return 0;
    port = strtoul(operands[1], &end, 10);
    if (operands[1][0] < '0' || operands[1][0] > '9' || port < 1 || port > 65535 ||
        !take_protocol(arguments, end))
        return refuse(error,
                      "found \"%s\", expected a port from 1 to 65535, and /tcp or /udp where the "
                      "target's protocol is not the client's",
                      operands[1]);
    arguments->target_port = (unsigned)port;
    return 0;
}

bool arguments_ask_for_text(const struct arguments *arguments)
{
    return arguments->options.text[OPTION_HELP] || arguments->options.text[OPTION_VERSION] ||
           arguments->options.text[OPTION_RESOLVE];
}

int arguments_parse(struct arguments *arguments, int argc, char *argv[],
                    char error[static ARGUMENTS_ERROR_MAX])
{
    int i;

    options_init(&arguments->options);
    for (int list = 0; list < ACL_LISTS; list++)
        arguments->acl.list[list].text = arguments->patterns[list];
    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-V") == 0)
            arguments->options.text[argv[i][1] == 'h' ? OPTION_HELP : OPTION_VERSION] = "";
        else if (argv[i][1] != '-')
            return refuse(error, "unknown option \"%s\"; --help lists them all", argv[i]);
        else if (take_option(arguments, argv[i], error) < 0)
            return -1;
    }
    if (arguments_ask_for_text(arguments))
        return 0;
    return take_target(arguments, argc - i, argv + i, error);
}

bool arguments_for_wrap(char *argv[], char *const start[static 3], char *line[], int size)
{
    bool options = true;
    int count = 0;

    for (int i = 0; i < 3 && count < size; i++)
        line[count++] = start[i];
    for (int i = 1; argv[i] && count < size; i++) {
        int id = -1;

        options = options && argv[i][0] == '-' && strcmp(argv[i], "--") != 0;
        if (options && argv[i][1] == '-')
            id = option_of(argv[i]);
        if (id < 0 || (options_table[id].audience != OPTION_FOR_ACCEPTOR &&
                       options_table[id].audience != OPTION_FOR_WRAP))
            line[count++] = argv[i];
    }
    if (count == size)
        return false;
    line[count] = NULL;
    return true;
}
