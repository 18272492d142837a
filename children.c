// SPDX-License-Identifier: ISC
#include "children.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
