// SPDX-License-Identifier: ISC
#include "show.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "dial.h"
#include "host.h"
#include "options.h"

#define RESOLVED_MAX_BYTES 1024

// Prints to standard output. Not by stdin and stdout, whose buffers would cost every connection a
// page.
static int print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int print(const char *format, ...)
{
    va_list arguments;
    int written;

    va_start(arguments, format);
    written = vdprintf(1, format, arguments);
    va_end(arguments);
    return written < 0 ? -1 : 0;
}

static int print_option(const struct option_row *row)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", row->name, row->value ? "=" : "",
             row->value ? row->value : "");
    return print("  %-28s %s\n", left, row->help);
}

int show_help(const char *program)
{
    int status = print("usage: %s [options] HOST PORT[/tcp|/udp]\n"
                       "       %s [options] unix:/PATH\n"
                       "       %s --resolve\n"
                       "\n"
                       "Forwards the connection on standard input to the target; where standard "
                       "input is a\n"
                       "listening or datagram socket, all clients that come to it. The target's "
                       "protocol is\n"
                       "that of the client unless it is given.\n"
                       "\n",
                       program, program, program);

    for (int i = 0; i < OPTION_COUNT && status == 0; i++)
        status = print_option(&options_table[i]);
    return status;
}

int show_version(const char *program)
{
    return print("%s %s\n", program, VERSION);
}

// Reads a line without its LF, and nothing beyond it. Returns 1, 0 at the end of the input, or -1
// where the line is too long.
static int read_line(char *line, size_t size)
{
    size_t length = 0;
    ssize_t got;
    char c;

    while ((got = read(0, &c, 1)) == 1 && c != '\n') {
        if (length == size - 1)
            return -1;
        line[length++] = c;
    }
    line[length] = '\0';
    return got == 1 || length > 0;
}

int show_resolved(long timeout_ms)
{
    char name[HOST_NAME_MAX_BYTES + 3], text[RESOLVED_MAX_BYTES];
    int found, status = 0;

    while (status == 0 && (found = read_line(name, sizeof name)) != 0) {
        if (found < 0) {
            errno = EMSGSIZE;
            return -1;
        }
        if (host_kind(name) != HOST_NAME)
            status = print("%s\tfailed\tnot a host name\n", name);
        else if (dial_resolve(name, timeout_ms, text, sizeof text) == 0)
            status = print("%s\tfound\t%s\n", name, text);
        else
            status = print("%s\tfailed\t%s\n", name, text);
    }
    return status;
}
