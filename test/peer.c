// SPDX-License-Identifier: ISC
//
// peer: both ends of a test connection, a superserver small enough to trust, and what else the
// tests need from the kernel that a shell can't ask for. Without arguments it lists all it can.
//
// Exit status: 0 every expectation held; 1 one did not, with a line on standard error that says
// which; 2 usage. Every wait is bounded by the deadline, which starts anew with each action.
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK         65536
#define ACTIONS_MAX   64
#define GRACE_MS      500
#define POLITE_MS     10000 // for what a command leaves behind, before it is killed
#define END_MS        20000 // for who was told to end, before it is killed
#define GONE_MS       60000 // for who was killed
#define SHOWN_BYTES   40
#define LOWEST_PORT   10000
#define PORT_TEXT_MAX 128

static const char usage_text[] =
    "usage: peer connect [--from=ADDR] [--times=N] [--parallel=N] TARGET ACTION...\n"
    "       peer listen [--port-file=FILE] [--count=N] [--silent] TARGET ACTION...\n"
    "       peer serve [--port-file=FILE] [--count=N] [--stderr=FILE] [--status-file=FILE]\n"
    "                  TARGET COMMAND [ARG...]\n"
    "       peer hand [--port-file=FILE] [--count=N] [--stderr=FILE] [--status-file=FILE]\n"
    "                 [--datagram] TARGET COMMAND [ARG...]\n"
    "                 gives COMMAND the listener, or the socket for datagrams, anew when it ends\n"
    "       peer syslog [--port-file=FILE] PATH    prints each datagram that comes to PATH\n"
    "       peer stuff PATH                        sends datagrams until PATH takes no more\n"
    "       peer under COMMAND [ARG...]            ends what COMMAND leaves behind\n"
    "       peer free-port [N]\n"
    "TARGET: ADDR PORT (0: a free one), unix:/path, unix:@name\n"
    "also:   --deadline=SECONDS --rcvbuf=BYTES --sndbuf=BYTES\n"
    "ACTION: send:TEXT (\\n \\r \\t \\0 \\\\ \\xHH)  data:BYTES[:SEED]  check:BYTES[:SEED]\n"
    "        both:BYTES:SEED_OUT:SEED_IN  recv:BYTES  line  rest  echo  discard  flood:MS\n"
    "        pour:PATH  fin  rst  close  eof  reset  closed  refused  hold  sleep:MS\n"
    "        wait-file:PATH  touch:PATH  print-peer  print-local\n";

struct options {
    const char *from, *port_file, *status_file, *stderr_file;
    int times, parallel, count, rcvbuf, sndbuf;
    int deadline_ms;
    bool silent, datagram;
};

struct target {
    struct sockaddr_storage address;
    socklen_t size;
    char name[256]; // as the user wrote it
};

struct action {
    const struct kind *kind;
    const char *source; // as the user wrote it
    const char *path;
    unsigned char *text;
    size_t text_bytes;
    uint64_t number[3];
};

enum argument { NOTHING, TEXT, PATH, NUMBERS };

struct kind {
    const char *name;
    enum argument argument;
    int least, most; // of NUMBERS
    void (*run)(int *fd, const struct action *);
};

// One direction's bytes: the same seed gives the same stream everywhere.
struct stream {
    uint64_t state, left;
    size_t at, end;
    unsigned char block[CHUNK];
};

// The processes that were started and still run.
struct crew {
    pid_t *pid;
    size_t running, room;
    uint64_t failed;
    bool stopping;
    int status_fd;
};

static struct options options = {.deadline_ms = 300000};
static struct action actions[ACTIONS_MAX];
static size_t action_count;
static char doing[512] = "peer"; // for messages
static int report_fd = STDERR_FILENO;
static int64_t until_ms; // when the current action must be done
static uint64_t done_bytes;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static void write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            exit(1); // nobody listens: there is no one to tell
        at += n;
        size -= (size_t)n;
    }
}

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...)
{
    char what[700], line[1300];
    va_list list;

    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(line, sizeof line, "peer: %s: %s\n", doing, what);
    write_all(report_fd, line, strlen(line)); // below PIPE_BUF: lines of many never mix
    exit(1);
}

static void usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void usage(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs(usage_text, stderr);
    exit(2);
}

static void start_clock(void)
{
    until_ms = now_ms() + options.deadline_ms;
    done_bytes = 0;
}

static int left_ms(void)
{
    int64_t left = until_ms - now_ms();

    if (left <= 0)
        fail("not done by the deadline of %g s, after %llu bytes", options.deadline_ms / 1000.0,
             (unsigned long long)done_bytes);
    return (int)left;
}

static short await(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    while (poll(&p, 1, left_ms()) <= 0)
        ;
    return p.revents;
}

// Like recv(2), but waits, by the deadline.
static ssize_t receive(int fd, void *data, size_t size, int flags)
{
    for (;;) {
        ssize_t n = recv(fd, data, size, flags | MSG_DONTWAIT);

        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
        await(fd, POLLIN);
    }
}

static size_t receive_some(int fd, void *data, size_t size)
{
    ssize_t n = receive(fd, data, size, 0);

    if (n < 0)
        fail("unable to read after %llu bytes: %s", (unsigned long long)done_bytes,
             strerror(errno));
    if (n == 0)
        fail("the end came after %llu bytes", (unsigned long long)done_bytes);
    return (size_t)n;
}

