// SPDX-License-Identifier: ISC
//
// datagram: both ends of a test of UDP, as peer is for streams. Without arguments it lists all it
// can.
//
// What a client sends differs from datagram to datagram, from client to client and from run to
// run, and the target's replies follow from it; so a client knows each reply that is its own,
// and accepts each once. Its sockets are not connected: a reply is one from wherever it came,
// and from where is checked, too.
//
// Exit status: 0 every expectation held; 1 one did not, with a line on standard error that says
// which; 2 usage. Every wait of a client is bounded by its deadline, which is for all it does.
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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_MAX 65507
#define SIZES_MAX    64
#define ADDRESS_TEXT (INET6_ADDRSTRLEN + 32)
#define BUFFER_BYTES (8 << 20)

static const char usage_text[] =
    "usage: datagram listen [--port-file=FILE] [--count=N] [--print] [--record=FILE]\n"
    "                       [--delay=MS] [--replies=N] [--reply-size=BYTES] ADDR PORT ACTION\n"
    "       datagram ask [--from=ADDR[:PORT]] [--clients=N] [--sizes=N,N,...] [--rounds=N]\n"
    "                    [--window=N] [--replies=N] [--reply-size=BYTES] [--expect-from=ADDR]\n"
    "                    [--expect-none=MS] [--retry=MS] [--in-order] ADDR PORT\n"
    "       datagram say [--from=ADDR[:PORT]] [--replies=N] ADDR PORT TEXT...\n"
    "       datagram flood [--from=ADDR[:PORT]] [--clients=N] [--sizes=N,N,...] [--for=MS]\n"
    "                      ADDR PORT\n"
    "also:  --deadline=SECONDS\n"
    "\n"
    "listen: PORT 0 is a free one, ADDR :: is for IPv4, too. ACTION is echo or mute.\n"
    "  --count=N           ends after so many datagrams and their replies\n"
    "  --print             a line \"ADDR PORT SIZE\" for each datagram that comes\n"
    "  --record=FILE       the bytes of all\n"
    "  --delay=MS          before each reply\n"
    "  --replies=N         to each datagram; the first is its copy, the others differ a little\n"
    "  --reply-size=BYTES  of each reply, which is then no copy\n"
    "ask: each client sends all sizes, as many times as there are rounds, and checks each reply.\n"
    "  It prints \"N sent, N got, N again\".\n"
    "  --window=N          datagrams that a client sends before it waits for replies\n"
    "  --replies=N, --reply-size=BYTES  as the target was told; 0 replies: it waits for none\n"
    "  --expect-from=ADDR  where replies come from, if not where the datagrams go to\n"
    "  --expect-none=MS    not one reply comes in that time\n"
    "  --retry=MS          what has no reply by then is sent again; else that is the end\n"
    "  --in-order          the replies to one client are\n"
    "say: sends each TEXT, waits for its replies and prints each as a line.\n"
    "flood: sends until a signal or the end of that time, and prints \"N sent, N got\".\n";

struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address;
    socklen_t size;
};

struct options {
    const char *from, *port_file, *record, *expect_from;
    int clients, rounds, window, replies, reply_size, count, delay, expect_none, retry, for_ms;
    int sizes[SIZES_MAX], size_count, deadline_ms;
    bool print, in_order;
};

struct datagram {
    unsigned char bytes[DATAGRAM_MAX + 1]; // one more, to see what is too large
    size_t size;
    struct endpoint from;
};

// A reply of the target that is not due yet.
struct reply {
    struct reply *next;
    int64_t due_ms;
    struct endpoint to;
    size_t size;
    unsigned char bytes[];
};

// What one client has said and heard: of each request, how often it was sent, and how many of
// each of its replies have come.
struct client {
    int fd, number;
    int first, next; // requests before FIRST have all their replies, from NEXT on none was sent
    int64_t sent_ms; // the last time that something was
    uint16_t *sent, *got;
};

struct totals {
    unsigned long long sent, got, again;
};

static struct options options = {.clients = 1,
                                 .rounds = 1,
                                 .window = 1,
                                 .replies = 1,
                                 .reply_size = -1,
                                 .expect_none = -1,
                                 .for_ms = INT_MAX,
                                 .sizes = {32},
                                 .size_count = 1,
                                 .deadline_ms = 60000};
