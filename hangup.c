// SPDX-License-Identifier: ISC
#include "hangup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "children.h"

#define READ_MS  10000 // for xinetd to read its configuration
#define OPEN_MS  10000 // and to open its listeners
#define GONE_MS  5000  // for relays to end by themselves
#define OLD_MS   300   // for those who run by old rules to be found and told to end
#define LOOK_MS  20    // between two looks
#define OPTION   "--listener="
#define NAME     "xinetd"
#define LAUNCHER "rinetd-gen"

struct hangup {
    const struct apply_request *request;
    pid_t pid;   // of xinetd
    int inotify; // tells that the file was read
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

// The name and the parent of process PID. Returns the parent, or 0 where there is no such process.
static pid_t parent_of(pid_t pid, char name[32])
{
    char path[64], line[512];
    const char *start, *end;
    int parent = 0;
    size_t length;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    length = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[length] = '\0';
    start = strchr(line, '(');
    end = strrchr(line, ')');
    if (!start || !end || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    snprintf(name, 32, "%.*s", (int)(end - start - 1), start + 1);
    return parent > 0 ? parent : 1;
}

// Whether PID is the process of that name, in our own name space of processes, and none that it
// has forked.
static bool is_xinetd(pid_t pid)
{
    char name[32], path[64];
    struct stat own, its;
    pid_t parent = parent_of(pid, name);

    if (parent == 0 || strcmp(name, NAME) != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    if (stat("/proc/self/ns/pid", &own) == 0 && stat(path, &its) == 0 && own.st_ino != its.st_ino)
        return false;
    return parent_of(parent, name) == 0 || (strcmp(name, NAME) != 0 && strcmp(name, LAUNCHER) != 0);
}

static pid_t pid_in_file(const char *path)
{
    FILE *file = fopen(path, "re");
    int pid = 0;

    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid > 0 && is_xinetd(pid) ? pid : 0;
}

// xinetd's children, and the sockets by which they are told apart.
struct look {
    struct children list;
    struct children_sockets sockets;
};

static void look_begin(const struct hangup *hangup, struct look *look)
{
    memset(look, 0, sizeof *look);
    children_find(hangup->pid, &look->list);
    children_find_sockets(hangup->pid, &look->sockets);
}

static void look_end(struct look *look)
{
    free(look->list.pid);
    children_sockets_free(&look->sockets);
}

// Finds the xinetd of the system. Returns its pid, 0 if there is none, -1 if there are several.
static pid_t find_xinetd(void)
{
    pid_t pid = pid_in_file("/run/xinetd.pid"), other;
    const struct dirent *entry;
    DIR *dir;

    if (pid == 0)
        pid = pid_in_file("/var/run/xinetd.pid");
    dir = pid == 0 ? opendir("/proc") : NULL;
    while (dir && (entry = readdir(dir))) {
        other = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        if (other > 0 && is_xinetd(other))
            pid = pid == 0 ? other : -1;
    }
    if (dir)
        closedir(dir);
    return pid;
}

// The rule of that protocol whose relays have these arguments, or NULL.
static const struct apply_rule *rule_of(const struct hangup *hangup, const char *arguments,
                                        bool udp)
{
    for (size_t i = 0; i < hangup->request->count; i++)
        if (hangup->request->rules[i].udp == udp &&
            children_are_told(arguments, hangup->request->rules[i].listener))
            return &hangup->request->rules[i];
    return NULL;
}

// The configuration: compiled access lists have other names.
static const struct output_step *main_step(const struct output_plan *plan)
{
    size_t i = 0;

    while (i + 1 < plan->count && strchr(plan->step[i].name, '.'))
        i++;
    return &plan->step[i];
}

static const char *listener_in(const char *arguments)
{
    const char *found = strstr(arguments, OPTION);

    return found && (found == arguments || found[-1] == ' ') ? found + strlen(OPTION) : NULL;
}

enum fate { STAYS, RUNS_BY_OLD_RULES, LOSES_LISTENER, IS_KILLED };

// What becomes of a child of xinetd that was told ARGUMENTS. One of another mode loses its
// listener, too: xinetd opens it anew.
static enum fate fate_of(const struct hangup *hangup, const struct look *look, pid_t pid,
                         const char *arguments)
{
    const struct output_step *step = main_step(hangup->request->plan);
    const struct apply_rule *rule;
    bool udp, waits;

    if (!listener_in(arguments))
        return STAYS;
    udp = children_take_datagrams(pid, &look->sockets);
    waits = udp || children_listen(pid, &look->sockets);
    rule = rule_of(hangup, arguments, udp);
    if (!rule || waits != rule->wait)
        return waits ? LOSES_LISTENER : IS_KILLED;
    return waits && !children_run_by(pid, arguments, step->text, step->size) ? RUNS_BY_OLD_RULES
                                                                             : STAYS;
}

// Whether processes of xinetd that listen where LISTENER says, up to a blank, are in LIST before
// AT.
static bool is_counted(char *const *list, size_t at, const char *listener)
{
    size_t length = strcspn(listener, " ") + 1;

    for (size_t i = 0; i < at; i++)
        if (list[i] && strncmp(listener_in(list[i]), listener, length) == 0)
            return true;
    return false;
}

// Tells how many connections of each listener xinetd will end. LIST has their arguments.
static void warn(const struct hangup *hangup, char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *listener = list[i] ? listener_in(list[i]) : NULL;
        size_t length = listener ? strcspn(listener, " ") : 0, connections = 0;

        if (!listener || is_counted(list, i, listener))
            continue;
        for (size_t k = i; k < count; k++)
            connections +=
                list[k] && strncmp(listener_in(list[k]), listener, length + 1) == 0 ? 1 : 0;
        apply_say(hangup->request, "warning: %s %zu connection%s to %.*s, which xinetd closes",
                  hangup->request->only_tell ? "this would end" : "ending", connections,
                  connections == 1 ? "" : "s", (int)length, listener);
    }
}

// Sends the signal NUMBER, or 0, to those of LOOK who meet the fate FIRST or one after it. TOLD, if
// that is not NULL, gets their arguments, by their index. Returns how many there are.
static size_t signal_those(const struct hangup *hangup, const struct look *look, enum fate first,
                           int number, char **told)
{
    const struct children *list = &look->list;
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        char *arguments = children_arguments(list->pid[i]);
        bool met = arguments && fate_of(hangup, look, list->pid[i], arguments) >= first;

        count += met && kill(list->pid[i], number) == 0;
        if (met && told)
            told[i] = arguments;
        else
            free(arguments);
    }
    return count;
}

static void warn_of_connections(const struct hangup *hangup)
{
    struct look look;
    char **told;

    look_begin(hangup, &look);
    told = calloc(look.list.count + 1, sizeof *told);
    if (told && signal_those(hangup, &look, IS_KILLED, 0, told) > 0)
        warn(hangup, told, look.list.count);
    for (size_t i = 0; told && i < look.list.count; i++)
        free(told[i]);
    free(told);
    look_end(&look);
}

// Gives those whose listener goes away the time to end well.
static void end_gone(const struct hangup *hangup)
{
    int64_t until_ms = now_ms() + GONE_MS;
    size_t count;

    do {
        struct look look;

        look_begin(hangup, &look);
        count = signal_those(hangup, &look, LOSES_LISTENER, SIGTERM, NULL);
        look_end(&look);
        if (count > 0)
            wait_ms(LOOK_MS);
    } while (count > 0 && now_ms() < until_ms);
}

// Sends the signal NUMBER, or 0, to those who serve on as they were told, and says so of those not
// in TOLD, which it replaces.
static void signal_old(const struct hangup *hangup, int number, struct children *told)
{
    struct look look;

    look_begin(hangup, &look);
    for (size_t i = 0; i < look.list.count; i++) {
        pid_t pid = look.list.pid[i];
        char *arguments = children_arguments(pid);
        bool old = arguments && fate_of(hangup, &look, pid, arguments) == RUNS_BY_OLD_RULES;
        bool udp = old && children_take_datagrams(pid, &look.sockets);

        free(arguments);
        if (!old || kill(pid, number) < 0)
            look.list.pid[i] = 0;
        else if (!children_have(told, pid))
            apply_say(hangup->request, "%s process %d, which has old rules; its %s",
                      hangup->request->only_tell ? "would end" : "ending", (int)pid,
                      udp ? "sessions begin anew" : "connections go on");
    }
    free(told->pid);
    *told = look.list;
    children_sockets_free(&look.sockets);
}

// Ends those who would serve on as they were told, for long enough to find one just forked.
static void end_old(const struct hangup *hangup)
{
    int64_t until_ms = now_ms() + OLD_MS;
    struct children told = {0};
    bool any = false;

    for (size_t i = 0; i < hangup->request->count; i++)
        any |= hangup->request->rules[i].wait;
    // Once at least, however late it is.
    for (bool again = any; again; again = now_ms() < until_ms) {
        signal_old(hangup, SIGTERM, &told);
        wait_ms(LOOK_MS);
    }
    free(told.pid);
}

// xinetd's sockets: their numbers, and which of its descriptors they are.
struct sockets {
    struct socket {
        unsigned long inode;
        int fd;
    } * socket;
    size_t count;
};

static void find_sockets(const struct hangup *hangup, struct sockets *sockets)
{
    const struct dirent *entry;
    char path[64], link[64];
    unsigned long inode;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)hangup->pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
        struct socket *grown;

