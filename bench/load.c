// SPDX-License-Identifier: ISC
//
// load: the client of the benchmark. Each verb puts one shape of work on ADDRESS PORT, behind which
// is `serve`, checks all that comes back, and prints what it took as KEY=VALUE, a line. What is not
// as it must be is an error.
//
// Exit status: 0 all came back right; 1 it did not, or the system failed; 2 usage.
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define EVENTS_MAX  64
#define SENDS_MAX   4
#define STREAMS_MAX 20000
#define PATIENCE_S  20 // no answer for so long is a failure

static const char usage_text[] =
    "usage: load connections [--at-once=N] [--seconds=S] ADDRESS PORT\n"
    "       load down|up|both [--bytes=N] [--streams=N] [--check-all] [--damage=N] ADDRESS PORT\n"
    "       load request [--bytes=N] [--seconds=S] [--damage=N] ADDRESS PORT\n"
    "       load byte [--seconds=S] ADDRESS PORT\n"
    "       load hold [--streams=N] [--bytes=N] ADDRESS PORT\n"
    "connections: connect, a byte there and back, close; in a row, or N at once\n"
    "down, up, both: N bytes on each of N streams at once\n"
    "request: N bytes there and N back, again and again on one connection; byte: one\n"
    "hold: N idle connections, each having exchanged a byte, or N bytes in bulk before it is "
    "idle;\n"
    "      prints held=N, waits for a line on standard input, and has all of them answer once "
    "more\n"
    "--check-all: compare all of a stream, at both ends; --damage: spoil byte number N sent\n";

struct work {
    const char *verb;
    enum stream_kind kind;
    struct sockaddr_in address;
    double seconds;
    uint64_t bytes;
    unsigned streams;
    bool check_all;
    uint64_t damaged_byte;
};

// One connection of several.
struct stream {
    int fd;
    uint64_t sent, received; // of the content
    bool answered;           // the server's verdict has come
};

static unsigned char buffer[STREAM_CHUNK];

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// A connected socket whose reads and writes give up in the end.
static int dial(const struct work *work)
{
    const struct timeval patience = {PATIENCE_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        connect(fd, (const struct sockaddr *)&work->address, sizeof work->address) < 0)
        stream_die("connect");
    return fd;
}

static void write_all(int fd, const unsigned char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, bytes + done, size - done, MSG_NOSIGNAL);

        if (n < 0)
            stream_die("send");
        done += (size_t)n;
    }
}

static void read_all(int fd, unsigned char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(fd, bytes + done, size - done, 0);

        if (n < 0)
            stream_die("receive");
        if (n == 0)
            fail("a connection ended early");
        done += (size_t)n;
    }
}

// SIZE bytes of the content from POSITION on, at most STREAM_CHUNK, as the server is to get them.
static const unsigned char *content(const struct work *work, uint64_t position, size_t size)
{
    static unsigned char damaged[STREAM_CHUNK];
    const unsigned char *bytes = stream_content(position);

    if (work->damaged_byte - position >= size)
        return bytes;
    memcpy(damaged, bytes, size);
    damaged[work->damaged_byte - position] ^= 1;
    return damaged;
}

static void send_header(int fd, unsigned kind, uint64_t size)
{
    unsigned char header[STREAM_HEADER_BYTES] = {(unsigned char)kind};

    memcpy(header + 1, &size, sizeof size);
    write_all(fd, header, sizeof header);
}

static void echo_byte(int fd)
{
    unsigned char byte = STREAM_ECHO;

    write_all(fd, &byte, 1);
    byte = 0;
    read_all(fd, &byte, 1);
    if (byte != STREAM_ECHO)
        fail("the byte that came back is another one");
}

static void print_rate(uint64_t count, double seconds)
{
    printf("count=%" PRIu64 " seconds=%.4f rate=%.1f us=%.2f\n", count, seconds,
           (double)count / seconds, seconds * 1e6 / (double)count);
}

static void connect_in_a_row(const struct work *work)
{
    double start = now_s();
    uint64_t count = 0;

    do {
        int fd = dial(work);

        echo_byte(fd);
        close(fd);
        count++;
    } while (now_s() - start < work->seconds);
    print_rate(count, now_s() - start);
}

// Connects without waiting for it; the byte is on its way as soon as the connection stands.
static void begin_echo(const struct work *work, struct stream *stream, int epoll)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = stream};
    int on = 1;

    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream->fd < 0 || setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        (connect(stream->fd, (const struct sockaddr *)&work->address, sizeof work->address) < 0 &&
         errno != EINPROGRESS))
        stream_die("connect");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, stream->fd, &event) < 0)
        stream_die("watch a connection");
    stream->sent = 0;
}

