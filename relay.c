// SPDX-License-Identifier: ISC
//
// rinetd-relay: one connection on standard input, forwarded to one target. See rinetd-relay(8).
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acl.h"
#include "arguments.h"
#include "dial.h"
#include "host.h"
#include "log.h"
#include "options.h"
#include "pump.h"
#include "report.h"

#define PROGRAM "rinetd-relay"

#define RESOLVED_MAX_BYTES 1024

enum { EXIT_SERVED = 0, EXIT_UNREACHED = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 };

// All that is known of the one connection.
struct relay {
    struct options options;
    const struct acl *acl;
    const char *target_host;
    unsigned target_port;
    char listener_host[HOST_NAME_MAX_BYTES + 2];
    unsigned listener_port;
    union host_address local; // where the client came in
    struct acl_client client;
    sigset_t mask; // that of a wait, in which the signals that end it may come
    struct log_record record;
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void print_option(const struct option_row *row)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", row->name, row->value ? "=" : "",
             row->value ? row->value : "");
    printf("  %-28s %s\n", left, row->help);
}

// A line may have been written, in vain, before it was flushed.
static int finish_text(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SERVED : EXIT_SYSTEM;
}

static int print_help(void)
{
    puts("usage: " PROGRAM " [options] HOST PORT\n"
         "       " PROGRAM " [options] unix:/PATH\n"
         "       " PROGRAM " --resolve\n"
         "\n"
         "Forwards the connection on standard input to the target.\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options_table[i].audience == OPTION_FOR_RELAY ||
            options_table[i].audience == OPTION_FOR_COMMAND)
            print_option(&options_table[i]);
    return finish_text();
}

// Looks up the names on standard input for rinetd-gen, which may be linked with another libc.
static int print_resolved(long timeout_ms)
{
    char name[HOST_NAME_MAX_BYTES + 3], text[RESOLVED_MAX_BYTES];

    while (fgets(name, sizeof name, stdin)) {
        if (!strchr(name, '\n') && !feof(stdin)) {
            report("a line of standard input is too long for a name");
            return EXIT_USAGE;
        }
        name[strcspn(name, "\n")] = '\0';
        if (host_kind(name) != HOST_NAME)
            printf("%s\tfailed\tnot a host name\n", name);
        else if (dial_resolve(name, timeout_ms, text, sizeof text) == 0)
            printf("%s\tfound\t%s\n", name, text);
        else
            printf("%s\tfailed\t%s\n", name, text);
        if (finish_text() != EXIT_SERVED)
            return EXIT_SYSTEM;
    }
    return EXIT_SERVED;
}

static int print_text(const struct options *options)
{
    struct stat status;

    // Law of the house: not one byte of ours to a client, not even when told so by mistake.
    if (!report_may_print() || (fstat(0, &status) == 0 && S_ISSOCK(status.st_mode))) {
        report("--help, --version and --resolve are not for a connection");
        return EXIT_USAGE;
    }
    if (options->text[OPTION_HELP])
        return print_help();
    if (options->text[OPTION_RESOLVE])
        return print_resolved(options->number[OPTION_CONNECT_TIMEOUT] * 1000);
    puts(PROGRAM " " VERSION);
    return finish_text();
}

// Whether standard input is what this version serves: one connected stream. Reports why not.
static bool is_connection(void)
{
    int type = 0, listening = 0;
    socklen_t size = sizeof type;

    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        report("standard input is not a socket: start it from xinetd or inetd, see " PROGRAM "(8)");
        return false;
    }
    size = sizeof listening;
    if (type != SOCK_STREAM) {
        report("standard input is a datagram socket: this version forwards TCP only");
        return false;
    }
    if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening) {
        report("standard input is a listening socket: let the superserver accept (wait = no)");
        return false;
    }
    return true;
}

static void write_log(struct relay *relay, enum log_event event)
{
    const char *sink = relay->options.text[OPTION_LOG];
    char line[LOG_LINE_MAX];
    enum log_style style =
        relay->options.text[OPTION_LOG_COMMON] ? LOG_STYLE_COMMON : LOG_STYLE_TABS;
    time_t now = time(NULL);
    size_t length;

    if (!sink)
        return;
    localtime_r(&now, &relay->record.when);
    relay->record.event = event;
    length = log_format(line, style, &relay->record);
    if (log_write(sink, PROGRAM, line, length) < 0)
        report_to_syslog("unable to write %s: %s; lost: %.*s", sink, strerror(errno),
                         (int)length - 1, line);
}

// Finds out who the client is and where it came in. Returns -1 where it is gone already.
static int meet_client(struct relay *relay)
{
    union host_address peer;
    socklen_t size = sizeof peer;
    const char *listener = relay->options.text[OPTION_LISTENER];

    memset(&peer, 0, sizeof peer);
    relay->record.listener_host = "?";
    relay->record.target_host = relay->target_host;
    relay->record.target_port = relay->target_port;
    if (getsockname(0, &relay->local.any, &size) == 0) {
        host_unmap(&relay->local);
        host_text(&relay->local, relay->listener_host);
        relay->listener_port = host_port(&relay->local);
    }
    if (listener)
        relay->listener_port =
            options_listener(listener, relay->listener_host, sizeof relay->listener_host);
    if (relay->listener_host[0])
        relay->record.listener_host = relay->listener_host;
    relay->record.listener_port = relay->listener_port;
    size = sizeof peer;
    if (getpeername(0, &peer.any, &size) < 0)
        return -1;
    // xinetd turns a mapped socket into a plain IPv4 one; the listener still tells.
    acl_client_set(&relay->client, &peer, host_kind(relay->listener_host) == HOST_IPV6);
    if (relay->client.text[0])
        relay->record.client = relay->client.text;
    return 0;
}