static void send_all(int fd, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            fail("unable to send after %llu bytes: %s", (unsigned long long)done_bytes,
                 strerror(errno));
        if (n < 0) {
            await(fd, POLLOUT);
            continue;
        }
        data += n;
        size -= (size_t)n;
        done_bytes += (uint64_t)n;
    }
}

static void show(char *out, size_t room, const unsigned char *data, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < size && i < SHOWN_BYTES && used + 8 < room; i++) {
        if (isprint(data[i]) && data[i] != '\\')
            out[used++] = (char)data[i];
        else
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", data[i]);
    }
    snprintf(out + used, room - used, "%s", size > SHOWN_BYTES ? "..." : "");
}

static void stream_start(struct stream *s, uint64_t bytes, uint64_t seed)
{
    s->state = seed * 0xd1342543de82ef95U + 1;
    s->left = bytes;
    s->at = s->end = 0;
}

static void stream_fill(struct stream *s)
{
    for (size_t i = 0; i < CHUNK; i += sizeof(uint64_t)) {
        uint64_t x = s->state += 0x9e3779b97f4a7c15U;

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        x ^= x >> 31;
        memcpy(s->block + i, &x, sizeof x);
    }
    s->at = 0;
    s->end = CHUNK;
}

// The next bytes of the stream, at s->block + s->at.
static size_t stream_next(struct stream *s)
{
    if (s->at == s->end)
        stream_fill(s);
    return s->end - s->at < s->left ? s->end - s->at : (size_t)s->left;
}

static void stream_took(struct stream *s, size_t size)
{
    s->at += size;
    s->left -= size;
    done_bytes += size;
}

static void stream_compare(struct stream *s, uint64_t whole, const unsigned char *data, size_t size)
{
    const unsigned char *expected = s->block + s->at;

    for (size_t i = 0; memcmp(data, expected, size) != 0 && i < size; i++) {
        if (data[i] != expected[i])
            fail("byte %llu is 0x%02x, expected 0x%02x", (unsigned long long)(whole - s->left + i),
                 data[i], expected[i]);
    }
}

static void stream_check(int fd, struct stream *s, uint64_t whole)
{
    static unsigned char data[CHUNK];
    size_t n = receive_some(fd, data, stream_next(s));

    stream_compare(s, whole, data, n);
    stream_took(s, n);
}

// Sends what is taken without waiting; false if nothing was.
static bool stream_send(int fd, struct stream *s)
{
    size_t size = stream_next(s);
    ssize_t n = send(fd, s->block + s->at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0)
        fail("unable to send after %llu bytes: %s", (unsigned long long)done_bytes,
             strerror(errno));
    stream_took(s, (size_t)n);
    return true;
}

static void do_send(int *fd, const struct action *a)
{
    send_all(*fd, a->text, a->text_bytes);
}

static void do_data(int *fd, const struct action *a)
{
    static struct stream s;

    stream_start(&s, a->number[0], a->number[1]);
    while (s.left > 0) {
        if (!stream_send(*fd, &s))
            await(*fd, POLLOUT);
        left_ms();
    }
}

static void do_check(int *fd, const struct action *a)
{
    static struct stream s;

    stream_start(&s, a->number[0], a->number[1]);
    while (s.left > 0) {
        stream_check(*fd, &s, a->number[0]);
        left_ms();
    }
}

static void do_both(int *fd, const struct action *a)
{
    static struct stream out, in;

    stream_start(&out, a->number[0], a->number[1]);
    stream_start(&in, a->number[0], a->number[2]);
    while (out.left > 0 || in.left > 0) {
        short want = (short)((out.left > 0 ? POLLOUT : 0) | (in.left > 0 ? POLLIN : 0));
        short can = await(*fd, want);

        if (in.left > 0 && (can & (POLLIN | POLLHUP | POLLERR)) != 0)
            stream_check(*fd, &in, a->number[0]);
        if (out.left > 0 && (can & (POLLOUT | POLLERR)) != 0)
            stream_send(*fd, &out);
    }
}

static void do_recv(int *fd, const struct action *a)
{
    static unsigned char data[CHUNK];

    for (uint64_t left = a->number[0]; left > 0;) {
        size_t n = receive_some(*fd, data, left < CHUNK ? (size_t)left : CHUNK);

        write_all(STDOUT_FILENO, data, n);
        left -= n;
        done_bytes += n;
    }
}

// What follows the line stays in the socket, for the next action.
static void do_line(int *fd, const struct action *a)
{
    unsigned char data[4096];
    const unsigned char *newline = NULL;

    (void)a;
    while (newline == NULL) {
        ssize_t peeked = receive(*fd, data, sizeof data, MSG_PEEK);
        size_t n = peeked > 0 ? (size_t)peeked : sizeof data; // else the read below tells why

        newline = peeked > 0 ? memchr(data, '\n', n) : NULL;
        n = receive_some(*fd, data, newline != NULL ? (size_t)(newline - data) + 1 : n);
        write_all(STDOUT_FILENO, data, n);
        done_bytes += n;
    }
}

enum until { UNTIL_END, UNTIL_END_OR_ERROR, UNTIL_RESET };

static void drain(int fd, int out, enum until until)
{
    static unsigned char data[CHUNK];

    for (;;) {
        ssize_t n = receive(fd, data, sizeof data, 0);

        if (n <= 0 && until == UNTIL_END_OR_ERROR)
            return;
        if (n < 0 && until == UNTIL_RESET && errno == ECONNRESET)
            return;
        if (n < 0)
            fail("unable to read after %llu bytes: %s", (unsigned long long)done_bytes,
                 strerror(errno));
        if (n == 0 && until == UNTIL_RESET)
            fail("expected a reset, got the end after %llu bytes", (unsigned long long)done_bytes);
        if (n == 0)
            return;
        done_bytes += (uint64_t)n;
        if (out >= 0)
            write_all(out, data, (size_t)n);
        left_ms();
    }
}