// True when the byte has come back.
static bool go_on_echo(struct stream *stream, int epoll)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    unsigned char byte = STREAM_ECHO;

    if (stream->sent == 0) {
        write_all(stream->fd, &byte, 1);
        stream->sent = 1;
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, stream->fd, &event) < 0)
            stream_die("watch a connection");
        return false;
    }
    byte = 0;
    read_all(stream->fd, &byte, 1);
    if (byte != STREAM_ECHO)
        fail("the byte that came back is another one");
    close(stream->fd);
    return true;
}

static void connect_at_once(const struct work *work, struct stream *streams)
{
    struct epoll_event events[EVENTS_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned open = 0;
    double start = now_s();
    uint64_t count = 0;

    for (; open < work->streams; open++)
        begin_echo(work, &streams[open], epoll);
    while (open > 0) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, PATIENCE_S * 1000);
        bool over = now_s() - start >= work->seconds;

        if (n <= 0)
            fail("no answer");
        for (int i = 0; i < n; i++) {
            if (!go_on_echo(events[i].data.ptr, epoll))
                continue;
            count++;
            if (over)
                open--;
            else
                begin_echo(work, events[i].data.ptr, epoll);
        }
    }
    close(epoll);
    print_rate(count, now_s() - start);
}

static void connections(const struct work *work, struct stream *streams)
{
    if (work->streams == 1)
        connect_in_a_row(work);
    else
        connect_at_once(work, streams);
}

static void request(const struct work *work, struct stream *streams)
{
    size_t size = work->bytes;
    unsigned char *answer = malloc(size);
    uint64_t count = 0;
    double start;
    int fd = dial(work);

    (void)streams;
    if (size > STREAM_CHUNK || size == 0 || !answer)
        fail("a request has 1 to 262144 bytes");
    send_header(fd, STREAM_REQUEST, size);
    start = now_s();
    do {
        write_all(fd, content(work, count * size, size), size);
        read_all(fd, answer, size);
        if (!stream_check(answer, size, count * size, true))
            fail("the answer is damaged");
        count++;
    } while (now_s() - start < work->seconds);
    print_rate(count, now_s() - start);
    close(fd);
    free(answer);
}

static void echo_again_and_again(const struct work *work, struct stream *streams)
{
    double start = now_s();
    uint64_t count = 0;
    int fd = dial(work);

    (void)streams;
    do {
        echo_byte(fd);
        count++;
    } while (now_s() - start < work->seconds);
    print_rate(count, now_s() - start);
    close(fd);
}

static bool has_upward(const struct work *work)
{
    return work->kind == STREAM_UP || work->kind == STREAM_BOTH;
}

