// SPDX-License-Identifier: ISC
#include "apply.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "systemd.h"

#define GENERATED "/run/systemd/generator"
#define RETRY_MS  5000 // an old worker closes its listener within much less
#define LOOK_MS   50   // after the first try; each time it is doubled, up to
#define PAUSE_MS  1000
#define WANTS     "sockets.target.wants"

// What is to be done with a unit, in this order.
enum todo {
    DISABLE = 1 << 0,
    STOP = 1 << 1, // as it was read before: what its KillMode says is lost with its file
    ENABLE = 1 << 2,
    HALT = 1 << 3, // for the start that follows
    START = 1 << 4,
    RESTART = 1 << 5,
    RESET = 1 << 6, // forget that it failed
    AGAIN = 1 << 7, // the first try was in vain
};

// A unit, of the same index as what systemd said of it at the beginning.
struct item {
    const struct output_step *step; // NULL for one that no file is, was or will be planned for
    unsigned todo;
    bool socket, wanted, was_active;
    bool ours_to_undo; // what changes for it is this plan's doing
    bool failed;
};

struct work {
    const struct apply_request *request;
    struct systemd systemd;
    struct systemd_units units;
    struct item *item;
    const char **names; // room for one of each item
    bool rival_ran;
    bool failed; // something is not as it should be, and was told
    bool done;   // something was done, or is to be
};

void apply_say(const struct apply_request *request, const char *format, ...)
{
    va_list arguments;
    char *line;
    int length;

    va_start(arguments, format);
    length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    request->say(request->context, line);
    free(line);
}

static int fail(const struct work *work, const char *verb, const char *object)
{
    apply_say(work->request, "unable to %s %s: %s", verb, object, strerror(errno));
    return -1;
}

static const char *dir_of(const struct work *work)
{
    return work->request->plan->dir;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), suffix_length = strlen(suffix);

    return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_below_run(const char *dir)
{
    char *real = realpath(dir, NULL);
    bool below = real && strncmp(real, "/run/", 5) == 0;

    free(real);
    return below;
}

// Whether systemd would read what is written.
static int check_folder(const struct work *work)
{
    char *path = systemd_unit_path(&work->systemd), *rest = path;
    bool found = false;

    if (!path)
        return -1;
    for (char *folder; (folder = strsep(&rest, " "));)
        found |= same_file(folder, dir_of(work));
    if (!found)
        apply_say(work->request,
                  "unable to apply: systemd does not read units from %s (see `systemctl show -p "
                  "UnitPath`); nothing was changed",
                  dir_of(work));
    free(path);
    return found ? 0 : -1;
}

// Whether it is a folder of systemd.generator(7): emptied, and filled again, at each daemon-reload.
static bool is_generated(const char *dir)
{
    char *real = realpath(dir, NULL);
    bool generated = real && strncmp(real, GENERATED, strlen(GENERATED)) == 0;

    free(real);
    return generated;
}

static int check_system(const struct work *work)
{
    if (systemd_is_running() && !is_generated(dir_of(work)))
        return check_folder(work);
    if (systemd_is_running()) {
        apply_say(work->request,
                  "unable to apply: what is in %s is made by systemd's generators, at each "
                  "daemon-reload anew; nothing was changed",
                  dir_of(work));
        return -1;
    }
    apply_say(work->request,
              "unable to apply: systemd does not run here (no /run/systemd/system); nothing was "
              "changed");
    return -1;
}

// The item of the unit that NAME, which ends in FROM, is called with TO in its place.
static struct item *partner(const struct work *work, const char *name, const char *from,
                            const char *to)
{
    size_t length = strlen(name) - strlen(from);

    for (size_t i = 0; i < work->units.count; i++)
        if (strncmp(work->units.unit[i].name, name, length) == 0 &&
            strcmp(work->units.unit[i].name + length, to) == 0)
            return &work->item[i];
    return NULL;
}

static const struct output_step *step_of(const struct work *work, const char *name)
{
    const struct output_plan *plan = work->request->plan;

    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->step[i].name, name) == 0)
            return &plan->step[i];
    return NULL;
}

