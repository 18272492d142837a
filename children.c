// SPDX-License-Identifier: ISC
#include "children.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 16384

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool children_have(const struct children *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->pid[i] == pid)
            return true;
    return false;
}

// A process that does not fit is left out: its turn comes with the next look.
static void pids_add(struct children *list, pid_t pid)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        pid_t *bigger = reallocarray(list->pid, room, sizeof *bigger);

        if (!bigger)
            return;
        list->pid = bigger;
        list->room = room;
    }
    list->pid[list->count++] = pid;
}

// Returns whether the kernel tells (CONFIG_PROC_CHILDREN).
static bool add_children_of_thread(pid_t parent, const char *thread, struct children *list)
{
    char path[PATH_MAX];
    FILE *file;
    int pid;

    snprintf(path, sizeof path, "/proc/%d/task/%s/children", (int)parent, thread);
    file = fopen(path, "re");
    if (!file)
        return false;
    while (fscanf(file, "%d", &pid) == 1)
        pids_add(list, pid);
    fclose(file);
    return true;
}

static pid_t parent_of(const char *pid)
{
    char path[PATH_MAX], line[512];
    const char *end;
    FILE *file;
    size_t length;
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    // The name of the program stands in parentheses and may hold any byte.
    end = strrchr(line, ')');
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static void add_children_by_search(pid_t parent, struct children *list)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc");

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parent_of(entry->d_name) == parent)
            pids_add(list, (pid_t)atoi(entry->d_name));
    closedir(dir);
}

void children_find(pid_t parent, struct children *list)
{
    const struct dirent *entry;
    bool told = false;
    char path[64];
    DIR *dir;

    list->count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && add_children_of_thread(parent, entry->d_name, list))
            told = true;
    if (dir)
        closedir(dir);
    if (!told)
        add_children_by_search(parent, list);
}

// The whole of a file below /proc, with a NUL; free() it.
static char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;

    *size = 0;
    if (!file)
        return NULL;
    do {
        char *grown = realloc(text, room += READ_BYTES);

        if (!grown) {
            free(text);
            fclose(file);
            return NULL;
        }
        text = grown;
        *size += fread(text + *size, 1, room - *size - 1, file);
    } while (*size == room - 1);
    fclose(file);
    text[*size] = '\0';
    return text;
}

char *children_arguments(pid_t pid)
{
    char path[64], *text, *end;
    size_t size, name;

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    text = read_whole(path, &size);
    if (!text || size == 0) {
        free(text);
        return NULL;
    }
    name = strlen(text) + 1;
    end = text + size;
    memmove(text, text + smaller(name, size), size + 1 - smaller(name, size));
    end -= smaller(name, size);
    for (char *c = text; c < end; c++)
        if (*c == '\0')
            *c = ' ';
    return text;
}

bool children_are_told(const char *arguments, const char *word)
{
    size_t length = strlen(word);

    for (const char *found = arguments; (found = strstr(found, word)); found++)
        if ((found == arguments || found[-1] == ' ') && found[length] == ' ')
            return true;
    return false;
}

// The value of "NAME = VALUE", a word, on a line of the entry of TEXT that AT is in. Returns
// whether there is one.
static bool find_value(const char *text, const char *at, const char *name, char value[PATH_MAX])
{
    const char *line = at;

    while (line > text && *line != '{')
        line--;
    while ((line = strchr(line, '\n')) && line[1] != '}') {
        size_t length = strlen(name);

        line += 1 + strspn(line + 1, " \t");
        if (strncmp(line, name, length) == 0 && strchr(" \t=", line[length]))
            return sscanf(line + length, " = %4095s", value) == 1;
    }
    return false;
}

// Whether PID runs as USER, a name or a number; true where nobody can tell.
static bool runs_as(pid_t pid, const char *user)
{
    const struct passwd *entry = getpwnam(user);
    unsigned wanted = entry ? entry->pw_uid : (unsigned)strtoul(user, NULL, 10), uid = wanted;
    char path[64], *status, *line;
    size_t size;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    status = read_whole(path, &size);
    line = status ? strstr(status, "\nUid:") : NULL;
    if (line && sscanf(line, " Uid: %*u %u", &uid) != 1)
        uid = wanted;
    free(status);
    return uid == wanted;
}

// Whether PID executes the file PROGRAM; true where nobody can tell.
static bool executes(pid_t pid, const char *program)
{
    struct stat own, its;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat(path, &its) < 0 || stat(program, &own) < 0 ||
           (its.st_dev == own.st_dev && its.st_ino == own.st_ino);
}

bool children_run_by(pid_t pid, const char *arguments, const char *text, size_t size)
{
    size_t length = strlen(arguments);
    char *line, value[PATH_MAX];
    const char *found;
    bool good;

    if (length == 0 || asprintf(&line, "= %.*s\n", (int)(length - 1), arguments) < 0)
        return false;
    found = memmem(text, size, line, strlen(line));
    good = found && (!find_value(text, found, "user", value) || runs_as(pid, value)) &&
           (!find_value(text, found, "server", value) || executes(pid, value));
    free(line);
    return good;
}

static bool has_inode(const struct children_inodes *list, unsigned long inode)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->inode[i] == inode)
            return true;
    return false;
}

static void add_inode(struct children_inodes *list, unsigned long inode)
{
    unsigned long *grown = reallocarray(list->inode, list->count + 1, sizeof *grown);

    if (!grown)
        return;
    list->inode = grown;
    grown[list->count++] = inode;
}

// Adds the sockets in the state WANTED that PID's network name space has by TABLE, of proc_net(5).
static void add_in_state(pid_t pid, const char *table, unsigned wanted,
                         struct children_inodes *list)
{
    char path[64], line[512];
    unsigned long inode;
    unsigned state;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, table);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %*s %*s %lu", &state, &inode) == 2 &&
            state == wanted)
            add_inode(list, inode);
    if (file)
        fclose(file);
}

void children_find_sockets(pid_t pid, struct children_sockets *sockets)
{
    add_in_state(pid, "tcp", TCP_LISTEN, &sockets->listening);
    add_in_state(pid, "tcp6", TCP_LISTEN, &sockets->listening);
    // Without a peer: the kernel has no other word for it.
    add_in_state(pid, "udp", TCP_CLOSE, &sockets->datagrams);
    add_in_state(pid, "udp6", TCP_CLOSE, &sockets->datagrams);
}

void children_sockets_free(struct children_sockets *sockets)
{
    free(sockets->listening.inode);
    free(sockets->datagrams.inode);
    memset(sockets, 0, sizeof *sockets);
}

// Finds the socket that is descriptor NAME in the folder DIR. Returns whether it is one.
static bool find_inode(int dir, const char *name, unsigned long *inode)
{
    char link[64];
    ssize_t length = readlinkat(dir, name, link, sizeof link - 1);

    link[length > 0 ? length : 0] = '\0';
    return sscanf(link, "socket:[%lu]", inode) == 1;
}

bool children_take_datagrams(pid_t pid, const struct children_sockets *sockets)
{
    unsigned long inode;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/0", (int)pid);
    return find_inode(AT_FDCWD, path, &inode) && has_inode(&sockets->datagrams, inode);
}

bool children_listen(pid_t pid, const struct children_sockets *sockets)
{
    const struct dirent *entry;
    bool listens = false;
    unsigned long inode;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && !listens && (entry = readdir(dir)))
        listens =
            find_inode(dirfd(dir), entry->d_name, &inode) && has_inode(&sockets->listening, inode);
    if (dir)
        closedir(dir);
    return listens;
}