static struct client *clients;
static struct totals totals;
static struct datagram datagram, expected;
static uint64_t salt; // of this run
static int64_t until_ms;
static volatile sig_atomic_t stopping;

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...)
{
    va_list list;

    fputs("datagram: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(1);
}

static void usage(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs(usage_text, stderr);
    exit(2);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int until(int64_t then_ms)
{
    int64_t left = then_ms - now_ms();

    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void *allocate(size_t size)
{
    void *room = calloc(1, size);

    if (room == NULL)
        fail("%s", strerror(errno));
    return room;
}

// Content

static void fill(unsigned char *to, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += sizeof seed) {
        uint64_t x = seed += 0x9e3779b97f4a7c15U;

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        x ^= x >> 31;
        memcpy(to + i, &x, size - i < sizeof x ? size - i : sizeof x);
    }
}

static uint64_t digest(const unsigned char *from, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325U;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ from[i]) * 0x100000001b3U;
    return sum;
}

// Makes a request its NUMBERth reply.
static void turn_into_reply(struct datagram *d, int number)
{
    if (options.reply_size >= 0) {
        uint64_t sum = digest(d->bytes, d->size);

        d->size = (size_t)options.reply_size;
        fill(d->bytes, d->size, sum + (uint64_t)number);
        return;
    }
    for (size_t i = 0; number > 0 && i < d->size; i++)
        d->bytes[i] ^= (unsigned char)number;
}

static size_t request_size(int number)
{
    return (size_t)options.sizes[number % options.size_count];
}

static void make_request(struct datagram *d, const struct client *c, int number)
{
    d->size = request_size(number);
    fill(d->bytes, d->size, salt + ((uint64_t)c->number << 40) + ((uint64_t)number << 20));
}

// Addresses and sockets

static void resolve(struct endpoint *e, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV}, *found;
    int error = getaddrinfo(host, port, &hints, &found);

    if (error != 0)
        usage("datagram: %s %s: %s\n", host, port, gai_strerror(error));
    memset(e, 0, sizeof *e);
    memcpy(&e->address, found->ai_addr, found->ai_addrlen);
    e->size = found->ai_addrlen;
    freeaddrinfo(found);
}

// ADDR, ADDR:PORT or [ADDR]:PORT; a second colon belongs to an IPv6 address.
static void resolve_from(struct endpoint *e, const char *text)
{
    char host[256];
    const char *colon = strchr(text, ':'), *port = "0";

    snprintf(host, sizeof host, "%s", text);
    if (text[0] == '[') {
        size_t length = strcspn(text + 1, "]");

        if (strncmp(text + 1 + length, "]:", 2) != 0)
            usage("datagram: found \"%s\", expected [ADDR]:PORT\n", text);
        port = text + length + 3;
        snprintf(host, sizeof host, "%.*s", (int)length, text + 1);
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        port = colon + 1;
        host[colon - text] = '\0';
    }
    resolve(e, host, port);
}