static void do_rest(int *fd, const struct action *a)
{
    (void)a;
    drain(*fd, STDOUT_FILENO, UNTIL_END);
}

static void do_discard(int *fd, const struct action *a)
{
    (void)a;
    drain(*fd, -1, UNTIL_END_OR_ERROR);
}

static void do_reset(int *fd, const struct action *a)
{
    (void)a;
    drain(*fd, -1, UNTIL_RESET);
}

static void do_echo(int *fd, const struct action *a)
{
    static unsigned char data[CHUNK];
    ssize_t n;

    (void)a;
    while ((n = receive(*fd, data, sizeof data, 0)) > 0)
        send_all(*fd, data, (size_t)n);
    if (n < 0)
        fail("unable to read: %s", strerror(errno));
}

static void expect_end(int fd, bool or_reset)
{
    unsigned char data[SHOWN_BYTES + 1];
    char shown[5 * SHOWN_BYTES];
    ssize_t n = receive(fd, data, sizeof data, 0);

    if (n == 0 || (n < 0 && or_reset && errno == ECONNRESET))
        return;
    if (n < 0)
        fail("expected the end: %s", strerror(errno));
    show(shown, sizeof shown, data, (size_t)n);
    fail("expected the end, got \"%s\"", shown);
}

static void do_eof(int *fd, const struct action *a)
{
    (void)a;
    expect_end(*fd, false);
}

static void do_closed(int *fd, const struct action *a)
{
    (void)a;
    expect_end(*fd, true);
}

static void print_number(uint64_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    write_all(STDOUT_FILENO, text, strlen(text));
}

static void do_flood(int *fd, const struct action *a)
{
    static struct stream s;
    int idle_ms = (int)a->number[0];
    struct pollfd p = {.fd = *fd, .events = POLLOUT};

    stream_start(&s, UINT64_MAX, 1);
    do {
        while (stream_send(*fd, &s))
            left_ms();
    } while (poll(&p, 1, idle_ms < left_ms() ? idle_ms : left_ms()) != 0);
    print_number(done_bytes);
}

// Like flood, but until the file is there: whoever reads may stall, and be waited for.
static void do_pour(int *fd, const struct action *a)
{
    static struct stream s;
    struct pollfd p = {.fd = *fd, .events = POLLOUT};

    stream_start(&s, UINT64_MAX, 1);
    while (access(a->path, F_OK) < 0) {
        left_ms();
        if (!stream_send(*fd, &s))
            poll(&p, 1, 10);
    }
    print_number(done_bytes);
}

static void do_fin(int *fd, const struct action *a)
{
    (void)a;
    if (shutdown(*fd, SHUT_WR) < 0)
        fail("%s", strerror(errno));
}

static void do_close(int *fd, const struct action *a)
{
    (void)a;
    if (close(*fd) < 0)
        fail("%s", strerror(errno));
    *fd = -1;
}

static void do_rst(int *fd, const struct action *a)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
        fail("%s", strerror(errno));
    do_close(fd, a);
}

static void do_hold(int *fd, const struct action *a)
{
    struct timespec wait;
    sigset_t set;
    int ms = left_ms();

    (void)fd;
    (void)a;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    wait.tv_sec = ms / 1000;
    wait.tv_nsec = (long)(ms % 1000) * 1000000;
    while (sigtimedwait(&set, NULL, &wait) < 0) {
        if (errno != EINTR)
            fail("no signal by the deadline of %g s", options.deadline_ms / 1000.0);
    }
}

static void do_sleep(int *fd, const struct action *a)
{
    (void)fd;
    nap((int)a->number[0]);
}

static void do_wait_file(int *fd, const struct action *a)
{
    (void)fd;
    while (access(a->path, F_OK) < 0) {
        left_ms();
        nap(2);
    }
}

