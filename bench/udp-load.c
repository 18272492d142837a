// SPDX-License-Identifier: ISC
//
// udp-load: the clients of the benchmark of UDP. Each verb puts one shape of work on ADDRESS PORT,
// behind which is `udp-serve`, checks all that comes back, and prints what it took as KEY=VALUE, a
// line. A datagram that does not come back is counted as lost; one that is spoiled, comes twice or
// comes to another client is an error.
//
// Exit status: 0 what came back was right; 1 it was not, or the system failed; 2 usage.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datagram.h"
#include "stream.h"

#define CLIENTS_MAX 1000
#define WINDOW_MAX  DATAGRAM_BATCH
#define REMEMBERED  (4 * WINDOW_MAX) // of a client's last datagrams: which of them have come back
#define EVENTS_MAX  64
#define PATIENCE_S  20
#define TIMES_MAX   4000000

static const char usage_text[] =
    "usage: udp-load flow [--clients=N] [--window=N] [--bytes=N] [--from=PORT] [--seconds=S] "
    "ADDRESS PORT\n"
    "       udp-load paced --rate=N [--clients=N] [--bytes=N] [--from=PORT] [--seconds=S] ADDRESS "
    "PORT\n"
    "       udp-load sessions [--clients=N] [--bytes=N] [--seconds=S] ADDRESS PORT\n"
    "       udp-load greet [--clients=N] [--bytes=N] [--from=PORT] ADDRESS PORT\n"
    "flow: each client has so many datagrams on their way at any moment\n"
    "paced: so many a second, from one client after the other\n"
    "sessions: each datagram from a port of its own, from so many at any moment\n"
    "greet: each client has one answer, one client after the other\n"
    "--from: clients have fixed ports, from this one on, so that they find their sessions again\n"
    "--lost-after=S: what has not come back by then is lost; 0.2 by default\n"
    "--damage: spoil what is sent\n";

struct work {
    double seconds, rate;
    double lost_s; // what has not come back after that long has been lost
    unsigned clients, window;
    size_t bytes;
    uint16_t from;
    bool damage;
    struct sockaddr_in address;
};

struct client {
    int fd;
    uint32_t id, next;         // the number of its next datagram
    unsigned outstanding;      // of what it sent, what may still come back
    double heard;              // when it last sent after silence, or heard
    double sent_at;            // its last one
    bool answered[REMEMBERED]; // by number
};

static struct client clients[CLIENTS_MAX];
static unsigned char bytes[DATAGRAM_BATCH][DATAGRAM_BYTES_MAX + 1];
static float times_us[TIMES_MAX];
static size_t times_count;
static uint64_t sent_count, come_count, empty_count;
static double come_last;
static uint32_t run;
static int epoll;

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "udp-load: %s\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void open_client(const struct work *work, struct client *client)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    static uint32_t ids;

    *client = (struct client){.id = ids++};
    client->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        stream_die("have a socket");
    here.sin_port = htons((uint16_t)(work->from + client->id));
    if (work->from > 0 && bind(client->fd, (struct sockaddr *)&here, sizeof here) < 0)
        stream_die("have a port of its own");
    if (connect(client->fd, (const struct sockaddr *)&work->address, sizeof work->address) < 0)
        stream_die("connect");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        stream_die("watch a socket");
}

// Socat has no socket for a moment after each new client: then a datagram is refused, and lost.
static bool is_loss(int error)
{
    return error == EAGAIN || error == ECONNREFUSED;
}