// Sets up what ends a connection well: these signals do nothing but end a wait. SIGHUP comes when
// the terminal of a superserver in the foreground goes.
static void catch_signals(struct relay *relay)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = request_stop};
    sigset_t ours;

    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&ours, numbers[i]);
    sigprocmask(SIG_BLOCK, &ours, &relay->mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigdelset(&relay->mask, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
}

// Whether the access lists let the client in; logs a refusal.
static bool may_enter(struct relay *relay)
{
    switch (acl_check(relay->acl, &relay->client).verdict) {
    case ACL_ALLOWED:
        return true;
    case ACL_NOT_ALLOWED:
        write_log(relay, LOG_EVENT_NOT_ALLOWED);
        return false;
    case ACL_DENIED:
        break;
    }
    write_log(relay, LOG_EVENT_DENIED);
    return false;
}

static enum log_event failure_event(enum dial_step step)
{
    if (step == DIAL_SOCKET)
        return LOG_EVENT_LOCAL_SOCKET_FAILED;
    return step == DIAL_BIND ? LOG_EVENT_LOCAL_BIND_FAILED : LOG_EVENT_LOCAL_CONNECT_FAILED;
}

// Whether the listener, whose options its connections inherit, takes no IPv4 clients. xinetd makes
// an IPv4 client's socket plain, which has no such option then.
static bool is_ipv6_only(void)
{
    int only = 0;
    socklen_t size = sizeof only;

    return getsockopt(0, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only;
}

// Connects to the target. Returns the socket, or -1 when the failure was logged and reported.
static int reach_target(struct relay *relay)
{
    union host_address listener;
    struct dial_failure failure;
    struct dial_request request = {
        .host = relay->target_host,
        .port = relay->target_port,
        .src = relay->options.text[OPTION_SRC],
        .timeout_ms = relay->options.number[OPTION_CONNECT_TIMEOUT] * 1000,
        .listener = relay->local,
        .mask = &relay->mask,
        .stop = &stop_requested,
    };
    int target;

    if (host_address(relay->listener_host, 0, &listener) > 0 && host_is_wildcard(&listener)) {
        request.serves_all_ipv6 = listener.any.sa_family == AF_INET6;
        request.serves_all_ipv4 = !request.serves_all_ipv6 || !is_ipv6_only();
    }
    target = dial(&request, &failure);
    if (target < 0) {
        write_log(relay, failure_event(failure.step));
        report("%s", failure.reason);
    }
    return target;
}

static void tune(int fd, int keepalive)
{
    int on = 1;

    // A unix socket knows none of them, and all are no more than wishes. An urgent byte is part of
    // the stream, not lost beside it.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, sizeof keepalive);
}

static enum log_event end_event(enum pump_end end)
{
    // rinetd has no word for the last two; an idle client is taken as gone, as rinetd does for UDP.
    return end == PUMP_CLIENT_FIRST || end == PUMP_IDLE ? LOG_EVENT_DONE_REMOTE_CLOSED
                                                        : LOG_EVENT_DONE_LOCAL_CLOSED;
}

static int serve(struct relay *relay)
{
    int keepalive = relay->options.number[OPTION_KEEPALIVE] != 0;
    struct pump_result result;
    int target;

    catch_signals(relay);
    if (meet_client(relay) < 0) {
        write_log(relay, LOG_EVENT_ACCEPT_FAILED);
        return EXIT_SERVED;
    }
    if (relay->options.text[OPTION_REFUSED]) {
        write_log(relay, LOG_EVENT_DENIED);
        return EXIT_SERVED;
    }
    if (!may_enter(relay))
        return EXIT_SERVED;
    target = reach_target(relay);
    if (target < 0)
        return EXIT_UNREACHED;
    write_log(relay, LOG_EVENT_OPENED);
    tune(0, keepalive);
    tune(target, keepalive);
    pump(&(struct pump_request){.client = 0,
                                .target = target,
                                .idle_ms = relay->options.number[OPTION_TIMEOUT] * 1000,
                                .mask = &relay->mask,
                                .stop = &stop_requested},
         &result);
    relay->record.from_client = result.from_client;
    relay->record.to_client = result.to_client;
    write_log(relay, end_event(result.end));
    return EXIT_SERVED;
}

int main(int argc, char *argv[])
{
    static struct arguments arguments;
    struct relay relay;
    char error[ARGUMENTS_ERROR_MAX];

    report_init(PROGRAM);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // a log over the limit of file sizes is no reason to end
    if (arguments_parse(&arguments, argc, argv, error) < 0) {
        report("%s", error);
        return EXIT_USAGE;
    }
    if (arguments_ask_for_text(&arguments))
        return print_text(&arguments.options);
    if (!is_connection())
        return EXIT_USAGE;
    memset(&relay, 0, sizeof relay);
    relay.options = arguments.options;
    relay.acl = &arguments.acl;
    relay.target_host = arguments.target_host;
    relay.target_port = arguments.target_port;
    return serve(&relay);
}