// Whether the unit has been active since before PATH was written.
static bool is_older(const struct systemd_unit *unit, const char *path)
{
    struct timespec real, monotonic;
    struct stat status;
    int64_t age_us;

    if (stat(path, &status) < 0 || unit->since_us == 0)
        return false;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    age_us = (int64_t)(real.tv_sec - status.st_mtim.tv_sec) * 1000000 +
             (real.tv_nsec - status.st_mtim.tv_nsec) / 1000;
    return age_us >= 0 && (int64_t)monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000 - age_us >
                              (int64_t)unit->since_us;
}

// Whether the unit has been active since before its file, or one that adds to it, was written,
// perhaps by one who did not apply it.
static bool is_older_than_files(const struct work *work, const struct systemd_unit *unit)
{
    char *path, *drop_ins = unit->drop_ins ? strdup(unit->drop_ins) : NULL, *rest = drop_ins;
    bool older = false;

    for (char *drop_in; (drop_in = strsep(&rest, " "));)
        older |= is_older(unit, drop_in);
    free(drop_ins);
    if (asprintf(&path, "%s/%s", dir_of(work), unit->name) < 0)
        return older;
    older |= is_older(unit, path);
    free(path);
    return older;
}

// Whether what runs is not what the file will say. NeedDaemonReload would not tell: it is true
// whenever the configuration, the SourcePath of all units, has been edited.
static bool has_changed(const struct work *work, const struct systemd_unit *unit,
                        const struct item *item)
{
    return item->step->change != OUTPUT_SAME || is_older_than_files(work, unit);
}

// A unit that no file is planned for is ours to stop if its own file is gone from our folder.
static bool is_orphan(const struct work *work, const struct systemd_unit *unit)
{
    const char *slash = unit->fragment ? strrchr(unit->fragment, '/') : NULL;
    struct stat status;
    char *folder;
    bool ours;

    if (strcmp(unit->load, "not-found") == 0)
        return true;
    if (!slash || lstat(unit->fragment, &status) == 0)
        return false;
    folder = strndup(unit->fragment, (size_t)(slash - unit->fragment));
    ours = folder && same_file(folder, dir_of(work));
    free(folder);
    return ours;
}

static void decide_gone(const struct systemd_unit *unit, struct item *item)
{
    if (item->was_active)
        item->todo |= STOP;
    if (strcmp(unit->active, "failed") == 0)
        item->todo |= RESET;
    if (item->socket && strncmp(unit->file_state, "enabled", 7) == 0)
        item->todo |= DISABLE;
}

// Whether it is not to be started at each boot, but could be: a template of the site's may have no
// [Install]. What a generator wants is gone with the generator.
static bool lacks_enabling(const struct work *work, const struct systemd_unit *unit)
{
    return !unit->file_state[0] || strcmp(unit->file_state, "disabled") == 0 ||
           strcmp(unit->file_state, "generated") == 0 ||
           (strcmp(unit->file_state, "enabled-runtime") == 0 && !is_below_run(dir_of(work)));
}

static void decide_socket(const struct work *work, const struct systemd_unit *unit,
                          struct item *item)
{
    const struct item *service = partner(work, unit->name, ".socket", ".service");
    // One more client of the old service would have it started anew before the new one is known.
    bool early = service && service->step && !service->wanted;

    if (!item->was_active)
        item->todo |= START;
    else if (has_changed(work, unit, item))
        item->todo |= START | (early ? STOP : HALT);
    if (item->todo)
        item->ours_to_undo = item->was_active || item->step->change != OUTPUT_SAME;
    if (lacks_enabling(work, unit))
        item->todo |= ENABLE;
}

// A service whose socket is to stop is stopped even if it does not run yet: a client may come.
static void decide_service(const struct work *work, const struct systemd_unit *unit,
                           struct item *item)
{
    const struct item *socket = partner(work, unit->name, ".service", ".socket");
    bool loaded = strcmp(unit->load, "loaded") == 0;

    if (!item->wanted)
        item->todo |= socket && (socket->todo & STOP) && loaded ? STOP : 0;
    else if (socket && (socket->todo & START))
        item->todo |= item->was_active || ((socket->todo & HALT) && loaded) ? HALT : 0;
    else if (item->was_active && (has_changed(work, unit, item) || !systemd_runs_its_command(unit)))
        item->todo |= RESTART;
    item->ours_to_undo = item->wanted && item->step->change != OUTPUT_SAME;
}