static const char *show(const struct endpoint *e)
{
    static char text[2][ADDRESS_TEXT];
    static int turn;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    turn = !turn;
    if (getnameinfo(&e->address.any, e->size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        fail("an address that can't be printed");
    snprintf(text[turn], sizeof text[turn], "%.*s %.8s", INET6_ADDRSTRLEN + 16, host, port);
    return text[turn];
}

static bool same(const struct endpoint *a, const struct endpoint *b)
{
    if (a->address.any.sa_family != b->address.any.sa_family)
        return false;
    if (a->address.any.sa_family == AF_INET)
        return a->address.v4.sin_port == b->address.v4.sin_port &&
               a->address.v4.sin_addr.s_addr == b->address.v4.sin_addr.s_addr;
    return a->address.v6.sin6_port == b->address.v6.sin6_port &&
           a->address.v6.sin6_scope_id == b->address.v6.sin6_scope_id &&
           memcmp(&a->address.v6.sin6_addr, &b->address.v6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

// Whatever the limits let us have: the tests are to lose nothing at this end.
static void enlarge(int fd)
{
    int bytes = BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int new_socket(const struct endpoint *bound, int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), no = 0, yes = 1;
    struct timeval limit = {.tv_sec = options.deadline_ms / 1000 + 1};

    if (fd < 0)
        fail("unable to make a socket: %s", strerror(errno));
    enlarge(fd);
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) < 0)
        fail("unable to take IPv4 with IPv6: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) < 0)
        fail("unable to allow broadcasts: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        fail("unable to limit the time to send: %s", strerror(errno));
    if (bound != NULL && bind(fd, &bound->address.any, bound->size) < 0)
        fail("unable to bind to %s: %s", show(bound), strerror(errno));
    return fd;
}

static int client_socket(const struct endpoint *target)
{
    struct endpoint from;

    if (options.from == NULL)
        return new_socket(NULL, target->address.any.sa_family);
    resolve_from(&from, options.from);
    return new_socket(&from, from.address.any.sa_family);
}

static void send_to(int fd, const struct endpoint *to, const void *bytes, size_t size)
{
    ssize_t n;

    do
        n = sendto(fd, bytes, size, MSG_NOSIGNAL, &to->address.any, to->size);
    while (n < 0 && errno == EINTR && !stopping);
    if (n < 0 && !stopping)
        fail("unable to send %zu bytes to %s: %s", size, show(to), strerror(errno));
}

// The next datagram that is there already, if any.
static bool receive(int fd, struct datagram *d)
{
    ssize_t n;

    d->from.size = sizeof d->from.address;
    do
        n = recvfrom(fd, d->bytes, sizeof d->bytes, MSG_DONTWAIT, &d->from.address.any,
                     &d->from.size);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        fail("unable to receive: %s", strerror(errno));
    d->size = n < 0 ? 0 : (size_t)n;
    return n >= 0;
}

static bool await(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) > 0;
}

// The target

static void write_all(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno != EINTR)
            fail("unable to write: %s", strerror(errno));
        at += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
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

static void announce(int fd)
{
    struct endpoint own = {.size = sizeof own.address};
    char line[64], *port = line + strlen("listening ");

    if (getsockname(fd, &own.address.any, &own.size) < 0)
        fail("%s", strerror(errno));
    snprintf(line, sizeof line, "listening %d\n", ntohs(own.address.v4.sin_port));
    write_all(STDOUT_FILENO, line, strlen(line));
    write_port_file(port);
}

static void note(const struct datagram *d, int record_fd)
{
    char line[ADDRESS_TEXT + 32];

    if (options.print) {
        snprintf(line, sizeof line, "%s %zu\n", show(&d->from), d->size);
        write_all(STDOUT_FILENO, line, strlen(line));
    }
    if (record_fd >= 0)
        write_all(record_fd, d->bytes, d->size);
}

// Each reply is due DELAY after the one before.
static void hold_replies(struct reply ***end, const struct datagram *d)
{
    for (int i = 0; i < options.replies; i++) {
        struct reply *r;

        expected = *d;
        turn_into_reply(&expected, i);
        r = allocate(sizeof *r + expected.size);
        r->due_ms = now_ms() + (int64_t)(i + 1) * options.delay;
        r->to = d->from;
        r->size = expected.size;
        memcpy(r->bytes, expected.bytes, r->size);
        **end = r;
        *end = &r->next;
    }
}

// Sends what is due; those that come after are due later or never sent before.
static int64_t send_replies(int fd, struct reply **list, struct reply ***end)
{
    int64_t next_ms = INT64_MAX, at_ms = now_ms();

    for (struct reply **place = list; *place != NULL;) {
        struct reply *r = *place;

        if (r->due_ms <= at_ms) {
            send_to(fd, &r->to, r->bytes, r->size);
            *place = r->next;
            free(r);
            continue;
        }
        next_ms = r->due_ms < next_ms ? r->due_ms : next_ms;
        place = &r->next;
    }
    for (*end = list; **end != NULL; *end = &(**end)->next)
        ;
    return next_ms;
}

static int open_record(void)
{
    int fd = -1;

    if (options.record != NULL)
        fd = open(options.record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (options.record != NULL && fd < 0)
        fail("unable to write %s: %s", options.record, strerror(errno));
    return fd;
}

static int main_listen(char **list)
{
    struct reply *held = NULL, **end = &held;
    struct endpoint own;
    bool echo;
    int fd, record_fd;

    if (list[0] == NULL || list[1] == NULL || list[2] == NULL || list[3] != NULL)
        usage("datagram: expected ADDR PORT ACTION\n");
    echo = strcmp(list[2], "echo") == 0;
    if (!echo && strcmp(list[2], "mute") != 0)
        usage("datagram: unknown action %s\n", list[2]);
    resolve(&own, list[0], list[1]);
    fd = new_socket(&own, own.address.any.sa_family);
    record_fd = open_record();
    announce(fd);
    for (int come = 0; options.count == 0 || come < options.count || held != NULL;) {
        int64_t next_ms = send_replies(fd, &held, &end);

        if (options.count > 0 && come < options.count && until(until_ms) == 0)
            fail("%d of %d datagrams came by the deadline", come, options.count);
        if (options.count > 0 && until_ms < next_ms)
            next_ms = until_ms;
        if (options.count > 0 && come == options.count && held == NULL)
            break;
        if (!await(fd, next_ms == INT64_MAX ? -1 : until(next_ms)) || !receive(fd, &datagram))
            continue;
        come++;
        note(&datagram, record_fd);
        if (echo)
            hold_replies(&end, &datagram);
    }
    return 0;
}

// Clients

static int request_count(void)
{
    return options.size_count * options.rounds;
}

static void open_clients(const struct endpoint *target)
{
    clients = allocate(sizeof *clients * (size_t)options.clients);
    for (int i = 0; i < options.clients; i++) {
        struct client *c = &clients[i];
        size_t count = (size_t)request_count();

        c->number = i;
        c->fd = client_socket(target);
        c->sent = allocate(count * sizeof *c->sent);
        c->got = allocate(count * (size_t)(options.replies + 1) * sizeof *c->got);
    }
}

static uint16_t *got(const struct client *c, int request, int reply)
{
    return &c->got[(size_t)request * (size_t)options.replies + (size_t)reply];
}

static bool is_answered(const struct client *c, int request)
{
    for (int i = 0; i < options.replies; i++) {
        if (*got(c, request, i) == 0)
            return false;
    }
    return true;
}

static void send_request(struct client *c, const struct endpoint *target, int number)
{
    make_request(&expected, c, number);
    send_to(c->fd, target, expected.bytes, expected.size);
    if (c->sent[number]++ == UINT16_MAX)
        fail("a datagram was sent too often");
    c->sent_ms = now_ms();
    totals.sent++;
}

static void send_requests(struct client *c, const struct endpoint *target)
{
    while (c->next < request_count() && c->next < c->first + options.window)
        send_request(c, target, c->next++);
}

static void send_again(struct client *c, const struct endpoint *target)
{
    for (int i = c->first; i < c->next; i++) {
        if (is_answered(c, i))
            continue;
        send_request(c, target, i);
        totals.sent--;
        totals.again++;
    }
}

static bool is_reply_to(const struct datagram *d, const struct client *c, int request, int reply)
{
    size_t size = options.reply_size >= 0 ? (size_t)options.reply_size : request_size(request);

    // A request can have as many replies of one kind as it was sent.
    if (size != d->size || *got(c, request, reply) >= c->sent[request])
        return false;
    make_request(&expected, c, request);
    turn_into_reply(&expected, reply);
    return memcmp(expected.bytes, d->bytes, size) == 0;
}

static bool is_expected(struct client *c, const struct datagram *d)
{
    for (int i = options.retry > 0 ? 0 : c->first; i < c->next; i++) {
        for (int k = 0; k < options.replies; k++) {
            if (is_reply_to(d, c, i, k)) {
                (*got(c, i, k))++;
                return true;
            }
            if (options.in_order && *got(c, i, k) == 0)
                return false;
        }
    }
    return false;
}

static void take_reply(struct client *c, const struct endpoint *source)
{
    const struct datagram *d = &datagram;

    if (!same(&d->from, source))
        fail("client %d: %zu bytes from %s, expected them from %s", c->number, d->size,
             show(&d->from), show(source));
    if (options.expect_none >= 0)
        fail("client %d: expected nothing, got %zu bytes", c->number, d->size);
    if (!is_expected(c, d))
        fail("client %d: got %zu bytes that are not what was expected, after %llu replies",
             c->number, d->size, totals.got);
    totals.got++;
    while (c->first < c->next && is_answered(c, c->first))
        c->first++;
}

static bool is_done(const struct client *c)
{
    return options.expect_none < 0 && c->first == request_count();
}

// Waits for the clients that are not done; true if one can read. Sends again what is overdue.
static bool await_clients(struct pollfd *polled, const struct endpoint *target, int64_t end_ms)
{
    int64_t next_ms = end_ms;

    for (int i = 0; i < options.clients; i++) {
        struct client *c = &clients[i];

        polled[i] = (struct pollfd){.fd = is_done(c) ? -1 : c->fd, .events = POLLIN};
        if (options.retry == 0 || is_done(c))
            continue;
        if (c->sent_ms + options.retry <= now_ms())
            send_again(c, target);
        if (c->sent_ms + options.retry < next_ms)
            next_ms = c->sent_ms + options.retry;
    }
    return poll(polled, (nfds_t)options.clients, until(next_ms)) > 0;
}

static void report_missing(void)
{
    int waiting = 0, first = -1;

    for (int i = 0; i < options.clients; i++) {
        if (is_done(&clients[i]))
            continue;
        waiting++;
        first = first < 0 ? i : first;
    }
    fail("%d of %d clients miss replies at the deadline; client %d one to datagram %d, of %zu "
         "bytes; %llu sent, %llu got, %llu again",
         waiting, options.clients, first, clients[first].first + 1,
         request_size(clients[first].first), totals.sent, totals.got, totals.again);
}

static bool all_done(void)
{
    for (int i = 0; i < options.clients; i++) {
        if (!is_done(&clients[i]))
            return false;
    }
    return true;
}

static void converse(const struct endpoint *target, const struct endpoint *source)
{
    struct pollfd *polled = allocate(sizeof *polled * (size_t)options.clients);
    int64_t end_ms = options.expect_none >= 0 ? now_ms() + options.expect_none : until_ms;

    while (!all_done()) {
        if (now_ms() >= end_ms && options.expect_none >= 0)
            break;
        if (now_ms() >= end_ms)
            report_missing();
        if (!await_clients(polled, target, end_ms))
            continue;
        for (int i = 0; i < options.clients; i++) {
            if (polled[i].revents == 0 || !receive(clients[i].fd, &datagram))
                continue;
            take_reply(&clients[i], source);
            send_requests(&clients[i], target);
        }
    }
    free(polled);
}

static void parse_target(struct endpoint *target, char **list)
{
    if (list[0] == NULL || list[1] == NULL)
        usage("datagram: expected ADDR PORT\n");
    resolve(target, list[0], list[1]);
}

static int main_ask(char **list)
{
    struct endpoint target, source;

    parse_target(&target, list);
    if (list[2] != NULL)
        usage("datagram: %s is too much\n", list[2]);
    resolve(&source, options.expect_from != NULL ? options.expect_from : list[0], list[1]);
    open_clients(&target);
    if (options.replies == 0 || options.expect_none >= 0)
        options.window = request_count();
    for (int i = 0; i < options.clients; i++)
        send_requests(&clients[i], &target);
    if (options.replies > 0 || options.expect_none >= 0)
        converse(&target, &source);
    printf("%llu sent, %llu got, %llu again\n", totals.sent, totals.got, totals.again);
    return 0;
}

static int main_say(char **list)
{
    struct endpoint target;
    int fd;

    parse_target(&target, list);
    if (list[2] == NULL)
        usage("datagram: no text\n");
    fd = client_socket(&target);
    for (char **text = list + 2; *text != NULL; text++) {
        send_to(fd, &target, *text, strlen(*text));
        for (int i = 0; i < options.replies; i++) {
            while (!receive(fd, &datagram)) {
                if (until(until_ms) == 0)
                    fail("no reply to \"%s\" by the deadline", *text);
                await(fd, until(until_ms));
            }
            if (!same(&datagram.from, &target))
                fail("a reply came from %s", show(&datagram.from));
            write_all(STDOUT_FILENO, datagram.bytes, datagram.size);
            write_all(STDOUT_FILENO, "\n", 1);
        }
    }
    return 0;
}

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static int main_flood(char **list)
{
    struct sigaction on_signal = {.sa_handler = stop};
    struct endpoint target;
    int64_t end_ms = now_ms() + options.for_ms;

    parse_target(&target, list);
    sigaction(SIGTERM, &on_signal, NULL);
    sigaction(SIGINT, &on_signal, NULL);
    open_clients(&target);
    make_request(&expected, &clients[0], 0);
    for (int round = 0; !stopping && (round == 0 || now_ms() < end_ms); round++) {
        for (int i = 0; i < options.clients && !stopping; i++) {
            send_to(clients[i].fd, &target, expected.bytes, request_size(round));
            totals.sent++;
            while (receive(clients[i].fd, &datagram))
                totals.got++;
        }
    }
    printf("%llu sent, %llu got\n", totals.sent, totals.got);
    return 0;
}

// Options

static int parse_number(const char *text, int most)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end != '\0' || n > most)
        usage("datagram: found \"%s\", expected a number up to %d\n", text, most);
    return (int)n;
}

static void parse_sizes(const char *text)
{
    char *copy = strdup(text), *rest = copy;

    if (copy == NULL)
        fail("%s", strerror(errno));
    for (options.size_count = 0; rest != NULL; options.size_count++) {
        if (options.size_count == SIZES_MAX)
            usage("datagram: more than %d sizes\n", SIZES_MAX);
        options.sizes[options.size_count] = parse_number(strsep(&rest, ","), DATAGRAM_MAX);
    }
    free(copy);
}

static void parse_deadline(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds > 0 && seconds < 1e6))
        usage("datagram: found \"%s\", expected seconds\n", text);
    options.deadline_ms = (int)(seconds * 1000);
}