static void do_touch(int *fd, const struct action *a)
{
    int file = open(a->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    (void)fd;
    if (file < 0 || close(file) < 0)
        fail("%s", strerror(errno));
}

static void print_address(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV], line[NI_MAXHOST + NI_MAXSERV + 2];

    if (ask(fd, (struct sockaddr *)&address, &size) < 0)
        fail("%s", strerror(errno));
    if (getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        fail("this socket has no address that can be printed");
    snprintf(line, sizeof line, "%s %s\n", host, port);
    write_all(STDOUT_FILENO, line, strlen(line));
}

static void do_print_peer(int *fd, const struct action *a)
{
    (void)a;
    print_address(*fd, getpeername);
}

static void do_print_local(int *fd, const struct action *a)
{
    (void)a;
    print_address(*fd, getsockname);
}

// Reached only if the connection was not refused.
static void do_refused(int *fd, const struct action *a)
{
    (void)fd;
    (void)a;
    fail("the connection was accepted");
}

static const struct kind kinds[] = {
    {"send", TEXT, 0, 0, do_send},
    {"data", NUMBERS, 1, 2, do_data},
    {"check", NUMBERS, 1, 2, do_check},
    {"both", NUMBERS, 3, 3, do_both},
    {"recv", NUMBERS, 1, 1, do_recv},
    {"line", NOTHING, 0, 0, do_line},
    {"rest", NOTHING, 0, 0, do_rest},
    {"echo", NOTHING, 0, 0, do_echo},
    {"discard", NOTHING, 0, 0, do_discard},
    {"flood", NUMBERS, 1, 1, do_flood},
    {"pour", PATH, 0, 0, do_pour},
    {"fin", NOTHING, 0, 0, do_fin},
    {"rst", NOTHING, 0, 0, do_rst},
    {"close", NOTHING, 0, 0, do_close},
    {"eof", NOTHING, 0, 0, do_eof},
    {"reset", NOTHING, 0, 0, do_reset},
    {"closed", NOTHING, 0, 0, do_closed},
    {"refused", NOTHING, 0, 0, do_refused},
    {"hold", NOTHING, 0, 0, do_hold},
    {"sleep", NUMBERS, 1, 1, do_sleep},
    {"wait-file", PATH, 0, 0, do_wait_file},
    {"touch", PATH, 0, 0, do_touch},
    {"print-peer", NOTHING, 0, 0, do_print_peer},
    {"print-local", NOTHING, 0, 0, do_print_local},
};

static bool has_action(void (*run)(int *, const struct action *))
{
    for (size_t i = 0; i < action_count; i++) {
        if (actions[i].kind->run == run)
            return true;
    }
    return false;
}

static void run_actions(int fd)
{
    for (size_t i = 0; i < action_count; i++) {
        const struct action *a = &actions[i];

        snprintf(doing, sizeof doing, "%.200s", a->source);
        start_clock();
        a->kind->run(&fd, a);
    }
    if (fd >= 0)
        close(fd);
}

static uint64_t parse_number(const char *text, char end, const char **rest)
{
    char *after = NULL;
    unsigned long long n;

    errno = 0;
    n = isdigit((unsigned char)*text) ? strtoull(text, &after, 10) : 0;
    if (after == NULL || errno != 0 || (*after != '\0' && *after != end))
        usage("peer: found \"%s\", expected a number\n", text);
    if (rest != NULL)
        *rest = *after == '\0' ? NULL : after + 1;
    return n;
}

static int parse_int(const char *text)
{
    uint64_t n = parse_number(text, '\0', NULL);

    if (n > INT_MAX)
        usage("peer: %s is too large\n", text);
    return (int)n;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));

    return at == NULL ? -1 : (int)(at - digits);
}

// One escape after the backslash; advances TEXT past it.
static unsigned char parse_escape(const char **text)
{
    static const char from[] = "nrt0\\", to[] = "\n\r\t\0\\";
    const char *at = **text == '\0' ? NULL : strchr(from, **text);

    if (at != NULL) {
        (*text)++;
        return (unsigned char)to[at - from];
    }
    if ((*text)[0] == 'x' && hex_digit((*text)[1]) >= 0 && hex_digit((*text)[2]) >= 0) {
        *text += 3;
        return (unsigned char)(hex_digit((*text)[-2]) * 16 + hex_digit((*text)[-1]));
    }
    usage("peer: unknown escape \"\\%s\"\n", *text);
}

static void parse_text(struct action *a, const char *text)
{
    a->text = malloc(strlen(text) + 1);
    if (a->text == NULL)
        fail("%s", strerror(errno));
    while (*text != '\0') {
        unsigned char c = (unsigned char)*text++;

        a->text[a->text_bytes++] = c == '\\' ? parse_escape(&text) : c;
    }
}

static void parse_numbers(struct action *a, const char *text)
{
    int count = 0;

    for (a->number[1] = 1; text != NULL && count < a->kind->most; count++)
        a->number[count] = parse_number(text, ':', &text);
    if (text != NULL || count < a->kind->least)
        usage("peer: wrong number of values in %s\n", a->source);
}

static void parse_action(const char *source)
{
    struct action *a = &actions[action_count];
    size_t length = strcspn(source, ":");
    const char *value = source[length] == ':' ? source + length + 1 : NULL;

    if (action_count++ == ACTIONS_MAX)
        usage("peer: more than %d actions\n", ACTIONS_MAX);
    a->source = source;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, source, length) == 0)
            a->kind = &kinds[i];
    }
    if (a->kind == NULL)
        usage("peer: unknown action %s\n", source);
    if ((a->kind->argument == NOTHING) != (value == NULL))
        usage("peer: %s: a value is missing or too many\n", source);
    if (a->kind->argument == TEXT)
        parse_text(a, value);
    else if (a->kind->argument == NUMBERS)
        parse_numbers(a, value);
    a->path = value;
}

static void parse_actions(char **list)
{
    if (*list == NULL)
        usage("peer: no action\n");
    for (; *list != NULL; list++)
        parse_action(*list);
}

static void parse_unix(struct target *t, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&t->address;
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof address->sun_path)
        usage("peer: a unix path of %zu bytes\n", length);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    t->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { // unix(7): an abstract name has no final NUL
        address->sun_path[0] = '\0';
        t->size--;
    }
}

static void parse_inet(struct target *t, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    int error;

    parse_int(port);
    error = getaddrinfo(host, port, &hints, &found);
    if (error != 0)
        usage("peer: %s: %s\n", host, gai_strerror(error));
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->size = found->ai_addrlen;
    freeaddrinfo(found);
}

// Reads a TARGET, and returns what follows it.
static char **parse_target(struct target *t, char **list)
{
    if (list[0] == NULL)
        usage("peer: no target\n");
    if (strncmp(list[0], "unix:", 5) == 0) {
        snprintf(t->name, sizeof t->name, "%s", list[0]);
        parse_unix(t, list[0] + 5);
        return list + 1;
    }
    if (list[1] == NULL)
        usage("peer: no port\n");
    snprintf(t->name, sizeof t->name, "%s %s", list[0], list[1]);
    parse_inet(t, list[0], list[1]);
    return list + 2;
}

