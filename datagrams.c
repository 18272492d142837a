// SPDX-License-Identifier: ISC
#include "datagrams.h"

#include <errno.h>
#include <string.h>

#define RECEIVE_BYTES (4 << 20) // of the listener's buffer, where that much is allowed

// linux/sock_diag.h, which not every libc finds.
enum { MEMORY_LOST = 8, MEMORY_WORDS = 9 };

static void init_row(struct datagrams_row *row)
{
    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        struct msghdr *header = &row->headers[i].msg_hdr;

        row->pieces[i].iov_base = row->data[i];
        row->pieces[i].iov_len = DATAGRAMS_BYTES;
        header->msg_iov = &row->pieces[i];
        header->msg_iovlen = 1;
        header->msg_name = &row->names[i];
    }
}

// More fits into a burst then, and never less than before.
static void enlarge(int fd)
{
    int size = 0, wanted = RECEIVE_BYTES;
    socklen_t length = sizeof size;

    // The kernel reports twice of what it was told, socket(7).
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length) == 0 && size < wanted)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
}

void datagrams_init(struct datagrams *datagrams, int fd, const union host_address *local)
{
    int on = 1;
    socklen_t size = sizeof datagrams->family;

    datagrams->fd = fd;
    // Not that of LOCAL, which may be plain IPv4 where the socket is IPv6.
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &datagrams->family, &size) < 0)
        datagrams->family = local->any.sa_family;
    datagrams->wildcard = host_is_wildcard(local);
    init_row(&datagrams->in);
    init_row(&datagrams->out);
    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        datagrams->fetch_pieces[i] = datagrams->out.pieces[i];
        datagrams->fetches[i].msg_hdr.msg_iov = &datagrams->fetch_pieces[i];
        datagrams->fetches[i].msg_hdr.msg_iovlen = 1;
    }
    datagrams->received = DATAGRAMS_BATCH;
    enlarge(fd);
    burst_init(&datagrams->burst, fd);
    if (!datagrams->wildcard)
        return;
    // Of an IPv4 client of a socket for both, IP_PKTINFO alone tells from where to answer what was
    // sent to a broadcast address.
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (datagrams->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
}

int datagrams_receive(struct datagrams *datagrams)
{
    struct datagrams_row *in = &datagrams->in;
    int got;

    // Those that the last call has filled in are to be as the first found them.
    for (unsigned i = 0; i < datagrams->received; i++) {
        in->headers[i].msg_hdr.msg_namelen = sizeof in->names[i];
        in->headers[i].msg_hdr.msg_control = datagrams->wildcard ? in->controls[i] : NULL;
        in->headers[i].msg_hdr.msg_controllen = datagrams->wildcard ? DATAGRAMS_CONTROL : 0;
    }
    got = recvmmsg(datagrams->fd, in->headers, DATAGRAMS_BATCH, MSG_DONTWAIT, NULL);
    datagrams->received = got > 0 ? (unsigned)got : 0;
    return got;
}

bool datagrams_were_lost(struct datagrams *datagrams)
{
    uint32_t memory[MEMORY_WORDS] = {0}, lost = datagrams->lost;
    socklen_t size = sizeof memory;

    // Linux 4.12 and later.
    if (getsockopt(datagrams->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0)
        return false;
    datagrams->lost = memory[MEMORY_LOST];
    return lost != datagrams->lost;
}

static void map_ipv4(uint8_t address[16], const struct in_addr *in)
{
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    memcpy(address + 12, in, sizeof *in);
}

// Where a datagram was sent to, as far as an answer can come from there.
static void take_local(const struct datagrams *datagrams, const struct cmsghdr *control,
                       const unsigned char *data, struct sessions_key *key)
{
    struct in_pktinfo in;
    struct in6_pktinfo in6;

    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        memcpy(&in, data, sizeof in);
        // What was queued before anybody asked has not been looked up.
        if (in.ipi_spec_dst.s_addr == INADDR_ANY && in.ipi_addr.s_addr != INADDR_BROADCAST &&
            !IN_MULTICAST(ntohl(in.ipi_addr.s_addr)))
            in.ipi_spec_dst = in.ipi_addr;
        if (datagrams->family == AF_INET6)
            map_ipv4(key->local, &in.ipi_spec_dst);
        else
            memcpy(key->local, &in.ipi_spec_dst, sizeof in.ipi_spec_dst);
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        memcpy(&in6, data, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.ipi6_addr) || IN6_IS_ADDR_MULTICAST(&in6.ipi6_addr))
            return;
        memcpy(key->local, &in6.ipi6_addr, sizeof key->local);
        if (IN6_IS_ADDR_LINKLOCAL(&in6.ipi6_addr))
            key->local_scope = in6.ipi6_ifindex;
    }
}