static void decide(struct work *work)
{
    for (size_t i = 0; i < work->units.count; i++) {
        const struct systemd_unit *unit = &work->units.unit[i];
        struct item *item = &work->item[i];

        item->step = step_of(work, unit->name);
        item->socket = has_suffix(unit->name, ".socket");
        item->wanted = item->step && item->step->change != OUTPUT_REMOVED;
        item->was_active = systemd_is_active(unit);
        if (!item->wanted && (item->step || is_orphan(work, unit)))
            decide_gone(unit, item);
    }
    for (size_t i = 0; i < work->units.count; i++)
        if (work->item[i].socket && work->item[i].wanted)
            decide_socket(work, &work->units.unit[i], &work->item[i]);
    for (size_t i = 0; i < work->units.count; i++)
        if (!work->item[i].socket && work->item[i].step)
            decide_service(work, &work->units.unit[i], &work->item[i]);
}

// Names in a list that grows; free() each and the list.
struct names {
    char **name;
    size_t count;
};

static bool add_name(struct names *names, const char *name)
{
    char **grown = reallocarray(names->name, names->count + 1, sizeof *grown);

    if (!grown)
        return false;
    names->name = grown;
    grown[names->count] = strdup(name);
    return grown[names->count++] != NULL;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
}

// Adds the sockets of ours that are enabled and have no file any more: somebody has written the
// folder and not applied it.
static bool add_dangling(const struct work *work, struct names *names)
{
    const struct dirent *entry;
    char *path = NULL;
    bool good = asprintf(&path, "%s/" WANTS, dir_of(work)) >= 0;
    DIR *dir = good ? opendir(path) : NULL;

    while (dir && good && (entry = readdir(dir)))
        if (work->request->is_ours(entry->d_name) && !step_of(work, entry->d_name) &&
            faccessat(dirfd(dir), entry->d_name, F_OK, 0) < 0 && errno == ENOENT)
            good = add_name(names, entry->d_name);
    if (dir)
        closedir(dir);
    free(path);
    return good;
}

// Asks for all units of the plan, and all of ours besides.
static int look(struct work *work)
{
    const struct output_plan *plan = work->request->plan;
    struct names names = {.count = 0};
    size_t planned = 0;
    bool good = true;
    int result = -1;

    for (size_t i = 0; i < plan->count && good; i++)
        if (work->request->is_ours(plan->step[i].name))
            good = add_name(&names, plan->step[i].name);
    planned = names.count;
    if (good && add_dangling(work, &names))
        result = systemd_ask(&work->systemd, (const char *const *)names.name, names.count,
                             work->request->is_ours, &work->units);
    else
        fail(work, "apply", "the units");
    work->item = calloc(work->units.count + 1, sizeof *work->item);
    work->names = calloc(work->units.count + 1, sizeof *work->names);
    if (!work->item || !work->names)
        result = fail(work, "apply", "the units");
    for (size_t i = planned; result == 0 && i < names.count; i++) {
        const struct systemd_unit *unit = systemd_find(&work->units, names.name[i]);

        if (unit)
            work->item[unit - work->units.unit].todo = DISABLE;
    }
    if (result == 0)
        decide(work);
    names_free(&names);
    return result;
}

// Collects the names of the units for which any of TODO is to be done; sockets first, so that no
// client starts a service again that is being stopped.
static size_t pick(const struct work *work, unsigned todo)
{
    size_t count = 0;

    for (int sockets = 1; sockets >= 0; sockets--)
        for (size_t i = 0; i < work->units.count; i++)
            if ((work->item[i].todo & todo) && work->item[i].socket == sockets)
                work->names[count++] = work->units.unit[i].name;
    return count;
}

static bool any(const struct work *work, unsigned todo)
{
    for (size_t i = 0; i < work->units.count; i++)
        if (work->item[i].todo & todo)
            return true;
    return false;
}

static int order(const struct work *work, const struct systemd *systemd, const char *verb,
                 unsigned todo)
{
    size_t count = pick(work, todo);

    return count > 0 ? systemd_order(systemd, verb, work->names, count) : 0;
}

static void tell_one(struct work *work, size_t at, const char *verb, const char *past)
{
    if (work->request->only_tell)
        apply_say(work->request, "would %s %s", verb, work->units.unit[at].name);
    else
        apply_say(work->request, "%s %s", past, work->units.unit[at].name);
    work->done = true;
}