static void give(const struct work *work, struct stream *stream)
{
    for (int i = 0; i < SENDS_MAX && has_upward(work) && stream->sent < work->bytes; i++) {
        uint64_t left = work->bytes - stream->sent;
        size_t part = left < STREAM_CHUNK ? (size_t)left : STREAM_CHUNK;
        ssize_t n =
            send(stream->fd, content(work, stream->sent, part), part, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
            stream_die("send");
        stream->sent += n > 0 ? (uint64_t)n : 0;
        if (n < (ssize_t)part)
            break;
    }
}

static void end_of_stream(const struct work *work, const struct stream *stream)
{
    uint64_t due = work->kind == STREAM_UP ? 0 : work->bytes;

    if (stream->received < due || (has_upward(work) && !stream->answered))
        fail("a stream ended early");
}

// Reads once. False at the end of the stream, if it is where it must be.
static bool take(const struct work *work, struct stream *stream)
{
    uint64_t due = work->kind == STREAM_UP ? 0 : work->bytes;
    ssize_t n = recv(stream->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    size_t size = n > 0 ? (size_t)n : 0;

    if (n < 0 && errno != EAGAIN)
        stream_die("receive");
    if (n == 0) {
        end_of_stream(work, stream);
        return false;
    }
    if (size > due - stream->received) {
        size--;
        if (!has_upward(work) || stream->answered || size > due - stream->received)
            fail("more has come than was asked for");
        if (buffer[size] != STREAM_GOOD)
            fail("the server says that the stream upward is damaged");
        stream->answered = true;
    }
    if (!stream_check(buffer, size, stream->received, work->check_all))
        fail("the stream is damaged");
    stream->received += size;
    return true;
}

static void watch(int epoll, int operation, const struct work *work, struct stream *stream)
{
    bool more = has_upward(work) && stream->sent < work->bytes;
    struct epoll_event event = {.events = EPOLLIN | (more ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = stream};

    if (epoll_ctl(epoll, operation, stream->fd, &event) < 0)
        stream_die("watch a connection");
}

static void open_stream(const struct work *work, struct stream *stream, int epoll)
{
    stream->fd = dial(work);
    send_header(stream->fd, work->kind | (work->check_all ? STREAM_WHOLE : 0u), work->bytes);
    watch(epoll, EPOLL_CTL_ADD, work, stream);
}

// All streams at once, until each has ended as it must.
static void run_streams(const struct work *work, struct stream *streams)
{
    struct epoll_event events[EVENTS_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned open = 0;

    for (; open < work->streams; open++)
        open_stream(work, &streams[open], epoll);
    while (open > 0) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, PATIENCE_S * 1000);

        if (n <= 0)
            fail("no byte has moved for too long");
        for (int i = 0; i < n; i++) {
            struct stream *stream = events[i].data.ptr;

            if (events[i].events & EPOLLOUT) {
                give(work, stream);
                if (stream->sent == work->bytes)
                    watch(epoll, EPOLL_CTL_MOD, work, stream);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) && !take(work, stream)) {
                close(stream->fd);
                open--;
            }
        }
    }
    close(epoll);
}

static void bulk(const struct work *work, struct stream *streams)
{
    double start = now_s(), seconds, gib;

    run_streams(work, streams);
    seconds = now_s() - start;
    gib = (double)work->bytes * work->streams * (work->kind == STREAM_BOTH ? 2 : 1) / (1 << 30);
    printf("gib=%.6f seconds=%.4f rate=%.4f\n", gib, seconds, gib / seconds);
}

// A byte there and back or, where BYTES in bulk are asked for, one large request and its answer.
static void exchange(const struct work *work, struct stream *stream)
{
    if (work->bytes == 0) {
        echo_byte(stream->fd);
        return;
    }
    if (stream->sent == 0)
        send_header(stream->fd, STREAM_REQUEST, STREAM_CHUNK);
    write_all(stream->fd, stream_content(stream->sent), STREAM_CHUNK);
    read_all(stream->fd, buffer, STREAM_CHUNK);
    if (!stream_check(buffer, STREAM_CHUNK, stream->sent, true))
        fail("the answer is damaged");
    stream->sent += STREAM_CHUNK;
}

static void hold(const struct work *work, struct stream *streams)
{
    double start = now_s();
    char line[16];

    for (unsigned i = 0; i < work->streams; i++) {
        streams[i].fd = dial(work);
        do
            exchange(work, &streams[i]);
        while (streams[i].sent < work->bytes);
    }
    printf("held=%u seconds=%.4f\n", work->streams, now_s() - start);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        fail("nobody said when to end");
    start = now_s();
    for (unsigned i = 0; i < work->streams; i++)
        exchange(work, &streams[i]);
    printf("answered=%u seconds=%.4f\n", work->streams, now_s() - start);
}

static const struct verb {
    const char *name;
    void (*run)(const struct work *work, struct stream *streams);
    enum stream_kind kind;
    uint64_t bytes;
} verbs[] = {
    {"connections", connections, STREAM_ECHO, 0},
    {"down", bulk, STREAM_DOWN, 1 << 30},
    {"up", bulk, STREAM_UP, 1 << 30},
    {"both", bulk, STREAM_BOTH, 1 << 29},
    {"request", request, STREAM_REQUEST, 65536},
    {"byte", echo_again_and_again, STREAM_ECHO, 0},
    {"hold", hold, STREAM_ECHO, 0},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (name && strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static bool take_option(const char *argument, struct work *work)
{
    const char *value = strchr(argument, '=');

    if (strcmp(argument, "--check-all") == 0)
        work->check_all = true;
    else if (!value || !value[1])
        return false;
    else if (strncmp(argument, "--seconds=", 10) == 0)
        work->seconds = strtod(value + 1, NULL);
    else if (strncmp(argument, "--bytes=", 8) == 0)
        work->bytes = strtoull(value + 1, NULL, 10);
    else if (strncmp(argument, "--damage=", 9) == 0)
        work->damaged_byte = strtoull(value + 1, NULL, 10);
    else if (strncmp(argument, "--streams=", 10) == 0 || strncmp(argument, "--at-once=", 10) == 0)
        work->streams = (unsigned)strtoul(value + 1, NULL, 10);
    else
        return false;
    return work->streams > 0 && work->streams <= STREAMS_MAX;
}

int main(int argc, char **argv)
{
    static struct stream streams[STREAMS_MAX];
    const struct verb *verb = find_verb(argc > 1 ? argv[1] : NULL);
    struct work work = {.seconds = 1, .streams = 1, .damaged_byte = UINT64_MAX};
    int i = 2;

    if (!verb) {
        fputs(usage_text, stderr);
        return 2;
    }
    work.kind = verb->kind;
    work.bytes = verb->bytes;
    while (i < argc && strncmp(argv[i], "--", 2) == 0 && take_option(argv[i], &work))
        i++;
    if (argc - i != 2 || !stream_address(argv[i], argv[i + 1], &work.address)) {
        fputs(usage_text, stderr);
        return 2;
    }
    stream_raise_files();
    verb->run(&work, streams);
    return 0;
}