static void send_some(const struct work *work, struct client *client, unsigned count)
{
    struct mmsghdr messages[DATAGRAM_BATCH] = {0};
    struct iovec parts[DATAGRAM_BATCH];
    struct datagram_header header = {DATAGRAM_REQUEST, run, client->id, client->next};
    int n;

    for (unsigned i = 0; i < count; i++, header.number++) {
        datagram_make(bytes[i], work->bytes, &header);
        bytes[i][work->bytes - 1] ^= work->damage;
        parts[i] = (struct iovec){bytes[i], work->bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        client->answered[header.number % REMEMBERED] = false;
    }
    client->sent_at = now_s();
    if (client->outstanding == 0)
        client->heard = client->sent_at;
    n = sendmmsg(client->fd, messages, count, 0);
    if (n < 0 && errno == ECONNREFUSED)
        n = sendmmsg(client->fd, messages, count, 0);
    if (n < 0 && !is_loss(errno))
        stream_die("send");
    n = n > 0 ? n : 0;
    client->next += (uint32_t)n;
    client->outstanding += (unsigned)n;
    sent_count += (uint64_t)n;
}

// One that has come back, at NOW. Answers of an earlier process to the same port are passed over.
// So are empty ones, which nobody sends here but rinetd: it makes them up, and nobody could measure
// it else.
static void check(const struct work *work, struct client *client, const unsigned char *datagram,
                  size_t size, double now)
{
    struct datagram_header header;
    bool sound = datagram_check(datagram, size, &header);

    if (size == 0) {
        empty_count++;
        return;
    }
    if (size >= sizeof header && header.run != run)
        return;
    if (size >= sizeof header && header.kind == DATAGRAM_BAD)
        fail("the server says that a datagram is damaged");
    if (!sound || header.kind != DATAGRAM_ANSWER || size != work->bytes)
        fail("a datagram is damaged");
    if (header.client != client->id)
        fail("a datagram has come to another client");
    if (client->next - header.number - 1 >= REMEMBERED)
        fail("a datagram has come that was not sent, or long ago");
    if (client->answered[header.number % REMEMBERED])
        fail("a datagram has come twice");
    client->answered[header.number % REMEMBERED] = true;
    client->outstanding -= client->outstanding > 0;
    client->heard = now;
    come_count++;
    come_last = now;
    if (header.number == client->next - 1 && times_count < TIMES_MAX)
        times_us[times_count++] = (float)((now - client->sent_at) * 1e6);
}

static void take(const struct work *work, struct client *client)
{
    struct mmsghdr messages[DATAGRAM_BATCH] = {0};
    struct iovec parts[DATAGRAM_BATCH];
    double now;
    int n;

    for (unsigned i = 0; i < work->window; i++) {
        parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    n = recvmmsg(client->fd, messages, work->window, 0, NULL);
    if (n < 0 && !is_loss(errno))
        stream_die("receive");
    now = now_s();
    for (int i = 0; i < n; i++)
        check(work, client, bytes[i], messages[i].msg_len, now);
}

static bool has_lost(const struct work *work, const struct client *client, double now)
{
    return client->outstanding > 0 && now - client->heard >= work->lost_s;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

// Where there is but one of a client on its way, the time each took is known.
static void print_result(const struct work *work, double start, bool with_times)
{
    double seconds = come_last - start > work->seconds ? come_last - start : work->seconds;

    if (come_count == 0)
        fail("nothing has come back");
    printf("count=%" PRIu64 " seconds=%.4f rate=%.1f lost=%.4f made_up=%.4f", come_count, seconds,
           (double)come_count / seconds,
           100.0 * (double)(sent_count - come_count) / (double)sent_count,
           (double)empty_count / (double)come_count);
    if (with_times) {
        qsort(times_us, times_count, sizeof *times_us, compare);
        printf(" us=%.2f us_99=%.2f", (double)times_us[times_count / 2],
               (double)times_us[times_count * 99 / 100]);
    }
    putchar('\n');
}

// Waits until UNTIL at the latest for something to come, and takes it.
static void take_ready(const struct work *work, double until)
{
    struct epoll_event events[EVENTS_MAX];
    double left = until - now_s();
    struct timespec patience = {0, 0};
    int n;

    if (left > 0) {
        patience.tv_sec = (time_t)left;
        patience.tv_nsec = (long)((left - (double)patience.tv_sec) * 1e9);
    }
    n = epoll_pwait2(epoll, events, EVENTS_MAX, &patience, NULL);
    if (n < 0)
        stream_die("wait");
    for (int i = 0; i < n; i++)
        take(work, events[i].data.ptr);
}

// What is still on its way, until nothing has come for so long that it is lost.
static void take_rest(const struct work *work)
{
    double since = now_s();

    while (come_count < sent_count) {
        double last = come_last > since ? come_last : since;

        if (now_s() - last >= work->lost_s)
            break;
        take_ready(work, last + work->lost_s);
    }
}

static void open_all(const struct work *work)
{
    for (unsigned i = 0; i < work->clients; i++)
        open_client(work, &clients[i]);
}

// One client after the other, each again until it has its answer: half of the contenders mix up
// those that begin at once.
static void greet(const struct work *work)
{
    double start = now_s();

    open_all(work);
    for (unsigned i = 0; i < work->clients; i++) {
        struct client *client = &clients[i];

        do {
            send_some(work, client, 1);
            while (client->outstanding > 0 && !has_lost(work, client, now_s()))
                take_ready(work, client->sent_at + work->lost_s);
            if (now_s() - start > PATIENCE_S)
                fail("no answer");
        } while (client->next == 0 || !client->answered[(client->next - 1) % REMEMBERED]);
    }
    print_result(work, start, false);
}

// Clients that have been silent for so long that what they sent must be lost begin again.
static void send_again(const struct work *work, double now)
{
    for (unsigned i = 0; i < work->clients; i++) {
        if (!has_lost(work, &clients[i], now))
            continue;
        clients[i].outstanding = 0;
        send_some(work, &clients[i], work->window);
    }
}

static void flow(const struct work *work)
{
    struct epoll_event events[EVENTS_MAX];
    double start, checked, now;

    open_all(work);
    start = checked = now = now_s();
    for (unsigned i = 0; i < work->clients; i++)
        send_some(work, &clients[i], work->window);
    while (now - start < work->seconds) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, 10);

        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;

            take(work, client);
            send_some(work, client, work->window - client->outstanding);
        }
        now = now_s();
        if (now - checked >= work->lost_s / 10) {
            send_again(work, now);
            checked = now;
        }
    }
    take_rest(work);
    print_result(work, start, work->window == 1);
}