        link[length > 0 ? length : 0] = '\0';
        if (sscanf(link, "socket:[%lu]", &inode) != 1)
            continue;
        grown = reallocarray(sockets->socket, sockets->count + 1, sizeof *grown);
        if (!grown)
            break;
        sockets->socket = grown;
        grown[sockets->count++] = (struct socket){.inode = inode, .fd = atoi(entry->d_name)};
    }
    if (dir)
        closedir(dir);
}

// xinetd's descriptor of the socket INODE, or -1.
static int fd_of(const struct sockets *sockets, unsigned long inode)
{
    for (size_t i = 0; i < sockets->count; i++)
        if (sockets->socket[i].inode == inode)
            return sockets->socket[i].fd;
    return -1;
}

// An address as proc_net(5) writes it.
static void format_address(const struct apply_rule *rule, char text[64])
{
    uint32_t part[4];

    memcpy(part, &rule->address.in6.sin6_addr, sizeof part);
    if (rule->address.any.sa_family == AF_INET6)
        snprintf(text, 64, "%08X%08X%08X%08X:%04X", part[0], part[1], part[2], part[3], rule->port);
    else
        snprintf(text, 64, "%08X:%04X", rule->address.in.sin_addr.s_addr, rule->port);
}

// Which of xinetd's descriptors, all in SOCKETS, listens where RULE should; or -1.
static int listening_fd(const struct hangup *hangup, const struct sockets *sockets,
                        const struct apply_rule *rule)
{
    bool six = rule->address.any.sa_family == AF_INET6;
    int fd = -1;
    char path[64], wanted[64], local[64], line[512];
    unsigned long inode;
    unsigned state;
    FILE *file;

    format_address(rule, wanted);
    snprintf(path, sizeof path, "/proc/%d/net/%s%s", (int)hangup->pid, rule->udp ? "udp" : "tcp",
             six ? "6" : "");
    file = fopen(path, "re");
    while (file && fd < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "%*s %63s %*s %x %*s %*s %*s %*s %*s %lu", local, &state, &inode) == 3 &&
            state == (rule->udp ? TCP_CLOSE : TCP_LISTEN) && strcmp(local, wanted) == 0)
            fd = fd_of(sockets, inode);
    if (file)
        fclose(file);
    return fd;
}

