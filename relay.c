// SPDX-License-Identifier: ISC
//
// rinetd-relay: what comes to standard input, a connection or a listener's, forwarded to one
// target. See rinetd-relay(8).
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acl.h"
#include "arguments.h"
#include "clock.h"
#include "dial.h"
#include "host.h"
#include "list.h"
#include "log.h"
#include "mixed.h"
#include "options.h"
#include "pool.h"
#include "pump.h"
#include "report.h"
#include "show.h"
#include "udp.h"

#define PROGRAM "rinetd-relay"

#define UDP_TIMEOUT_S 72 // as rinetd
#define UDP_MAX       5000
#define TELL_MS       1000

#define WRAP_PROGRAM       "rinetd-wrap"
#define WRAP_ARGUMENTS_MAX 512
#define LISTEN_FDS_START   3 // sd_listen_fds(3)

// A frame of its own: what others have on the stack is touched only by those that call them. Each
// page that is costs every connection time and memory.
#define FRAME __attribute__((noinline))

enum { EXIT_SERVED = 0, EXIT_UNREACHED = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 };

// What all connections have in common.
struct relay_rule {
    char **argv;
    struct arguments arguments;
};

// All that is known of one connection.
struct relay {
    const struct options *options;
    const struct acl *acl;
    const char *target_host;
    unsigned target_port;
    bool from_datagrams, to_datagrams;
    char listener_host[HOST_NAME_MAX_BYTES + 2];
    unsigned listener_port;
    union host_address local; // where the client came in
    struct acl_client client;
    const sigset_t *mask; // that of a wait, in which the signals that end it may come
    const volatile sig_atomic_t *stop;
    struct log_record record;
};

enum input { INPUT_BAD, INPUT_CONNECTION, INPUT_LISTENER, INPUT_DATAGRAMS };

// A common symbol lies behind all other data, the libc's as well: what every connection touches of
// that is at the beginning, and in one page.
struct relay_memory {
    struct relay_rule rule;
    struct pump_buffers buffers;
} relay_memory __attribute__((common));

static volatile sig_atomic_t stop_requested;
static bool has_many_clients;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

// Prints what is asked for, and returns the exit status.
FRAME static int print_text(const struct options *options)
{
    struct stat status;
    int shown;

    // Law of the house: not one byte of ours to a client, not even when told so by mistake.
    if (!report_may_print() || (fstat(0, &status) == 0 && S_ISSOCK(status.st_mode))) {
        report("--help, --version and --resolve are not for a connection");
        return EXIT_USAGE;
    }
    if (options->text[OPTION_HELP])
        shown = show_help(PROGRAM);
    else if (options->text[OPTION_RESOLVE])
        shown = show_resolved(options->number[OPTION_CONNECT_TIMEOUT] * 1000);
    else
        shown = show_version(PROGRAM);
    if (shown == 0)
        return EXIT_SERVED;
    if (errno != EMSGSIZE)
        return EXIT_SYSTEM;
    report("a line of standard input is too long for a name");
    return EXIT_USAGE;
}

// What standard input is. Reports what cannot be served.
static enum input input_kind(void)
{
    int type = 0, listening = 0;
    socklen_t size = sizeof type;

    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        report("standard input is not a socket: start it from xinetd or inetd, see " PROGRAM "(8)");
        return INPUT_BAD;
    }
    size = sizeof listening;
    if (type != SOCK_STREAM)
        return INPUT_DATAGRAMS;
    if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening)
        return INPUT_LISTENER;
    return INPUT_CONNECTION;
}

FRAME static void write_line(const struct relay *relay, const char *sink)
{
    char line[LOG_LINE_MAX];
    enum log_style style =
        relay->options->text[OPTION_LOG_COMMON] ? LOG_STYLE_COMMON : LOG_STYLE_TABS;
    size_t length = log_format(line, style, &relay->record);

    if (log_write(sink, PROGRAM, &relay->record, line, length) < 0)
        report_to_syslog("unable to write %s: %s; lost: %.*s", sink, strerror(errno),
                         (int)length - 1, line);
}

