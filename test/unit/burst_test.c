// SPDX-License-Identifier: ISC
#include "burst.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define BYTES_MOST  20000
#define PATIENCE_MS 20000

static unsigned char data[BURST_MOST][BYTES_MOST];
static struct iovec pieces[BURST_MOST];
static struct mmsghdr headers[BURST_MOST];
static struct sockaddr_in addresses[2];
static int receivers[2];

static int open_socket(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 4 << 20;

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (bind(fd, (struct sockaddr *)address, size) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) < 0)
        return -1;
    return fd;
}

// Datagrams of SIZES, the last -1; those of SECOND, a bit each, are for the second receiver.
static unsigned make(const int *sizes, unsigned long second)
{
    unsigned count = 0;

    memset(headers, 0, sizeof headers);
    for (; sizes[count] >= 0; count++) {
        struct msghdr *header = &headers[count].msg_hdr;

        memset(data[count], (int)count + 1, sizeof data[count]);
        pieces[count] = (struct iovec){data[count], (size_t)sizes[count]};
        header->msg_iov = &pieces[count];
        header->msg_iovlen = 1;
        header->msg_name = &addresses[second >> count & 1];
        header->msg_namelen = sizeof addresses[0];
    }
    return count;
}

static bool has_come(const int *sizes, unsigned long second, unsigned count)
{
    static unsigned char got[BYTES_MOST + 1];

    for (unsigned i = 0; i < count; i++) {
        struct pollfd entry = {.fd = receivers[second >> i & 1], .events = POLLIN};
        ssize_t n =
            poll(&entry, 1, PATIENCE_MS) == 1 ? recv(entry.fd, got, sizeof got, MSG_DONTWAIT) : -1;

        if (n != sizes[i] || memcmp(got, data[i], (size_t)n) != 0)
            return false;
    }
    return recv(receivers[0], got, sizeof got, MSG_DONTWAIT) < 0 &&
           recv(receivers[1], got, sizeof got, MSG_DONTWAIT) < 0;
}

static void check(struct burst *burst, const char *name, const int *sizes, unsigned long second)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    for (int joins = 0; joins <= 1; joins++) {
        unsigned count = make(sizes, second), sent = 0;
        int n = 1;

        if (!joins)
            burst->size_most = 0;
        for (; sent < count && n > 0; sent += (unsigned)n)
            n = burst_send(burst, fd, &headers[sent], count - sent);
        test_ok(n > 0 && sent == count && has_come(sizes, second, count), "%s, %s", name,
                joins ? "joined" : "each by itself");
        burst_init(burst, fd);
    }
    close(fd);
}

static void check_refusal(struct burst *burst)
{
    struct sockaddr_in nobody;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), gone = open_socket(&nobody);
    const int sizes[] = {100, 100, 100, -1};

    close(gone);
    connect(fd, (struct sockaddr *)&nobody, sizeof nobody);
    make(sizes, 0);
    for (int i = 0; i < 3; i++) {
        headers[i].msg_hdr.msg_name = NULL;
        headers[i].msg_hdr.msg_namelen = 0;
    }
    test_ok(burst_send(burst, fd, headers, 3) == 3, "nobody has refused it yet");
    test_ok(burst_send(burst, fd, headers, 3) == -1 && errno == ECONNREFUSED,
            "that nobody is there is told");
    close(fd);
}

int main(void)
{
    static struct burst burst;

    for (int i = 0; i < 2; i++)
        receivers[i] = open_socket(&addresses[i]);
    burst_init(&burst, receivers[0]);
    check(&burst, "one", (const int[]){100, -1}, 0);
    check(&burst, "all of one size", (const int[]){700, 700, 700, 700, -1}, 0);
    check(&burst, "the last is smaller", (const int[]){700, 700, 1, -1}, 0);
    check(&burst, "each is larger", (const int[]){1, 2, 3, 4, -1}, 0);
    check(&burst, "each is smaller", (const int[]){4, 3, 2, 1, -1}, 0);
    check(&burst, "empty ones", (const int[]){0, 0, 5, 5, 0, 5, 0, -1}, 0);
    check(&burst, "two by turns", (const int[]){9, 9, 9, 9, -1}, 0xa);
    check(&burst, "one after the other", (const int[]){9, 9, 9, 9, 8, 9, -1}, 0x38);
    check(&burst, "too large to be joined", (const int[]){9000, 9000, 1473, 1473, 9, 9, -1}, 0);
    check(&burst, "more than a packet has",
          (const int[]){1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472,
                        1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472,
                        1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472,
                        1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472, 1472,
                        1472, 1472, 1472, 1472, 1472, 1472, -1},
          0);
    check_refusal(&burst);
    return test_end();
}