void datagrams_key(const struct datagrams *datagrams, unsigned number, struct sessions_key *key)
{
    const union host_address *client = &datagrams->in.names[number];
    const struct msghdr *header = &datagrams->in.headers[number].msg_hdr;
    struct cmsghdr control;

    memset(key, 0, sizeof *key);
    key->family = client->any.sa_family;
    if (key->family == AF_INET6) {
        memcpy(key->client, &client->in6.sin6_addr, sizeof key->client);
        key->client_port = client->in6.sin6_port;
        key->client_scope = client->in6.sin6_scope_id;
    } else {
        memcpy(key->client, &client->in.sin_addr, sizeof client->in.sin_addr);
        key->client_port = client->in.sin_port;
    }
    if (!datagrams->wildcard)
        return;
    // Not by CMSG_NXTHDR: musl's makes compilers warn.
    for (size_t at = 0; at + sizeof control <= header->msg_controllen;
         at += CMSG_ALIGN(control.cmsg_len)) {
        const unsigned char *start = datagrams->in.controls[number] + at;

        memcpy(&control, start, sizeof control);
        if (control.cmsg_len < sizeof control)
            break;
        take_local(datagrams, &control, start + CMSG_LEN(0), key);
    }
}

void datagrams_client(const struct sessions_key *key, union host_address *client)
{
    memset(client, 0, sizeof *client);
    client->any.sa_family = key->family;
    if (key->family == AF_INET6) {
        memcpy(&client->in6.sin6_addr, key->client, sizeof key->client);
        client->in6.sin6_port = key->client_port;
        client->in6.sin6_scope_id = key->client_scope;
    } else {
        memcpy(&client->in.sin_addr, key->client, sizeof client->in.sin_addr);
        client->in.sin_port = key->client_port;
    }
}

int datagrams_fetch(struct datagrams *datagrams, int fd, bool stream, unsigned most)
{
    unsigned room = datagrams_room(datagrams), first = datagrams->waiting;
    ssize_t got;

    if (most > room)
        most = room;
    if (!stream)
        return recvmmsg(fd, &datagrams->fetches[first], most, MSG_DONTWAIT, NULL);
    got = recv(fd, datagrams->out.data[first], DATAGRAMS_LARGEST, MSG_DONTWAIT);
    if (got <= 0)
        return (int)got;
    datagrams->fetches[first].msg_len = (unsigned)got;
    return 1;
}

// Sets up from where an answer to KEY is sent.
static void put_local(struct msghdr *header, void *control, const struct sessions_key *key)
{
    struct in6_pktinfo in6 = {.ipi6_ifindex = key->local_scope};
    struct in_pktinfo in = {.ipi_ifindex = 0};
    struct cmsghdr *c;

    header->msg_control = control;
    header->msg_controllen = DATAGRAMS_CONTROL; // until it is known
    memset(control, 0, DATAGRAMS_CONTROL);
    c = CMSG_FIRSTHDR(header);
    if (key->family == AF_INET6) {
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof in6);
        memcpy(&in6.ipi6_addr, key->local, sizeof in6.ipi6_addr);
        memcpy(CMSG_DATA(c), &in6, sizeof in6);
        header->msg_controllen = CMSG_SPACE(sizeof in6);
    } else {
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof in);
        memcpy(&in.ipi_spec_dst, key->local, sizeof in.ipi_spec_dst);
        memcpy(CMSG_DATA(c), &in, sizeof in);
        header->msg_controllen = CMSG_SPACE(sizeof in);
    }
}

void datagrams_address(struct datagrams *datagrams, unsigned count, const struct sessions_key *key,
                       uint32_t owner)
{
    static const uint8_t none[sizeof key->local];
    bool has_local = memcmp(key->local, none, sizeof none) != 0;
    struct datagrams_row *out = &datagrams->out;

    for (unsigned i = datagrams->waiting; i < datagrams->waiting + count; i++) {
        struct msghdr *header = &out->headers[i].msg_hdr;

        datagrams_client(key, &out->names[i]);
        header->msg_namelen =
            key->family == AF_INET6 ? sizeof out->names[i].in6 : sizeof out->names[i].in;
        out->pieces[i].iov_len = datagrams->fetches[i].msg_len;
        datagrams->owners[i] = owner;
        if (has_local) {
            put_local(header, out->controls[i], key);
        } else {
            header->msg_control = NULL;
            header->msg_controllen = 0;
        }
    }
    datagrams->waiting += count;
}

unsigned datagrams_send(struct datagrams *datagrams)
{
    unsigned count = datagrams->waiting, at = 0;

    memset(datagrams->sent, 0, sizeof datagrams->sent);
    while (at < count) {
        int done =
            burst_send(&datagrams->burst, datagrams->fd, &datagrams->out.headers[at], count - at);

        if (done < 0 && errno == EAGAIN)
            break; // nor would it take the others
        // No address of this host, but one of a broadcast: then the kernel may choose.
        if (done < 0 && errno == ENETUNREACH && datagrams->out.headers[at].msg_hdr.msg_controllen) {
            datagrams->out.headers[at].msg_hdr.msg_controllen = 0;
            continue;
        }
        // One that can't be sent, which may be that client's fault, is not the others' loss.
        for (int i = 0; i < done; i++)
            datagrams->sent[at + (unsigned)i] = true;
        at += done > 0 ? (unsigned)done : 1;
    }
    datagrams->waiting = 0;
    return count;
}