// Says what has been done, or would be, where TODO was to be done.
static void tell(struct work *work, unsigned todo, const char *verb, const char *past)
{
    for (size_t i = 0; i < work->units.count; i++)
        if ((work->item[i].todo & todo) && !work->item[i].failed)
            tell_one(work, i, verb, past);
}

// A stop for a start is a restart, and who did not run is stopped in silence.
static void tell_stopped(struct work *work, unsigned todo)
{
    for (size_t i = 0; i < work->units.count; i++)
        if ((work->item[i].todo & todo) && !(work->item[i].todo & START) &&
            work->item[i].was_active)
            tell_one(work, i, "stop", "stopped");
}

static void tell_started(struct work *work)
{
    for (size_t i = 0; i < work->units.count; i++) {
        const struct item *item = &work->item[i];

        if (!(item->todo & START) || item->failed)
            continue;
        if (item->was_active)
            tell_one(work, i, "restart", "restarted");
        else
            tell_one(work, i, "start", "started");
    }
}

static const char *verb_for_folder(const struct work *work, const char *verb, char text[64])
{
    snprintf(text, 64, "%s --no-reload%s", verb, is_below_run(dir_of(work)) ? " --runtime" : "");
    return text;
}

static bool is_outdated(const struct work *work)
{
    for (size_t i = 0; i < work->units.count; i++)
        if (work->item[i].step && work->units.unit[i].outdated)
            return true;
    return false;
}

static void wait_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Marks which of the sockets that were to be started are not active, and with their services what
// to try again. Returns how many, or -1.
static int count_failed(struct work *work)
{
    struct systemd_units now = {.count = 0};
    size_t count = pick(work, START);
    int failed = 0, result = systemd_ask(&work->systemd, work->names, count, NULL, &now);

    for (size_t i = 0; i < work->units.count; i++)
        work->item[i].todo &= ~(unsigned)AGAIN;
    for (size_t i = 0; i < work->units.count; i++) {
        const struct systemd_unit *unit = systemd_find(&now, work->units.unit[i].name);
        struct item *service;

        work->item[i].failed = unit && !systemd_is_active(unit);
        if (!work->item[i].failed)
            continue;
        failed++;
        work->item[i].todo |= AGAIN;
        service = partner(work, unit->name, ".socket", ".service");
        if (service)
            service->todo |= AGAIN;
    }
    systemd_units_free(&now);
    return result < 0 ? -1 : failed;
}

// Starts all sockets with START, more than once where that takes a moment: while an old worker has
// not yet closed its listener, or a client had the service started that is in the way. Returns 0
// when all are active.
static int start_sockets(struct work *work)
{
    const struct systemd silent = {.say = NULL};
    int64_t until_ms = now_ms() + RETRY_MS;
    int failed = 0, pause_ms = LOOK_MS;

    while (order(work, &silent, "start", START) < 0) {
        failed = count_failed(work);
        if (failed <= 0 || now_ms() >= until_ms)
            break;
        wait_ms(pause_ms);
        pause_ms = pause_ms < PAUSE_MS / 2 ? 2 * pause_ms : PAUSE_MS;
        order(work, &silent, "stop", AGAIN);
        order(work, &silent, "reset-failed", AGAIN);
        failed = 0;
    }
    return failed == 0 ? 0 : -1;
}

// Whether systemd has read what was written. Returns 0, or -1 after telling what it has instead.
static int check_loaded(struct work *work, const struct systemd_units *now)
{
    int result = 0;

    for (size_t i = 0; i < work->units.count; i++) {
        const struct systemd_unit *unit = systemd_find(now, work->units.unit[i].name);
        char *path;

        if (!unit || !work->item[i].wanted)
            continue;
        if (asprintf(&path, "%s/%s", dir_of(work), unit->name) < 0)
            return -1;
        if (strcmp(unit->load, "loaded") != 0)
            apply_say(work->request, "systemd does not take %s: %s", path, unit->load);
        else if (!unit->fragment || !same_file(unit->fragment, path))
            apply_say(work->request, "systemd does not take %s: it takes %s", path, unit->fragment);
        if (strcmp(unit->load, "loaded") != 0 || !unit->fragment ||
            !same_file(unit->fragment, path))
            result = -1;
        free(path);
    }
    return result;
}

