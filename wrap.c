// SPDX-License-Identifier: ISC
//
// rinetd-wrap: asks TCP wrappers about the client on standard input, then becomes the relay. The
// only program linked with libwrap, which takes longer to load than the relay to start. See
// rinetd-wrap(8) and hosts_access(3).
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <tcpd.h>

#include "report.h"

#define PROGRAM "rinetd-wrap"

enum { EXIT_USAGE = 2, EXIT_SYSTEM = 3 };

// libwrap wants its program to define these: the priorities of what it says to syslog itself.
int allow_severity = LOG_INFO;
int deny_severity = LOG_WARNING;

static bool is_welcome(const char *daemon)
{
    struct request_info request;

    request_init(&request, RQ_DAEMON, daemon, RQ_FILE, 0, 0);
    fromhost(&request);
    return hosts_access(&request) != 0;
}

// The relay's arguments with "--refused" before all others.
static char **with_refused(int argc, char *argv[])
{
    static char refused[] = "--refused";
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

    if (!arguments)
        return NULL;
    arguments[0] = argv[0];
    arguments[1] = refused;
    for (int i = 1; i < argc; i++)
        arguments[i + 1] = argv[i];
    return arguments;
}

int main(int argc, char *argv[])
{
    int type = 0;
    socklen_t size = sizeof type;
    char **arguments;

    report_init(PROGRAM);
    // For libwrap, which speaks to syslog(3) by itself.
    openlog(PROGRAM, LOG_PID, LOG_DAEMON);
    if (argc == 2 && strcmp(argv[1], "--version") == 0 && report_may_print()) {
        puts(PROGRAM " " VERSION);
        return fflush(stdout) == 0 ? 0 : EXIT_SYSTEM;
    }
    if (argc < 3 || argv[1][0] == '\0' || argv[1][0] == '-') {
        report("usage: " PROGRAM " NAME rinetd-relay [options] HOST PORT");
        return EXIT_USAGE;
    }
    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
        report("standard input is not a connection: start it from xinetd or inetd");
        return EXIT_USAGE;
    }
    arguments = argv + 2;
    if (!is_welcome(argv[1]))
        arguments = with_refused(argc - 2, argv + 2);
    if (arguments)
        execvp(argv[2], arguments);
    report("unable to run %s: %s", argv[2], strerror(errno));
    if (arguments != argv + 2)
        free(arguments);
    return EXIT_SYSTEM;
}