// What follows the name and "=", if TEXT is that option.
static const char *value_of(const char *text, const char *name)
{
    size_t length = strlen(name);

    return strncmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

static bool parse_text_option(const char *text)
{
    const struct {
        const char *name;
        const char **to;
    } table[] = {{"--from", &options.from},
                 {"--port-file", &options.port_file},
                 {"--record", &options.record},
                 {"--expect-from", &options.expect_from}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (value_of(text, table[i].name) != NULL) {
            *table[i].to = value_of(text, table[i].name);
            return true;
        }
    }
    return false;
}

static bool parse_number_option(const char *text)
{
    const struct {
        const char *name;
        int *to, least, most;
    } table[] = {{"--clients", &options.clients, 1, 10000},
                 {"--rounds", &options.rounds, 1, 10000},
                 {"--window", &options.window, 1, 10000},
                 {"--replies", &options.replies, 0, 255},
                 {"--reply-size", &options.reply_size, 0, DATAGRAM_MAX},
                 {"--count", &options.count, 1, INT_MAX},
                 {"--delay", &options.delay, 0, INT_MAX},
                 {"--expect-none", &options.expect_none, 0, INT_MAX},
                 {"--retry", &options.retry, 1, INT_MAX},
                 {"--for", &options.for_ms, 1, INT_MAX}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *value = value_of(text, table[i].name);

        if (value == NULL)
            continue;
        *table[i].to = parse_number(value, table[i].most);
        if (*table[i].to < table[i].least)
            usage("datagram: %s is too small\n", text);
        return true;
    }
    return false;
}

static char **parse_options(char **list)
{
    for (; *list != NULL && strncmp(*list, "--", 2) == 0; list++) {
        if (value_of(*list, "--deadline") != NULL)
            parse_deadline(value_of(*list, "--deadline"));
        else if (value_of(*list, "--sizes") != NULL)
            parse_sizes(value_of(*list, "--sizes"));
        else if (strcmp(*list, "--print") == 0)
            options.print = true;
        else if (strcmp(*list, "--in-order") == 0)
            options.in_order = true;
        else if (!parse_text_option(*list) && !parse_number_option(*list))
            usage("datagram: unknown option %s\n", *list);
    }
    until_ms = now_ms() + options.deadline_ms;
    return list;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(char **);
    } verbs[] = {
        {"listen", main_listen}, {"ask", main_ask}, {"say", main_say}, {"flood", main_flood}};

    if (getrandom(&salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        salt = (uint64_t)getpid() << 32;
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(parse_options(argv + 2));
    }
    usage("%s", argc > 1 ? "datagram: unknown verb\n" : "");
}