// What becomes of an active unit for which nothing was to be done, if systemd knows it otherwise
// now.
static void decide_again(const struct work *work, const struct systemd_unit *unit,
                         struct item *item)
{
    struct item *service = partner(work, unit->name, ".socket", ".service");

    if (item->socket && !(item->todo & START) && is_older_than_files(work, unit)) {
        item->todo |= START | HALT;
        if (service && service->wanted)
            service->todo = HALT;
    } else if (!item->socket && !item->todo &&
               (is_older_than_files(work, unit) || !systemd_runs_its_command(unit))) {
        item->todo |= RESTART;
    }
}

// Looks at all units of the plan after systemd has read them: whether it has, and which of them go
// on as they were before.
static int look_again(struct work *work)
{
    struct systemd_units now = {.count = 0};
    size_t count = 0;
    int result;

    for (size_t i = 0; i < work->units.count; i++)
        if (work->item[i].wanted)
            work->names[count++] = work->units.unit[i].name;
    result = systemd_ask(&work->systemd, work->names, count, NULL, &now);
    if (result == 0)
        result = check_loaded(work, &now);
    for (size_t i = 0; i < work->units.count; i++) {
        const struct systemd_unit *unit = systemd_find(&now, work->units.unit[i].name);

        if (unit && work->item[i].wanted && systemd_is_active(unit))
            decide_again(work, unit, &work->item[i]);
    }
    systemd_units_free(&now);
    return result;
}

// Brings back the sockets that were there, and the services that would run with the new rules.
static int restore_units(struct work *work)
{
    const struct systemd silent = {.say = NULL};
    int result;

    for (size_t i = 0; i < work->units.count; i++) {
        struct item *item = &work->item[i];
        bool served = item->socket && item->was_active && (item->todo & (START | STOP));

        item->failed = false;
        item->todo = (item->todo & RESTART) | (served ? START : 0);
    }
    result = start_sockets(work);
    for (size_t i = 0; i < work->units.count; i++)
        if (work->item[i].failed)
            apply_say(work->request, "unable to start %s again", work->units.unit[i].name);
    order(work, &silent, "try-restart", RESTART);
    return result;
}

static bool is_active(const struct work *work, const char *name)
{
    struct systemd_units found = {.count = 0};
    bool active = systemd_ask(&work->systemd, &name, 1, NULL, &found) == 0 &&
                  systemd_is_active(systemd_find(&found, name));

    systemd_units_free(&found);
    return active;
}

// Undoes everything, after systemd has refused it. Always returns -1.
static int put_back(struct work *work)
{
    const struct output_plan *plan = work->request->plan;
    const struct systemd silent = {.say = NULL};
    char verb[64];
    int result = 0;

    order(work, &silent, "stop", START | HALT);
    order(work, &silent, "reset-failed", START);
    order(work, &work->systemd, verb_for_folder(work, "disable", verb), ENABLE);
    if (output_revert(work->request->plan) < 0) {
        apply_say(work->request, "unable to put back %s/%s: %s", plan->dir, plan->failed,
                  strerror(errno));
        result = -1;
    }
    order(work, &work->systemd, verb_for_folder(work, "enable", verb), DISABLE);
    if (systemd_order(&work->systemd, "daemon-reload", NULL, 0) < 0 || restore_units(work) < 0)
        result = -1;
    if (work->rival_ran && (systemd_order(&work->systemd, "start", &work->request->rival, 1) < 0 ||
                            !is_active(work, work->request->rival)))
        result = -1;
    if (result == 0)
        apply_say(work->request, "put back what was there: the files and sockets are as before");
    else
        apply_say(work->request, "not everything is as it was");
    return -1;
}

// Whether a socket that cannot be started is one that the plan has changed, or had been active.
static bool is_refused(const struct work *work)
{
    bool refused = false;

    for (size_t i = 0; i < work->units.count; i++) {
        const struct item *item = &work->item[i];
        const char *name = work->units.unit[i].name;

        if (!item->failed)
            continue;
        apply_say(work->request, "unable to start %s: is its port taken? See `journalctl -u %s`",
                  name, name);
        refused |= item->ours_to_undo;
    }
    return refused;
}