static const char *option_value(const char *text, const char *name)
{
    size_t length = strlen(name);

    return strncmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

static bool parse_text_option(const char *text)
{
    const struct {
        const char *name;
        const char **to;
    } table[] = {
        {"--from", &options.from},
        {"--port-file", &options.port_file},
        {"--status-file", &options.status_file},
        {"--stderr", &options.stderr_file},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *value = option_value(text, table[i].name);

        if (value != NULL) {
            *table[i].to = value;
            return true;
        }
    }
    return false;
}

static bool parse_number_option(const char *text)
{
    const struct {
        const char *name;
        int *to;
    } table[] = {
        {"--times", &options.times},   {"--parallel", &options.parallel},
        {"--count", &options.count},   {"--rcvbuf", &options.rcvbuf},
        {"--sndbuf", &options.sndbuf},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *value = option_value(text, table[i].name);

        if (value != NULL) {
            *table[i].to = parse_int(value);
            return true;
        }
    }
    return false;
}

static void parse_deadline(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds > 0 && seconds < 1e6))
        usage("peer: found \"%s\", expected seconds\n", text);
    options.deadline_ms = (int)(seconds * 1000);
}

static char **parse_options(char **list)
{
    for (; *list != NULL && strncmp(*list, "--", 2) == 0; list++) {
        const char *deadline = option_value(*list, "--deadline");

        if (deadline != NULL)
            parse_deadline(deadline);
        else if (strcmp(*list, "--silent") == 0)
            options.silent = true;
        else if (strcmp(*list, "--datagram") == 0)
            options.datagram = true;
        else if (!parse_text_option(*list) && !parse_number_option(*list))
            usage("peer: unknown option %s\n", *list);
    }
    return list;
}

static void set_int(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof value) < 0)
        fail("unable to set a socket option: %s", strerror(errno));
}

static int new_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("unable to make a socket: %s", strerror(errno));
    if (options.rcvbuf > 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, options.rcvbuf);
    if (options.sndbuf > 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, options.sndbuf);
    return fd;
}

static void bind_from(int fd, const char *from)
{
    struct target source = {.size = 0};

    parse_inet(&source, from, "0");
    set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (bind(fd, (struct sockaddr *)&source.address, source.size) < 0)
        fail("unable to bind to %s: %s", from, strerror(errno));
}

// A connected socket, or -1 if the connection was refused and that is what was expected.
static int dial(const struct target *t)
{
    bool refused = has_action(do_refused);
    int fd = new_socket(t->address.ss_family, SOCK_STREAM);
    struct timeval limit = {.tv_sec = options.deadline_ms / 1000,
                            .tv_usec = options.deadline_ms % 1000 * 1000};

    snprintf(doing, sizeof doing, "connect %s", t->name);
    if (options.from != NULL)
        bind_from(fd, options.from);
    // socket(7): this bounds connect, too
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        fail("unable to set a socket option: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&t->address, t->size) == 0)
        return fd;
    if (refused && errno == ECONNREFUSED) {
        close(fd);
        return -1;
    }
    fail("%s",
         errno == EINPROGRESS || errno == EAGAIN ? "no answer by the deadline" : strerror(errno));
}

static void converse(const struct target *t)
{
    int fd = dial(t);

    if (fd >= 0)
        run_actions(fd);
}

static int open_listener(struct target *t)
{
    const struct sockaddr_un *un = (struct sockaddr_un *)&t->address;
    int fd = new_socket(t->address.ss_family, options.datagram ? SOCK_DGRAM : SOCK_STREAM);

    snprintf(doing, sizeof doing, "listen %s", t->name);
    if (t->address.ss_family == AF_UNIX && un->sun_path[0] != '\0')
        unlink(un->sun_path);
    else if (t->address.ss_family != AF_UNIX && !options.datagram)
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (t->address.ss_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (bind(fd, (struct sockaddr *)&t->address, t->size) < 0)
        fail("unable to bind: %s", strerror(errno));
    if (!options.datagram && listen(fd, options.silent ? 0 : SOMAXCONN) < 0)
        fail("unable to listen: %s", strerror(errno));
    if (t->address.ss_family != AF_UNIX &&
        getsockname(fd, (struct sockaddr *)&t->address, &t->size) < 0)
        fail("%s", strerror(errno));
    return fd;
}

static void write_port_file(const char *text)
{
    char part[PATH_MAX];
    int fd;

    if (options.port_file == NULL)
        return;
    snprintf(part, sizeof part, "%s.part", options.port_file);
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail("unable to write %s: %s", part, strerror(errno));
    write_all(fd, text, strlen(text));
    if (close(fd) < 0 || rename(part, options.port_file) < 0)
        fail("unable to write %s: %s", options.port_file, strerror(errno));
}

static void announce(const struct target *t)
{
    char where[PORT_TEXT_MAX], line[PORT_TEXT_MAX + 16];

    if (t->address.ss_family == AF_UNIX)
        snprintf(where, sizeof where, "%.120s\n", t->name);
    else
        snprintf(where, sizeof where, "%d\n",
                 ntohs(((const struct sockaddr_in *)&t->address)->sin_port));
    snprintf(line, sizeof line, "listening %s", where);
    write_all(STDOUT_FILENO, line, strlen(line));
    write_port_file(where);
}

static sigset_t default_mask;

static int block_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &default_mask);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        fail("unable to watch for signals: %s", strerror(errno));
    return fd;
}