// Whether xinetd's descriptor FD is IPv6 alone though RULE is not to be, or the other way round;
// false where the kernel does not let us ask.
static bool is_other_family(const struct hangup *hangup, int fd, const struct apply_rule *rule)
{
    int pidfd = (int)syscall(SYS_pidfd_open, hangup->pid, 0);
    int own = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0), v6only = 0;
    socklen_t size = sizeof v6only;
    bool other = own >= 0 && getsockopt(own, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &size) == 0 &&
                 (v6only != 0) != rule->v6only;

    if (own >= 0)
        close(own);
    if (pidfd >= 0)
        close(pidfd);
    return other;
}

// Names the rules for :: whose sockets xinetd keeps as they were, though they should or should not
// take IPv4 clients from now on. Returns how many there are.
static size_t count_kept(const struct hangup *hangup)
{
    struct sockets sockets = {.count = 0};
    size_t kept = 0;

    find_sockets(hangup, &sockets);
    for (size_t i = 0; i < hangup->request->count; i++) {
        const struct apply_rule *rule = &hangup->request->rules[i];
        int fd = rule->address.any.sa_family == AF_INET6 && host_is_wildcard(&rule->address)
                     ? listening_fd(hangup, &sockets, rule)
                     : -1;

        if (fd < 0 || !is_other_family(hangup, fd, rule))
            continue;
        kept++;
        apply_say(hangup->request, "xinetd %s the socket of %s%s as it was, %s: restart xinetd",
                  hangup->request->only_tell ? "would keep" : "keeps",
                  rule->listener + strlen(OPTION), rule->udp ? "/udp" : "",
                  rule->v6only ? "for IPv4 clients, too" : "for no IPv4 clients");
    }
    free(sockets.socket);
    return kept;
}