// A client whose last one is still on its way lets its turn pass.
static void paced(const struct work *work)
{
    double start, due;

    if (work->rate <= 0)
        fail("paced needs a rate");
    open_all(work);
    prctl(PR_SET_TIMERSLACK, 1UL);
    start = now_s();
    for (uint64_t turn = 0; (due = start + (double)turn / work->rate) < start + work->seconds;
         turn++) {
        struct client *client = &clients[turn % work->clients];

        while (now_s() < due)
            take_ready(work, due);
        if (has_lost(work, client, now_s()))
            client->outstanding = 0;
        if (client->outstanding == 0)
            send_some(work, client, 1);
    }
    take_rest(work);
    print_result(work, start, true);
}

static void begin_session(const struct work *work, struct client *client)
{
    open_client(work, client);
    send_some(work, client, 1);
}

static void sessions(const struct work *work)
{
    struct epoll_event events[EVENTS_MAX];
    double start = now_s(), now = start;
    unsigned open = work->clients;

    for (unsigned i = 0; i < work->clients; i++)
        begin_session(work, &clients[i]);
    while (open > 0) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, 10);

        for (int i = 0; i < n; i++)
            take(work, events[i].data.ptr);
        now = now_s();
        for (unsigned i = 0; i < work->clients; i++) {
            struct client *client = &clients[i];

            if (client->fd < 0 || (client->outstanding > 0 && !has_lost(work, client, now)))
                continue;
            close(client->fd);
            client->fd = -1;
            if (now - start >= work->seconds)
                open--;
            else
                begin_session(work, client);
        }
    }
    print_result(work, start, false);
}

static const struct verb {
    const char *name;
    void (*run)(const struct work *work);
} verbs[] = {{"greet", greet}, {"flow", flow}, {"paced", paced}, {"sessions", sessions}};

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

    if (strcmp(argument, "--damage") == 0)
        work->damage = true;
    else if (!value || !value[1])
        return false;
    else if (strncmp(argument, "--seconds=", 10) == 0)
        work->seconds = strtod(value + 1, NULL);
    else if (strncmp(argument, "--lost-after=", 13) == 0)
        work->lost_s = strtod(value + 1, NULL);
    else if (strncmp(argument, "--rate=", 7) == 0)
        work->rate = strtod(value + 1, NULL);
    else if (strncmp(argument, "--bytes=", 8) == 0)
        work->bytes = strtoull(value + 1, NULL, 10);
    else if (strncmp(argument, "--clients=", 10) == 0)
        work->clients = (unsigned)strtoul(value + 1, NULL, 10);
    else if (strncmp(argument, "--window=", 9) == 0)
        work->window = (unsigned)strtoul(value + 1, NULL, 10);
    else if (strncmp(argument, "--from=", 7) == 0)
        work->from = (uint16_t)strtoul(value + 1, NULL, 10);
    else
        return false;
    return work->clients > 0 && work->clients <= CLIENTS_MAX && work->window > 0 &&
           work->window <= WINDOW_MAX && work->bytes >= sizeof(struct datagram_header) &&
           work->bytes <= DATAGRAM_BYTES_MAX;
}

int main(int argc, char **argv)
{
    const struct verb *verb = find_verb(argc > 1 ? argv[1] : NULL);
    struct work work = {.seconds = 1, .lost_s = 0.2, .clients = 1, .window = 1, .bytes = 64};
    int i = 2;

    while (verb && i < argc && strncmp(argv[i], "--", 2) == 0 && take_option(argv[i], &work))
        i++;
    if (!verb || argc - i != 2 || !stream_address(argv[i], argv[i + 1], &work.address)) {
        fputs(usage_text, stderr);
        return 2;
    }
    stream_raise_files();
    run = (uint32_t)(uint64_t)(now_s() * 1e6);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        stream_die("wait for answers");
    verb->run(&work);
    return 0;
}
