// SPDX-License-Identifier: ISC
#include "burst.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE_MOST  1472 // larger ones are more than a packet of Ethernet, and can't be joined there
#define BYTES_MOST 65000 // of those that are joined, together

void burst_init(struct burst *burst, int fd)
{
    int size;
    socklen_t length = sizeof size;

    // A kernel that does not know it would ignore it when sending, and send one large datagram.
    if (getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0)
        burst->size_most = SIZE_MOST;
}

// sendmmsg(2), which a libc may turn into many calls of sendmsg(2).
static int send_headers(int fd, struct mmsghdr *headers, unsigned count)
{
    // The kernel's headers differ from musl's in padding alone, which is zero here.
    return (int)syscall(SYS_sendmmsg, fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static size_t size_of(const struct mmsghdr *header)
{
    return header->msg_hdr.msg_iov->iov_len;
}

static bool go_the_same_way(const struct msghdr *a, const struct msghdr *b)
{
    return a->msg_namelen == b->msg_namelen && a->msg_controllen == b->msg_controllen &&
           (a->msg_namelen == 0 || memcmp(a->msg_name, b->msg_name, a->msg_namelen) == 0) &&
           (a->msg_controllen == 0 ||
            memcmp(a->msg_control, b->msg_control, a->msg_controllen) == 0);
}

// How many of COUNT datagrams can be joined to the first, that one included: all have its size, but
// for the last, which may be smaller. An empty one would vanish.
static unsigned count_alike(const struct burst *burst, const struct mmsghdr *headers,
                            unsigned count)
{
    size_t size = size_of(headers), bytes = size;
    unsigned n = 1;

    if (size == 0 || size > burst->size_most ||
        headers->msg_hdr.msg_controllen > BURST_CONTROL - CMSG_SPACE(sizeof(uint16_t)))
        return 1;
    while (n < count && size_of(&headers[n - 1]) == size && size_of(&headers[n]) > 0 &&
           size_of(&headers[n]) <= size && bytes + size_of(&headers[n]) <= BYTES_MOST &&
           go_the_same_way(&headers->msg_hdr, &headers[n].msg_hdr))
        bytes += size_of(&headers[n++]);
    return n;
}

// Makes one header of those of COUNT datagrams.
static void join(struct mmsghdr *joined, unsigned char *control, const struct mmsghdr *headers,
                 uint8_t count)
{
    uint16_t size = (uint16_t)size_of(headers);
    size_t length = headers->msg_hdr.msg_controllen;
    struct cmsghdr *last;

    *joined = *headers;
    if (count == 1)
        return;
    joined->msg_hdr.msg_iovlen = count;
    memset(control, 0, BURST_CONTROL);
    if (length > 0)
        memcpy(control, headers->msg_hdr.msg_control, length);
    joined->msg_hdr.msg_control = control;
    joined->msg_hdr.msg_controllen = (socklen_t)(length + CMSG_SPACE(sizeof size));
    last = (struct cmsghdr *)(void *)(control + length);
    last->cmsg_level = IPPROTO_UDP;
    last->cmsg_type = UDP_SEGMENT;
    last->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(last), &size, sizeof size);
}

// Whether ERROR of joined datagrams is one of joining them, which says nothing of each: the way is
// for smaller ones, or for none that are joined. Then no others are tried in vain.
static bool learn(struct burst *burst, int error, size_t size)
{
    switch (error) {
    case EINVAL:
    case EMSGSIZE:
        burst->size_most = size - 1;
        return true;
    case EIO:
    case EOPNOTSUPP:
        burst->size_most = 0;
        return true;
    default:
        return false;
    }
}

int burst_send(struct burst *burst, int fd, struct mmsghdr *headers, unsigned count)
{
    unsigned rows = 0;
    int sent, datagrams = 0;

    if (burst->size_most == 0 || count == 1)
        return send_headers(fd, headers, count);
    for (unsigned at = 0; at < count; at += burst->counts[rows++]) {
        burst->counts[rows] = (uint8_t)count_alike(burst, &headers[at], count - at);
        join(&burst->headers[rows], burst->controls[rows], &headers[at], burst->counts[rows]);
    }
    sent = send_headers(fd, burst->headers, rows);
    if (sent < 0 && burst->counts[0] > 1 && learn(burst, errno, size_of(headers)))
        return send_headers(fd, headers, burst->counts[0]);
    for (int i = 0; i < sent; i++)
        datagrams += burst->counts[i];
    return sent < 0 ? -1 : datagrams;
}