// `hold` takes these signals by itself; they must not end the process before it is reached.
static void block_for_hold(void)
{
    sigset_t set;

    sigemptyset(&set);
    if (has_action(do_hold)) {
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
}

// fork(2), and the book-keeping on both sides.
static pid_t crew_fork(struct crew *c)
{
    pid_t parent = getpid(), pid;

    if (c->running == c->room) {
        c->room = c->room * 2 + 64;
        c->pid = realloc(c->pid, c->room * sizeof *c->pid);
        if (c->pid == NULL)
            fail("%s", strerror(errno));
    }
    pid = fork();
    if (pid < 0)
        fail("unable to fork: %s", strerror(errno));
    if (pid > 0) {
        c->pid[c->running++] = pid;
        return pid;
    }
    block_for_hold();
    if (!has_action(do_hold))
        sigprocmask(SIG_SETMASK, &default_mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        exit(1);
    return 0;
}

// Sends a signal, and has PID end by it even if a test has stopped it. Others get no SIGCONT:
// LeakSanitizer stops a process that exits by ptrace(2), and would wait for ever for a stop that
// SIGCONT has taken back.
static void tell(pid_t pid, int signal_number)
{
    char path[64], state = '\0';
    FILE *stat;

    kill(pid, signal_number);
    if (signal_number != SIGTERM && signal_number != SIGINT)
        return;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    stat = fopen(path, "re");
    if (stat == NULL)
        return;
    if (fscanf(stat, "%*d (%*[^)]) %c", &state) == 1 && state == 'T')
        kill(pid, SIGCONT);
    fclose(stat);
}

static void crew_signal(const struct crew *c, int signal_number)
{
    for (size_t i = 0; i < c->running; i++)
        tell(c->pid[i], signal_number);
}

static void crew_note(struct crew *c, int status)
{
    char line[32];
    bool killed = WIFSIGNALED(status);

    // What a stop interrupts was not found wanting.
    if (killed ? !c->stopping : WEXITSTATUS(status) != 0)
        c->failed++;
    if (c->status_fd < 0)
        return;
    snprintf(line, sizeof line, "%s%d\n", killed ? "signal " : "",
             killed ? WTERMSIG(status) : WEXITSTATUS(status));
    write_all(c->status_fd, line, strlen(line));
}

static void crew_reap(struct crew *c)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < c->running; i++) {
            if (c->pid[i] == pid) {
                c->pid[i] = c->pid[--c->running];
                crew_note(c, status);
                break;
            }
        }
    }
}

// Waits for a signal, or for FD if it is not -1; true if FD is ready.
static bool crew_wait(struct crew *c, int signal_fd, int fd, int ms)
{
    struct pollfd p[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    struct signalfd_siginfo info;

    if (poll(p, 2, ms) < 0 && errno != EINTR)
        fail("unable to wait: %s", strerror(errno));
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD)
            c->stopping = true;
    }
    crew_reap(c);
    return !c->stopping && p[1].revents != 0;
}

// Ends those that still run: politely, then not.
static void crew_end(struct crew *c, int signal_fd)
{
    int64_t end = now_ms() + END_MS;

    c->stopping = true;
    crew_signal(c, SIGTERM);
    while (c->running > 0 && now_ms() < end)
        crew_wait(c, signal_fd, -1, 50);
    crew_signal(c, SIGKILL);
    while (c->running > 0)
        crew_wait(c, signal_fd, -1, 50);
}

static void report_first(int fd, uint64_t failed, int times)
{
    char text[1300];
    ssize_t n = read(fd, text, sizeof text - 1);
    const char *first = text;

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (strncmp(first, "peer: ", 6) == 0)
        first += 6;
    fprintf(stderr, "peer: %llu of %d connections failed; first: %s\n", (unsigned long long)failed,
            times, *first == '\0' ? "ended by a signal" : first);
}

static int connect_many(const struct target *t, int times, int parallel)
{
    struct crew c = {.status_fd = -1};
    int report[2], signal_fd = block_signals();

    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
        fail("unable to make a pipe: %s", strerror(errno));
    for (int started = 0; !c.stopping && (started < times || c.running > 0);) {
        if (started == times || c.running == (size_t)parallel) {
            crew_wait(&c, signal_fd, -1, -1);
            continue;
        }
        if (crew_fork(&c) == 0) {
            report_fd = report[1];
            converse(t);
            exit(0);
        }
        started++;
    }
    crew_end(&c, signal_fd);
    free(c.pid);
    if (c.failed > 0)
        report_first(report[0], c.failed, times);
    return c.failed > 0;
}

static int main_connect(char **list)
{
    struct target t = {.size = 0};

    parse_actions(parse_target(&t, list));
    if (options.parallel > options.times)
        options.times = options.parallel;
    if (options.times > 0)
        return connect_many(&t, options.times, options.parallel > 0 ? options.parallel : 1);
    block_for_hold();
    converse(&t);
    return 0;
}