// Counts the rules that xinetd does not listen for, and names them if TOLD.
static size_t count_closed(const struct hangup *hangup, bool told)
{
    struct sockets sockets = {.count = 0};
    size_t closed = 0;

    find_sockets(hangup, &sockets);
    for (size_t i = 0; i < hangup->request->count; i++) {
        if (listening_fd(hangup, &sockets, &hangup->request->rules[i]) >= 0)
            continue;
        closed++;
        if (told)
            apply_say(hangup->request,
                      "xinetd does not listen at %s%s: is the port taken? Its own log tells",
                      hangup->request->rules[i].listener + strlen(OPTION),
                      hangup->request->rules[i].udp ? "/udp" : "");
    }
    free(sockets.socket);
    return closed;
}

// Waits until xinetd has read the file.
static bool await_reading(const struct hangup *hangup)
{
    struct pollfd ready = {.fd = hangup->inotify, .events = POLLIN};

    return hangup->inotify < 0 || poll(&ready, 1, READ_MS) == 1;
}

static void watch(struct hangup *hangup)
{
    const struct output_plan *plan = hangup->request->plan;
    char *path;

    hangup->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (hangup->inotify < 0 || asprintf(&path, "%s/%s", plan->dir, main_step(plan)->name) < 0)
        return;
    if (inotify_add_watch(hangup->inotify, path, IN_CLOSE_NOWRITE) < 0) {
        close(hangup->inotify);
        hangup->inotify = -1;
    }
    free(path);
}

static int send_signal(const struct hangup *hangup)
{
    if (kill(hangup->pid, SIGHUP) == 0)
        return 0;
    apply_say(hangup->request, "unable to signal xinetd, process %d: %s", (int)hangup->pid,
              strerror(errno));
    return -1;
}

static int reload(struct hangup *hangup)
{
    const struct output_plan *plan = hangup->request->plan;
    int64_t until_ms;
    size_t failed;

    watch(hangup);
    warn_of_connections(hangup);
    end_gone(hangup);
    if (send_signal(hangup) < 0)
        return -1;
    if (!await_reading(hangup)) {
        apply_say(hangup->request,
                  "xinetd, process %d, did not read %s/%s: its configuration should include %s",
                  (int)hangup->pid, plan->dir, main_step(plan)->name, plan->dir);
        return -1;
    }
    until_ms = now_ms() + OPEN_MS;
    while (count_closed(hangup, false) > 0 && now_ms() < until_ms)
        wait_ms(LOOK_MS);
    end_old(hangup);
    failed = count_closed(hangup, true);
    failed += count_kept(hangup);
    if (failed > 0)
        return -1;
    apply_say(hangup->request, "xinetd, process %d, has reloaded", (int)hangup->pid);
    return 0;
}

static int tell(const struct hangup *hangup)
{
    struct children old = {0};

    warn_of_connections(hangup);
    signal_old(hangup, 0, &old);
    free(old.pid);
    count_kept(hangup);
    apply_say(hangup->request, "would reload xinetd, process %d", (int)hangup->pid);
    return 0;
}

int hangup_xinetd(const struct apply_request *request)
{
    struct hangup hangup = {.request = request, .pid = find_xinetd(), .inotify = -1};
    int result = 0;

    if (!request->only_tell)
        result = request->write(request->context);
    if (result == 0 && hangup.pid <= 0) {
        apply_say(hangup.request,
                  hangup.pid == 0
                      ? "unable to apply: xinetd does not run"
                      : "unable to apply: several xinetd run, and none has /run/xinetd.pid");
        result = -1;
    }
    if (result == 0)
        result = request->only_tell ? tell(&hangup) : reload(&hangup);
    if (hangup.inotify >= 0)
        close(hangup.inotify);
    return result;
}