// What has to be done before systemd reads the new files.
static int leave_old(struct work *work)
{
    char verb[64];

    if (order(work, &work->systemd, "stop", STOP) < 0)
        work->failed = true;
    order(work, &(struct systemd){.say = NULL}, "reset-failed", RESET);
    tell_stopped(work, STOP);
    if (order(work, &work->systemd, verb_for_folder(work, "enable", verb), ENABLE) < 0)
        return -1;
    tell(work, ENABLE, "enable", "enabled");
    return 0;
}

// Which services have not come up again; systemctl is quiet about it.
static void tell_not_restarted(const struct work *work)
{
    struct systemd_units now = {.count = 0};
    size_t count = pick(work, RESTART);

    if (systemd_ask(&work->systemd, work->names, count, NULL, &now) == 0)
        for (size_t i = 0; i < now.count; i++)
            if (strcmp(now.unit[i].active, "active") != 0)
                apply_say(work->request, "unable to restart %s: see `journalctl -u %s`",
                          now.unit[i].name, now.unit[i].name);
    systemd_units_free(&now);
}

static int enter_new(struct work *work)
{
    bool started;

    if (order(work, &work->systemd, "try-restart", RESTART) < 0) {
        tell_not_restarted(work);
        return -1;
    }
    tell(work, RESTART, "restart", "restarted");
    if (order(work, &(struct systemd){.say = NULL}, "stop", HALT) == 0)
        tell_stopped(work, HALT);
    started = start_sockets(work) == 0;
    if (!started && is_refused(work))
        return -1;
    work->failed |= !started;
    tell_started(work);
    return 0;
}

// Without its file a service has lost its KillMode, too.
static void warn_of_lost(const struct work *work)
{
    for (size_t i = 0; i < work->units.count; i++)
        if ((work->item[i].todo & STOP) && !work->item[i].socket && work->item[i].was_active &&
            strcmp(work->units.unit[i].load, "not-found") == 0)
            apply_say(
                work->request,
                "warning: %s ends with its open connections: systemd has read that its file is "
                "gone, and knows no more that they were to live on",
                work->units.unit[i].name);
}

// Whether there is something for systemd to read: a compiled access list is read by each decision.
static bool changes_units(const struct work *work)
{
    const struct output_plan *plan = work->request->plan;

    for (size_t i = 0; i < plan->count; i++)
        if (plan->step[i].change != OUTPUT_SAME && work->request->is_ours(plan->step[i].name))
            return true;
    return false;
}

static int carry_out(struct work *work)
{
    const struct apply_request *request = work->request;
    bool reload = changes_units(work) || is_outdated(work) || any(work, ENABLE | DISABLE);
    char verb[64];

    work->rival_ran = is_active(work, request->rival);
    if (order(work, &work->systemd, verb_for_folder(work, "disable", verb), DISABLE) < 0)
        return -1;
    if (request->write(request->context) < 0) {
        order(work, &work->systemd, verb_for_folder(work, "enable", verb), DISABLE);
        return -1;
    }
    tell(work, DISABLE, "disable", "disabled");
    if (leave_old(work) < 0)
        return put_back(work);
    if (reload && systemd_order(&work->systemd, "daemon-reload", NULL, 0) < 0)
        return put_back(work);
    if (look_again(work) < 0 || enter_new(work) < 0)
        return put_back(work);
    if (!work->done && request->plan->changes == 0 && !reload && !work->failed)
        apply_say(work->request, "nothing to do");
    else if (!work->done && reload)
        apply_say(work->request, "systemd has read the units again");
    return work->failed ? -1 : 0;
}

static void tell_plan(struct work *work)
{
    tell(work, DISABLE, "disable", "");
    tell_stopped(work, STOP | HALT);
    tell(work, ENABLE, "enable", "");
    tell(work, RESTART, "restart", "");
    tell_started(work);
    if (!work->done && is_outdated(work))
        apply_say(work->request, "would have systemd read the units again");
    else if (!work->done && work->request->plan->changes == 0)
        apply_say(work->request, "nothing to do");
}

int apply_systemd(const struct apply_request *request)
{
    struct work work = {.request = request,
                        .systemd = {.say = request->say, .context = request->context}};
    int result = check_system(&work);

    if (result == 0)
        result = look(&work);
    if (result == 0)
        warn_of_lost(&work);
    if (result == 0 && request->only_tell)
        tell_plan(&work);
    else if (result == 0)
        result = carry_out(&work);
    systemd_units_free(&work.units);
    free(work.item);
    free(work.names);
    return result;
}