static void write_log(struct relay *relay, enum log_event event)
{
    const char *sink = relay->options->text[OPTION_LOG];
    time_t now;

    if (!sink)
        return;
    now = clock_date();
    localtime_r(&now, &relay->record.when);
    relay->record.event = event;
    write_line(relay, sink);
}

// Finds out where the client came in.
static void meet_listener(struct relay *relay)
{
    const char *listener = relay->options->text[OPTION_LISTENER];
    socklen_t size = sizeof relay->local;

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
}

// Finds out who the client is. Returns -1 where it is gone already.
static int meet_client(struct relay *relay)
{
    union host_address peer;
    socklen_t size = sizeof peer;

    memset(&peer, 0, sizeof peer);
    meet_listener(relay);
    if (getpeername(0, &peer.any, &size) < 0)
        return -1;
    // xinetd turns a mapped socket into a plain IPv4 one; the listener still tells.
    acl_client_set(&relay->client, &peer, host_kind(relay->listener_host) == HOST_IPV6);
    if (relay->client.text[0])
        relay->record.client = relay->client.text;
    return 0;
}

// Sets up what ends a connection well: these signals do nothing but end a wait, by MASK. SIGHUP
// comes when the terminal of a superserver in the foreground goes.
static void catch_signals(sigset_t *mask)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = request_stop};
    sigset_t ours;

    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&ours, numbers[i]);
    sigprocmask(SIG_BLOCK, &ours, mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigdelset(mask, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
}

// Clients of a datagram socket may be made up: of a list that refuses them all it is told once a
// second.
static bool may_tell_again(void)
{
    static int64_t told_ms;
    int64_t now = clock_ms();

    if (has_many_clients && told_ms && now - told_ms < TELL_MS)
        return false;
    told_ms = now;
    return true;
}

static int look_up(const char *path, const struct acl_client *client)
{
    const char *reason;
    int found = list_look_up(path, client, &reason);

    if (found < 0 && may_tell_again())
        report("unable to use the access list %s: %s; refusing %s", path, reason, client->text);
    return found;
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

static void describe_target(const struct relay *relay, struct dial_request *request)
{
    union host_address listener;

    *request = (struct dial_request){
        .host = relay->target_host,
        .port = relay->target_port,
        .src = relay->options->text[OPTION_SRC],
        .timeout_ms = relay->options->number[OPTION_CONNECT_TIMEOUT] * 1000,
        .datagram = relay->to_datagrams,
        .mask = relay->mask,
        .stop = relay->stop,
    };
    if (relay->from_datagrams == relay->to_datagrams)
        request->listener = relay->local;
    if (host_address(relay->listener_host, 0, &listener) > 0 && host_is_wildcard(&listener)) {
        request->serves_all_ipv6 = listener.any.sa_family == AF_INET6;
        request->serves_all_ipv4 = !request->serves_all_ipv6 || !is_ipv6_only();
    }
}

// Connects to the target. Returns the socket, or -1 when the failure was logged and reported;
// *CLEAN is then false if something goes on in this process.
FRAME static int reach_target(struct relay *relay, bool *clean)
{
    struct dial_failure failure;
    struct dial_request request;
    int target;

    describe_target(relay, &request);
    target = dial(&request, &failure);
    if (target < 0) {
        write_log(relay, failure_event(failure.step));
        report("%s", failure.reason);
        *clean = !failure.left_thread;
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

// Logs and returns whether the client of descriptor 0 is to be served.
static bool receive_client(struct relay *relay)
{
    if (meet_client(relay) < 0) {
        write_log(relay, LOG_EVENT_ACCEPT_FAILED);
        return false;
    }
    if (relay->options->text[OPTION_REFUSED]) {
        write_log(relay, LOG_EVENT_DENIED);
        return false;
    }
    return may_enter(relay);
}

static void relay_bytes(struct relay *relay, int target)
{
    int keepalive = relay->options->number[OPTION_KEEPALIVE] != 0;
    struct pump_request request = {.client = 0,
                                   .target = target,
                                   .buffers = &relay_memory.buffers,
                                   .idle_ms = relay->options->number[OPTION_TIMEOUT] * 1000,
                                   .mask = relay->mask,
                                   .stop = relay->stop};
    struct pump_result result;

    tune(0, keepalive);
    if (relay->to_datagrams) {
        mixed(&request, &result);
    } else {
        tune(target, keepalive);
        pump(&request, &result);
    }
    // The client knows of the end, and may come again sooner than the log is done.
    pool_forget_client();
    relay->record.from_client = result.from_client;
    relay->record.to_client = result.to_client;
    write_log(relay, end_event(result.end));
}

// The connection on descriptor 0. *CLEAN: nothing of it is left in this process.
static int serve(const struct arguments *arguments, const sigset_t *mask,
                 const volatile sig_atomic_t *stop, bool *clean)
{
    struct relay relay;
    int target = -1, status = EXIT_SERVED;

    *clean = true;
    memset(&relay, 0, sizeof relay);
    relay.options = &arguments->options;
    relay.acl = &arguments->acl;
    relay.target_host = arguments->target_host;
    relay.target_port = arguments->target_port;
    relay.to_datagrams = arguments->target_protocol == ARGUMENTS_UDP;
    relay.mask = mask;
    relay.stop = stop;
    if (receive_client(&relay)) {
        target = reach_target(&relay, clean);
        status = target < 0 ? EXIT_UNREACHED : EXIT_SERVED;
    }
    if (target >= 0) {
        write_log(&relay, LOG_EVENT_OPENED);
        relay_bytes(&relay, target);
        close(target);
    }
    explicit_bzero(&relay, sizeof relay);
    return status;
}

// rinetd-wrap lies beside this program, which may have been replaced while it runs.
static void find_programs(const char *name, char own[static PATH_MAX], char wrap[static PATH_MAX])
{
    static const char deleted[] = " (deleted)";
    ssize_t length = readlink("/proc/self/exe", own, PATH_MAX - 1);
    size_t size = length > 0 ? (size_t)length : 0;
    const char *slash;

    own[size] = '\0';
    if (size >= sizeof deleted && strcmp(own + size + 1 - sizeof deleted, deleted) == 0)
        own[size + 1 - sizeof deleted] = '\0';
    if (size == 0)
        snprintf(own, PATH_MAX, "%s", name && name[0] == '/' ? name : RELAY_PATH);
    slash = strrchr(own, '/');
    snprintf(wrap, PATH_MAX, "%.*s" WRAP_PROGRAM, slash ? (int)(slash - own) + 1 : 0, own);
}

// Lets rinetd-wrap go on with the connection on descriptor 0. Returns when that was reported to
// have failed.
FRAME static int become_wrap(const struct relay_rule *rule)
{
    char own[PATH_MAX], wrap[PATH_MAX], name[NAME_MAX + 1], *line[WRAP_ARGUMENTS_MAX];

    find_programs(rule->argv[0], own, wrap);
    snprintf(name, sizeof name, "%s", rule->arguments.options.text[OPTION_WRAP]);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    if (arguments_for_wrap(rule->argv, (char *const[]){wrap, name, own}, line, WRAP_ARGUMENTS_MAX))
        execv(wrap, line);
    else
        errno = E2BIG;
    report("unable to run %s: %s", wrap, strerror(errno));
    return EXIT_SYSTEM;
}

static int serve_connection(const struct relay_rule *rule)
{
    sigset_t mask;
    bool clean;

    if (rule->arguments.options.text[OPTION_WRAP])
        return become_wrap(rule);
    catch_signals(&mask);
    return serve(&rule->arguments, &mask, &stop_requested, &clean);
}

static bool serve_one(void *context, const sigset_t *mask, const volatile sig_atomic_t *stop)
{
    const struct relay_rule *rule = context;
    bool clean = true;

    if (rule->arguments.options.text[OPTION_WRAP])
        become_wrap(rule);
    else
        serve(&rule->arguments, mask, stop, &clean);
    return clean;
}

FRAME static int serve_listener(struct relay_rule *rule)
{
    const struct options *options = &rule->arguments.options;
    long per_source = options->number[OPTION_PER_SOURCE];
    struct pool_request request = {
        .max = (unsigned)options->number[OPTION_MAX],
        .per_source = per_source > 0 ? (unsigned)per_source : 0,
        .linger_ms = options->number[OPTION_LINGER] * 1000,
        .serve = serve_one,
        .context = rule,
        .gives_away = options->text[OPTION_WRAP] != NULL,
        .tell = report,
    };

    if (pool(&request) < 0) {
        report("unable to serve the listening socket: %s", strerror(errno));
        return EXIT_SYSTEM;
    }
    return EXIT_SERVED;
}

// What the sessions of a datagram socket have in common.
struct relay_datagrams {
    struct relay relay;
    struct dial_request target;
};

static void set_client(struct relay *relay, const union host_address *client)
{
    acl_client_set(&relay->client, client, false);
    relay->record.client = relay->client.text[0] ? relay->client.text : NULL;
    relay->record.from_client = relay->record.to_client = 0;
}

static bool may_enter_udp(void *context, const union host_address *client, bool tell)
{
    struct relay *relay = &((struct relay_datagrams *)context)->relay;

    set_client(relay, client);
    if (tell)
        return may_enter(relay);
    return acl_check(relay->acl, &relay->client).verdict == ACL_ALLOWED;
}

static int dial_udp(void *context, struct dial_failure *failure)
{
    const struct relay_datagrams *datagrams = context;
    int target = dial(&datagrams->target, failure);

    if (target >= 0 && !datagrams->relay.to_datagrams)
        tune(target, datagrams->relay.options->number[OPTION_KEEPALIVE] != 0);
    return target;
}

static void note_udp(void *context, const union host_address *client, enum udp_event event,
                     const struct udp_bytes *bytes)
{
    static const enum log_event events[] = {
        [UDP_OPENED] = LOG_EVENT_OPENED,
        [UDP_TARGET_ENDED] = LOG_EVENT_DONE_LOCAL_CLOSED,
        [UDP_CLIENT_ENDED] = LOG_EVENT_DONE_REMOTE_CLOSED,
    };
    struct relay *relay = &((struct relay_datagrams *)context)->relay;

    set_client(relay, client);
    relay->record.from_client = bytes->from_client;
    relay->record.to_client = bytes->to_client;
    write_log(relay, events[event]);
}

static void note_udp_failure(void *context, const union host_address *client, enum dial_step step,
                             const char *reason)
{
    struct relay *relay = &((struct relay_datagrams *)context)->relay;

    set_client(relay, client);
    write_log(relay, failure_event(step));
    if (reason)
        report("%s", reason);
}

// What is wrong with the datagram socket on descriptor 0, or with what it is to be served by; NULL
// where nothing is.
static const char *udp_error(const struct relay_rule *rule, const union host_address *local)
{
    const struct options *options = &rule->arguments.options;
    union host_address peer;
    int protocol = 0;
    socklen_t size = sizeof protocol;

    if (options->text[OPTION_WRAP] || options->text[OPTION_REFUSED])
        return "--wrap and --refused are for connections: TCP wrappers are not asked for datagrams";
    if (getsockopt(0, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 || protocol != IPPROTO_UDP)
        return "standard input is a socket of neither TCP nor UDP";
    if (host_port(local) == 0)
        return "standard input is a datagram socket that is not bound to a port";
    size = sizeof peer;
    if (getpeername(0, &peer.any, &size) == 0)
        return "standard input is a datagram socket that is connected to one client";
    if (host_kind(rule->arguments.target_host) == HOST_UNIX)
        return "a unix socket is no target for datagrams";
    return NULL;
}

// Descriptor 1 may be the datagram socket too, as 2 has been.
static void hide_client(void)
{
    if (!report_may_print())
        dup2(2, 1);
}

static bool is_numeric(const char *host)
{
    return !host || host_kind(host) != HOST_NAME;
}

static void prepare_datagrams(struct relay_datagrams *datagrams, const struct relay_rule *rule)
{
    static const volatile sig_atomic_t never = 0;
    struct relay *relay = &datagrams->relay;

    memset(datagrams, 0, sizeof *datagrams);
    relay->options = &rule->arguments.options;
    relay->acl = &rule->arguments.acl;
    relay->target_host = rule->arguments.target_host;
    relay->target_port = rule->arguments.target_port;
    relay->from_datagrams = true;
    relay->to_datagrams = rule->arguments.target_protocol != ARGUMENTS_TCP;
    meet_listener(relay);
    describe_target(relay, &datagrams->target);
    // In a thread, but where there is nothing to wait for: the signals are for the first one.
    datagrams->target.stop = &never;
    datagrams->target.in_thread = true;
}

FRAME static int serve_datagrams(const struct relay_rule *rule)
{
    const struct options *options = &rule->arguments.options;
    long timeout = options->number[OPTION_TIMEOUT], per_source = options->number[OPTION_PER_SOURCE];
    static struct relay_datagrams datagrams; // threads may read it until the process is gone
    sigset_t mask;
    struct udp_request request = {
        .max = options->text[OPTION_MAX] ? (unsigned)options->number[OPTION_MAX] : UDP_MAX,
        .per_source = per_source > 0 ? (unsigned)per_source : 0,
        .timeout_ms = (timeout > 0 ? timeout : UDP_TIMEOUT_S) * 1000,
        .linger_ms = options->number[OPTION_LINGER] * 1000,
        .dial_ms = options->number[OPTION_CONNECT_TIMEOUT] * 1000,
        .keep_queue = options->text[OPTION_KEEP_QUEUE] != NULL,
        .mask = &mask,
        .stop = &stop_requested,
        .context = &datagrams,
        .may_enter = may_enter_udp,
        .dial = dial_udp,
        .note = note_udp,
        .note_failure = note_udp_failure,
        .tell = report,
    };
    const char *error;

    prepare_datagrams(&datagrams, rule);
    error = udp_error(rule, &datagrams.relay.local);
    if (error) {
        report("%s", error);
        return EXIT_USAGE;
    }
    request.stream = !datagrams.relay.to_datagrams;
    request.dial_waits = request.stream || !is_numeric(rule->arguments.target_host) ||
                         !is_numeric(options->text[OPTION_SRC]);
    hide_client();
    catch_signals(&mask);
    has_many_clients = true;
    if (udp(&request, &datagrams.relay.local) == 0)
        return EXIT_SERVED;
    report("unable to serve the datagram socket: %s", strerror(errno));
    return EXIT_SYSTEM;
}

// Where systemd passes its socket as sd_listen_fds(3) says, that becomes standard input.
static void take_listen_fds(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = pid ? getenv("LISTEN_FDS") : NULL;
    struct stat status;

    if (!count || strcmp(count, "1") != 0 || strtol(pid, NULL, 10) != getpid() ||
        (fstat(0, &status) == 0 && S_ISSOCK(status.st_mode)))
        return;
    if (dup2(LISTEN_FDS_START, 0) == 0)
        close(LISTEN_FDS_START);
    // Meant for this process alone.
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

FRAME static bool understand(struct relay_rule *rule, int argc, char *argv[])
{
    char error[ARGUMENTS_ERROR_MAX];

    rule->argv = argv;
    rule->arguments.acl.look_up = look_up;
    if (arguments_parse(&rule->arguments, argc, argv, error) == 0)
        return true;
    report("%s", error);
    return false;
}

int main(int argc, char *argv[])
{
    struct relay_rule *rule = &relay_memory.rule;

    take_listen_fds();
    report_init(PROGRAM);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // a log over the limit of file sizes is no reason to end
    if (!understand(rule, argc, argv))
        return EXIT_USAGE;
    if (arguments_ask_for_text(&rule->arguments))
        return print_text(&rule->arguments.options);
    switch (input_kind()) {
    case INPUT_CONNECTION:
        return serve_connection(rule);
    case INPUT_LISTENER:
        return serve_listener(rule);
    case INPUT_DATAGRAMS:
        return serve_datagrams(rule);
    case INPUT_BAD:
        break;
    }
    return EXIT_USAGE;
}