static void exec_server(int fd, char **command)
{
    int error_fd = fd;

    if (options.stderr_file != NULL)
        error_fd = open(options.stderr_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    // Ours goes with descriptor 2: what is said now must not reach the client.
    report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    snprintf(doing, sizeof doing, "serve %.200s", command[0]);
    if (error_fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(error_fd, 2) < 0)
        fail("%s", strerror(errno));
    execvp(command[0], command);
    fail("unable to execute it: %s", strerror(errno));
}

static void serve_one(int fd, char **command)
{
    if (command != NULL)
        exec_server(fd, command);
    run_actions(fd);
    exit(0);
}

static void accept_one(struct crew *c, int listener, char **command)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
        return;
    if (fd < 0)
        fail("unable to accept: %s", strerror(errno));
    if (crew_fork(c) == 0) {
        close(listener); // else its port stays taken as long as this child lives
        serve_one(fd, command);
    }
    close(fd);
}

// Accepts until there were COUNT connections, if that is not 0, or a signal comes.
static void accept_all(struct crew *c, int signal_fd, int listener, char **command)
{
    for (int accepted = 0; options.count == 0 || accepted < options.count;) {
        int64_t ms = options.count == 0 ? -1 : until_ms - now_ms();

        if (options.count > 0 && ms <= 0)
            fail("%d of %d connections came by the deadline", accepted, options.count);
        if (crew_wait(c, signal_fd, listener, (int)ms)) {
            accept_one(c, listener, command);
            accepted++;
            start_clock();
        }
        if (c->stopping)
            return;
    }
}

// Commands are waited for by the deadline; our own actions each have one. False if that passed.
static bool finish(struct crew *c, int signal_fd, bool bounded)
{
    bool in_time = true;

    start_clock();
    while (in_time && c->running > 0 && !c->stopping) {
        crew_wait(c, signal_fd, -1, bounded ? 50 : -1);
        in_time = !bounded || now_ms() < until_ms;
    }
    if (!in_time)
        fprintf(stderr, "peer: %s: %zu did not end by the deadline\n", doing, c->running);
    crew_end(c, signal_fd);
    return in_time;
}

static int open_status_file(void)
{
    int fd;

    if (options.status_file == NULL)
        return -1;
    fd = open(options.status_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        fail("unable to write %s: %s", options.status_file, strerror(errno));
    return fd;
}

// With its queue full, the kernel drops each further SYN: a host that says nothing. It is full when
// there is something to accept, which may be later than connect(2) returns.
static void fill_queue(const struct target *t, int listener)
{
    int fd = new_socket(t->address.ss_family, SOCK_STREAM);

    if (connect(fd, (const struct sockaddr *)&t->address, t->size) < 0)
        fail("unable to fill the queue: %s", strerror(errno));
    start_clock();
    await(listener, POLLIN);
}

static int accept_loop(struct target *t, char **command)
{
    struct crew c = {.status_fd = open_status_file()};
    int signal_fd = block_signals(), listener = open_listener(t);
    bool in_time;

    if (options.silent)
        fill_queue(t, listener);
    announce(t);
    start_clock();
    if (options.silent) {
        while (!c.stopping)
            crew_wait(&c, signal_fd, -1, -1);
    } else {
        accept_all(&c, signal_fd, listener, command);
    }
    close(listener);
    in_time = finish(&c, signal_fd, command != NULL);
    free(c.pid);
    return !in_time || (command == NULL && c.failed > 0);
}

static int main_listen(char **list)
{
    struct target t = {.size = 0};

    list = parse_target(&t, list);
    if (!options.silent)
        parse_actions(list);
    return accept_loop(&t, NULL);
}

static int main_serve(char **list)
{
    struct target t = {.size = 0};

    list = parse_target(&t, list);
    if (*list == NULL)
        usage("peer: no command\n");
    return accept_loop(&t, list);
}

// The superserver of `wait` services. The last of COUNT commands has the listener for itself.
static int main_hand(char **list)
{
    struct target t = {.size = 0};
    struct crew c = {.status_fd = open_status_file()};
    int signal_fd = block_signals(), listener;

    list = parse_target(&t, list);
    if (*list == NULL)
        usage("peer: no command\n");
    listener = open_listener(&t);
    announce(&t);
    for (int started = 0; !c.stopping && (options.count == 0 || started < options.count);) {
        if (!crew_wait(&c, signal_fd, listener, -1))
            continue;
        if (crew_fork(&c) == 0)
            exec_server(listener, list);
        started++;
        if (started == options.count)
            close(listener);
        while (!c.stopping && c.running > 0)
            crew_wait(&c, signal_fd, -1, -1);
    }
    // What the last command has left behind goes on.
    while (!c.stopping)
        crew_wait(&c, signal_fd, -1, -1);
    crew_end(&c, signal_fd);
    free(c.pid);
    return 0;
}

static int main_syslog(char **list)
{
    struct target t = {.size = 0};
    char data[CHUNK];
    int fd;

    if (list[0] == NULL || list[1] != NULL)
        usage("peer: expected one path\n");
    snprintf(doing, sizeof doing, "syslog %.200s", list[0]);
    parse_unix(&t, list[0]);
    fd = new_socket(AF_UNIX, SOCK_DGRAM);
    unlink(list[0]);
    if (bind(fd, (struct sockaddr *)&t.address, t.size) < 0 || chmod(list[0], 0666) < 0)
        fail("unable to bind: %s", strerror(errno));
    write_port_file("ready\n");
    for (;;) {
        ssize_t n = recv(fd, data, sizeof data - 1, 0);

        if (n < 0)
            fail("unable to read: %s", strerror(errno));
        while (n > 0 && (data[n - 1] == '\0' || data[n - 1] == '\n'))
            n--; // glibc ends a message with NUL, musl with LF
        data[n] = '\n';
        write_all(STDOUT_FILENO, data, (size_t)n + 1);
    }
}

// Sends what a journal takes, too, from a socket of its own, which has room for it. Returns
// whether the other side had.
static bool stuff_one(const struct target *t)
{
    static const char text[] = "MESSAGE=stuff\nPRIORITY=7\n";
    int fd = new_socket(AF_UNIX, SOCK_DGRAM);
    bool sent;

    if (connect(fd, (const struct sockaddr *)&t->address, t->size) < 0)
        fail("unable to connect: %s", strerror(errno));
    sent = send(fd, text, sizeof text - 1, MSG_DONTWAIT) >= 0;
    if (!sent && errno != EAGAIN)
        fail("unable to send: %s", strerror(errno));
    close(fd);
    return sent;
}

static int main_stuff(char **list)
{
    struct target t = {.size = 0};

    if (list[0] == NULL || list[1] != NULL)
        usage("peer: expected one path\n");
    snprintf(doing, sizeof doing, "stuff %.200s", list[0]);
    parse_unix(&t, list[0]);
    start_clock();
    while (left_ms() > 0) {
        while (stuff_one(&t))
            ;
        nap(GRACE_MS / 10); // whoever reads makes room meanwhile
        if (!stuff_one(&t))
            break;
    }
    return 0;
}

static void signal_children(int signal_number)
{
    char path[64];
    FILE *list;
    int pid;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    list = fopen(path, "re");
    if (list == NULL)
        return;
    while (fscanf(list, "%d", &pid) == 1)
        tell(pid, signal_number);
    fclose(list);
}

// As a subreaper this process inherits whatever the command's own children leave behind.
static void sweep(void)
{
    int64_t start = now_ms();

    for (int round = 0; now_ms() < start + GONE_MS; round++) {
        bool polite = now_ms() < start + POLITE_MS;

        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (errno == ECHILD)
            return;
        if (!polite || round % 20 == 0)
            signal_children(polite ? SIGTERM : SIGKILL);
        nap(polite ? 5 : 1);
    }
}

static pid_t start_command(char **command, const sigset_t *mask)
{
    pid_t pid = fork();

    if (pid < 0)
        fail("unable to fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    sigprocmask(SIG_SETMASK, mask, NULL);
    syscall(SYS_close_range, 3U, ~0U, 0U); // bats waits for whoever has its descriptor 3
    execvp(command[0], command);
    fail("unable to execute %s: %s", command[0], strerror(errno));
}

// Passes signals on to PID until it ends; returns its status.
static int attend(pid_t pid, const sigset_t *set)
{
    int64_t kill_at = INT64_MAX;
    struct timespec tick = {.tv_nsec = 100000000};
    int status = 0;

    for (;;) {
        int signal_number = sigtimedwait(set, NULL, &tick);
        pid_t ended;

        if (signal_number > 0 && signal_number != SIGCHLD)
            tell(pid, signal_number);
        if (signal_number == SIGTERM || signal_number == SIGINT)
            kill_at = now_ms() + END_MS + GRACE_MS;
        if (now_ms() > kill_at)
            kill(pid, SIGKILL);
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended == pid)
                return status;
        }
    }
}

