/* SPDX-License-Identifier: BSD-3-Clause
 * Bells over Unix datagrams on one host and UDP between hosts. */
#include "link/bell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RINGS_AT_ONCE 16

struct bell {
    int local_fd, udp_fd;
    int room; /* so many Unix datagrams wait at once, or one more */
    struct bell_address mine;
};

/* Two ranks share a kernel and its abstract socket names when both of these are equal. */
static void host_identity(char *out, size_t size)
{
    char boot_id[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (f) {
        if (fgets(boot_id, sizeof boot_id, f))
            boot_id[strcspn(boot_id, "\n")] = '\0';
        fclose(f);
    }
    if (!boot_id[0])
        gethostname(boot_id, sizeof boot_id - 1);
    struct stat net = { 0 };
    stat("/proc/self/ns/net", &net);
    snprintf(out, size, "%s/%lu", boot_id, (unsigned long)net.st_ino);
}

static int read_room(void)
{
    int room = 1;
    FILE *f = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
    if (f) {
        if (fscanf(f, "%d", &room) != 1)
            room = 1;
        fclose(f);
    }
    return room;
}

static void list_interfaces(struct bell_address *mine)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return;
    for (struct ifaddrs *i = all; i && mine->interface_count < BELL_INTERFACES; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
            !(i->ifa_flags & IFF_LOOPBACK))
            mine->interfaces[mine->interface_count++] =
                ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
    freeifaddrs(all);
}

static int open_local(bell_t *bell, int rank)
{
    bell->local_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bell->local_fd < 0)
        return -1;
    struct sockaddr_un *name = &bell->mine.local;
    name->sun_family = AF_UNIX;
    int used = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "ippmpi-bell-%ld-%d",
                        (long)getpid(), rank);
    bell->mine.local_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    return bind(bell->local_fd, (struct sockaddr *)name, bell->mine.local_size);
}

static int open_udp(bell_t *bell)
{
    bell->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bell->udp_fd < 0)
        return -1;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
    if (bell->mine.interface_count == 0) /* nobody else can reach us: stay off the network */
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    if (bind(bell->udp_fd, (struct sockaddr *)&any, sizeof any) < 0 ||
        getsockname(bell->udp_fd, (struct sockaddr *)&any, &size) < 0)
        return -1;
    bell->mine.port = any.sin_port;
    return 0;
}

void bell_fds(const bell_t *bell, int fds[2])
{
    fds[0] = bell->local_fd;
    fds[1] = bell->udp_fd;
}

bool bell_same_host(const struct bell_address *a, const struct bell_address *b)
{
    return strcmp(a->host, b->host) == 0;
}

/* Longest common prefix of the two addresses, in bits: the nearest network wins. */
static int common_bits(struct in_addr a, struct in_addr b)
{
    uint32_t difference = ntohl(a.s_addr ^ b.s_addr);
    return difference ? __builtin_clz(difference) : 32;
}

bool bell_pick(const struct bell_address *mine, const struct bell_address *peer,
               struct in_addr *out)
{
    int best = -1;
    for (int p = 0; p < peer->interface_count; p++)
        for (int m = 0; m < mine->interface_count; m++) {
            int bits = common_bits(mine->interfaces[m], peer->interfaces[p]);
            if (bits > best) {
                best = bits;
                *out = peer->interfaces[p];
            }
        }
    return best >= 0;
}

static bool ring_local(const bell_t *bell, const struct bell_address *peer, uint32_t news)
{
    return sendto(bell->local_fd, &news, sizeof news, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&peer->local, peer->local_size) >= 0;
}

bool bell_ring(bell_t *bell, const struct bell_address *peer, uint32_t news)
{
    if (bell_same_host(&bell->mine, peer))
        return ring_local(bell, peer, news);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = peer->port };
    if (bell_pick(&bell->mine, peer, &to.sin_addr))
        sendto(bell->udp_fd, &news, sizeof news, MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&to, sizeof to);
    return true;
}

void bell_ring_self(bell_t *bell)
{
    ring_local(bell, &bell->mine, 0);
}

int64_t bell_drain(const bell_t *bell, int fd)
{
    uint32_t news[RINGS_AT_ONCE];
    struct iovec into[RINGS_AT_ONCE];
    struct mmsghdr rings[RINGS_AT_ONCE];
    for (int i = 0; i < RINGS_AT_ONCE; i++) {
        into[i] = (struct iovec){ &news[i], sizeof news[i] };
        rings[i] =
            (struct mmsghdr){ .msg_hdr = (struct msghdr){ .msg_iov = &into[i], .msg_iovlen = 1 } };
    }
    bool certain = fd == bell->local_fd;
    int64_t sum = 0;
    int count, taken = 0;
    do {
        count = recvmmsg(fd, rings, RINGS_AT_ONCE, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++, taken++) {
            certain &= rings[i].msg_len == sizeof news[i] && news[i] > 0;
            sum += news[i];
        }
    } while (count == RINGS_AT_ONCE);
    return certain && taken < bell->room ? sum : -1;
}

bell_t *bell_create(int rank, struct bell_address *mine, ipp_err_t *err)
{
    bell_t *bell = calloc(1, sizeof *bell);
    if (!bell) {
        ipp_err(err, ENOMEM, "no memory for the bell");
        return NULL;
    }
    bell->local_fd = bell->udp_fd = -1;
    host_identity(bell->mine.host, sizeof bell->mine.host);
    bell->room = read_room();
    list_interfaces(&bell->mine);
    if (open_local(bell, rank) < 0 || open_udp(bell) < 0) {
        ipp_err(err, errno, "rank %d cannot open its bell socket: %s", rank, strerror(errno));
        bell_destroy(bell);
        return NULL;
    }
    *mine = bell->mine;
    return bell;
}

void bell_destroy(bell_t *bell)
{
    if (!bell)
        return;
    int saved_errno = errno;
    if (bell->local_fd >= 0)
        close(bell->local_fd);
    if (bell->udp_fd >= 0)
        close(bell->udp_fd);
    free(bell);
    errno = saved_errno;
}
