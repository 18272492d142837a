// SPDX-License-Identifier: ISC
//
// serve: the target of the benchmark. See stream.h for what it does with a connection. With
// --damage=N it spoils each byte number N that it sends in bulk, so that a test can see that the
// load generator notices.
//
//     serve [--damage=N] ADDRESS PORT      prints "listening PORT"; port 0 is a free one
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define EVENTS_MAX  64
#define ACCEPTS_MAX 64
#define SENDS_MAX   4
#define BACKLOG     16384

struct client {
    int fd;
    enum stream_kind kind;
    unsigned header_bytes;
    unsigned char header[STREAM_HEADER_BYTES];
    uint64_t size, sent, received;
    uint32_t events;
    bool whole, bad, answered;
};

static unsigned char buffer[STREAM_CHUNK];
static uint64_t damaged_byte = UINT64_MAX;

static void listen_to(struct client *self, const char *host, const char *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int on = 1;

    if (!stream_address(host, port, &address)) {
        fprintf(stderr, "serve: %s %s: expected an IPv4 address and a port\n", host, port);
        exit(2);
    }
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0 || setsockopt(self->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(self->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(self->fd, BACKLOG) < 0 ||
        getsockname(self->fd, (struct sockaddr *)&address, &size) < 0)
        stream_die("listen");
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void watch(int epoll, struct client *client, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    int operation = client->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (client->events == events)
        return;
    if (epoll_ctl(epoll, operation, client->fd, &event) < 0)
        stream_die("watch a connection");
    client->events = events;
}

static bool to_send(const struct client *client)
{
    switch (client->kind) {
    case STREAM_ECHO:
        return false;
    case STREAM_REQUEST: // an answer is due for each whole request
        return client->sent < client->received - client->received % client->size;
    case STREAM_DOWN:
    case STREAM_BOTH:
        return client->sent < client->size;
    case STREAM_UP:
        break;
    }
    return false;
}

// Sends what is due. False if the connection is over.
static bool give(struct client *client)
{
    for (int i = 0; i < SENDS_MAX && to_send(client); i++) {
        uint64_t left = client->size - client->sent % client->size;
        size_t part = left < STREAM_CHUNK ? (size_t)left : STREAM_CHUNK;
        const unsigned char *bytes = stream_content(client->sent);
        ssize_t n;

        if (damaged_byte - client->sent < part) {
            memcpy(buffer, bytes, part);
            buffer[damaged_byte - client->sent] ^= 1;
            bytes = buffer;
        }
        n = send(client->fd, bytes, part, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        client->sent += (uint64_t)n;
        if ((size_t)n < part)
            break;
    }
    return true;
}

// True if the client has got all that it is owed.
static bool is_done(struct client *client)
{
    char verdict = client->bad ? STREAM_BAD : STREAM_GOOD;
    bool upward = client->kind == STREAM_UP || client->kind == STREAM_BOTH;

    if (client->kind == STREAM_ECHO || client->kind == STREAM_REQUEST || to_send(client))
        return false;
    if (!upward)
        return true;
    // A bad one, too, is received wholly: closed earlier, it would be reset, and the verdict lost.
    if (client->received < client->size)
        return false;
    // What does not fit into the socket buffer now never will for this client.
    (void)!send(client->fd, &verdict, 1, MSG_NOSIGNAL);
    return true;
}

// The bytes of the header, which can come in parts; returns how many of them were among BYTES.
static size_t take_header(struct client *client, const unsigned char *bytes, size_t size)
{
    size_t used = 0;

    while (used < size && client->header_bytes < STREAM_HEADER_BYTES) {
        client->header[client->header_bytes++] = bytes[used++];
        client->kind = client->header[0] & ~(unsigned)STREAM_WHOLE;
        client->whole = client->header[0] & STREAM_WHOLE || client->kind == STREAM_REQUEST;
        if (client->kind == STREAM_ECHO)
            return 0;
    }
    if (client->header_bytes == STREAM_HEADER_BYTES)
        memcpy(&client->size, client->header + 1, sizeof client->size);
    return used;
}

static bool take(struct client *client)
{
    ssize_t n = recv(client->fd, buffer, sizeof buffer, 0);
    size_t used = 0;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (client->kind != STREAM_ECHO && client->header_bytes < STREAM_HEADER_BYTES)
        used = take_header(client, buffer, (size_t)n);
    if (client->kind == STREAM_ECHO)
        return send(client->fd, buffer, (size_t)n, MSG_NOSIGNAL) == n;
    if (client->header_bytes < STREAM_HEADER_BYTES)
        return true;
    if (client->size == 0)
        return false;
    if (!stream_check(buffer + used, (size_t)n - used, client->received, client->whole))
        client->bad = true;
    client->received += (size_t)n - used;
    return client->kind != STREAM_REQUEST || !client->bad;
}

static void serve(int epoll, struct client *client, uint32_t events)
{
    bool alive = true;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        alive = take(client);
    if (alive && client->header_bytes == STREAM_HEADER_BYTES)
        alive = give(client) && !is_done(client);
    if (alive) {
        watch(epoll, client, EPOLLIN | (to_send(client) ? (uint32_t)EPOLLOUT : 0));
        return;
    }
    close(client->fd);
    free(client);
}

static void accept_all(int epoll, const struct client *self)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct client *client;

        if (fd < 0)
            return;
        client = calloc(1, sizeof *client);
        if (!client)
            stream_die("serve a connection");
        client->fd = fd;
        watch(epoll, client, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_MAX];
    struct client self = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC), first = 1;

    if (argc > 1 && strncmp(argv[1], "--damage=", 9) == 0)
        damaged_byte = strtoull(argv[first++] + 9, NULL, 10);
    if (argc - first != 2) {
        fputs("usage: serve [--damage=N] ADDRESS PORT\n", stderr);
        return 2;
    }
    if (epoll < 0)
        stream_die("wait for connections");
    stream_raise_files();
    listen_to(&self, argv[first], argv[first + 1]);
    watch(epoll, &self, EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &self)
                accept_all(epoll, &self);
            else
                serve(epoll, events[i].data.ptr, events[i].events);
        }
    }
}