static int main_under(char **command)
{
    sigset_t set, mask;
    int status;

    if (*command == NULL)
        usage("peer: no command\n");
    snprintf(doing, sizeof doing, "under");
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &mask);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        fail("%s", strerror(errno));
    status = attend(start_command(command, &mask), &set);
    sweep();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Below the range from which the kernel serves outgoing connections, so that none takes it.
static int highest_port(void)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    int low = 0;

    if (f != NULL && fscanf(f, "%d", &low) != 1)
        low = 0;
    if (f != NULL)
        fclose(f);
    return low > LOWEST_PORT + 1000 ? low - 1 : 32767;
}

// A socket of IPv6 that takes IPv4 as well asks for both families at once.
static bool port_is_free(int port, int family, int type)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = new_socket(family, type), result;

    if (type == SOCK_STREAM) // among sockets for datagrams it would share a port
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    result = family == AF_INET6 ? bind(fd, (struct sockaddr *)&six, sizeof six)
                                : bind(fd, (struct sockaddr *)&four, sizeof four);
    close(fd);
    return result == 0;
}

static int usable_family(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return AF_INET;
    close(fd);
    return AF_INET6;
}

static int main_free_port(char **list)
{
    int wanted = *list == NULL ? 1 : parse_int(*list), highest = highest_port();
    int range = highest - LOWEST_PORT + 1, family = usable_family();
    unsigned start = 0;

    snprintf(doing, sizeof doing, "free-port");
    if (getrandom(&start, sizeof start, 0) != (ssize_t)sizeof start)
        start = (unsigned)getpid();
    for (int i = 0; i < range && wanted > 0; i++) {
        int port = LOWEST_PORT + (int)((start + (unsigned)i) % (unsigned)range);

        if (port_is_free(port, family, SOCK_STREAM) && port_is_free(port, family, SOCK_DGRAM)) {
            print_number((uint64_t)port);
            wanted--;
        }
    }
    if (wanted > 0)
        fail("not enough ports are free");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(char **);
    } verbs[] = {
        {"connect", main_connect}, {"listen", main_listen},       {"serve", main_serve},
        {"hand", main_hand},       {"syslog", main_syslog},       {"stuff", main_stuff},
        {"under", main_under},     {"free-port", main_free_port},
    };

    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(parse_options(argv + 2));
    }
    usage("%s", argc > 1 ? "peer: unknown verb\n" : "");
}
