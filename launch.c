// SPDX-License-Identifier: ISC
#include "launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"
#include "lines.h"

#define ANSWER_MS  10000 // for xinetd to say that it has read its configuration
#define QUIT_MS    3000  // for xinetd to end after SIGTERM
#define END_MS     10000 // for all relays to end after SIGTERM
#define KILL_MS    3000  // for all relays to be gone after SIGKILL
#define GONE_MS    5000  // for the relays of rules that are gone, before xinetd kills them
#define OLD_MS     200   // for those who run by old rules to be found and told to end
#define FLUSH_MS   2000  // for standard output to take the last lines
#define SIGNAL_MS  100   // between two SIGTERM to the same relays
#define LOOK_MS    20    // between two looks at processes that are not our children
#define BOUNCE_MS  500   // see take_signal()
#define FOREVER_MS INT64_MAX

#define MESSAGE_BYTES 2048
#define NAMED_RULES   8 // so many listeners are named, of more only the number
#define PATH_BYTES    (PATH_MAX + 64)

#define CONF_FILE      "xinetd.conf"
#define CONF_NEW_FILE  "xinetd.conf.new"
#define XINETD_PID     "xinetd.pid"
#define XINETD_LOG     "xinetd.log"
#define RELAY_LOG      "log"
#define LIST_END       ".acl"
#define DEFAULT_FOLDER "/tmp"

struct launcher {
    const struct launch_request *request;
    struct launch_config *config; // what xinetd has
    struct launch_config *next;   // what it is about to get, or NULL
    struct children inherited;    // children that are older than the launcher
    struct lines_out out, err;
    struct lines_in log, diagnostics;
    char xinetd[PATH_MAX];
    char dir[PATH_MAX]; // empty until it is there
    int dir_fd, signal_fd;
    pid_t pid; // xinetd's, 0 when it does not run
    int status;
    int started; // services, by xinetd's own word; -1: no word yet
    bool answered, refused;
    int fresh, kept, dropped; // its answer to SIGHUP
    bool reload_asked, stop_asked, hurry;
    int64_t stop_asked_ms;
    char last_passed[MESSAGE_BYTES];
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Messages quote configurations: nothing in them is to reach a terminal as a control character.
static size_t escape(char *line, size_t size, const char *text)
{
    size_t length = 0;

    for (; *text && length + 6 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c >= 0x7f)
            length += (size_t)snprintf(line + length, 5, "\\x%02x", c);
        else
            line[length++] = (char)c;
    }
    line[length++] = '\n';
    return length;
}

static void say_lost(struct launcher *launcher)
{
    struct lines_out *err = &launcher->err;
    char line[128];
    int length;

    if (err->lost == 0)
        return;
    length = snprintf(line, sizeof line, "%s: %zu messages were lost: nobody read them\n",
                      launcher->request->program, err->lost);
    if (lines_out_put(err, line, (size_t)length))
        err->lost = 0;
}

static void say(struct launcher *launcher, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct launcher *launcher, const char *format, ...)
{
    struct lines_out *err = &launcher->err;
    char text[MESSAGE_BYTES], line[MESSAGE_BYTES * 4 + 8];
    va_list arguments;
    int length = snprintf(text, sizeof text, "%s: ", launcher->request->program);

    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
    va_end(arguments);
    say_lost(launcher);
    if (err->lost > 0 || !lines_out_put(err, line, escape(line, sizeof line, text)))
        err->lost++;
    lines_out_flush(err);
}

static int say_failure(struct launcher *launcher, const char *verb, const char *object)
{
    say(launcher, "unable to %s %s: %s", verb, object, strerror(errno));
    return -1;
}

static const struct launch_service *service_in(const struct launch_config *config, const char *name,
                                               size_t length)
{
    for (size_t i = 0; config && i < config->count; i++)
        if (strncmp(config->service[i].name, name, length) == 0 &&
            config->service[i].name[length] == '\0')
            return &config->service[i];
    return NULL;
}

// Which service a line of xinetd's speaks of, or NULL.
static const struct launch_service *service_named(const struct launcher *launcher, const char *text)
{
    static const char blanks[] = " \t,;:()[]=";

    for (const char *word = text; *word; word += strspn(word, blanks)) {
        size_t length = strcspn(word, blanks);
        const struct launch_service *service = service_in(launcher->next, word, length);

        if (!service)
            service = service_in(launcher->config, word, length);
        if (service && length > 0)
            return service;
        word += length;
    }
    return NULL;
}

// Cuts "26/11/21@07:34:13 xinetd[17653]: NOTICE: " off.
static const char *without_stamp(const char *line)
{
    const char *text = strstr(line, " xinetd["), *end = text ? strstr(text, "]: ") : NULL;
    size_t level;

    if (!end)
        return line;
    text = end + 3;
    level = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return level > 0 && text[level] == ':' && text[level + 1] == ' ' ? text + level + 2 : text;
}

static bool begins(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool ends(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

// What xinetd says when nothing is wrong, and what we say ourselves.
static bool is_routine(const char *text)
{
    static const char *const beginnings[] = {
        "Starting reconfiguration", "Swapping defaults", "readjusting service ",
        "Started working: ",        "Reconfigured: ",    "bind retry attempt ",
        "unknown child process ",   "START: ",           "EXIT: ",
        "Reading included ",        "Exiting...",
    };

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (begins(text, beginnings[i]))
            return true;
    return text[0] == '\0' || strstr(text, " started with ") ||
           (begins(text, "service ") && ends(text, " deactivated"));
}

// Learns from one line of xinetd's what it tells us, and passes on what it tells the user.
static void take_diagnostic(struct launcher *launcher, const char *line)
{
    const char *text = without_stamp(line);
    const struct launch_service *service;
    size_t length;

    if (sscanf(text, "Started working: %d", &launcher->started) == 1)
        return;
    if (sscanf(text, "Reconfigured: new=%d old=%d dropped=%d", &launcher->fresh, &launcher->kept,
               &launcher->dropped) == 3)
        launcher->answered = true;
    if (begins(text, "reconfiguration failed"))
        launcher->refused = true;
    // It tries to bind ten times, and says so each time.
    if (is_routine(text) ||
        strncmp(text, launcher->last_passed, sizeof launcher->last_passed - 1) == 0)
        return;
    length = strnlen(text, sizeof launcher->last_passed - 1);
    memcpy(launcher->last_passed, text, length);
    launcher->last_passed[length] = '\0';
    service = service_named(launcher, text);
    if (service)
        say(launcher, "xinetd: %s (rule \"%s\")", text, service->title);
    else
        say(launcher, "xinetd: %s", text);
}

static void read_diagnostics(struct launcher *launcher)
{
    struct lines_in *inlet = &launcher->diagnostics;

    while (lines_in_read(inlet)) {
        char *line = inlet->bytes, *end;

        // A line too long for the buffer is cut.
        if (inlet->size == sizeof inlet->bytes && !memchr(line, '\n', inlet->size))
            line[inlet->size - 1] = '\n';
        while ((end = memchr(line, '\n', inlet->size - (size_t)(line - inlet->bytes)))) {
            *end = '\0';
            take_diagnostic(launcher, line);
            line = end + 1;
        }
        lines_in_drop(inlet, (size_t)(line - inlet->bytes));
    }
}

static void copy_log(struct launcher *launcher)
{
    struct lines_in *log = &launcher->log;
    struct lines_out *out = &launcher->out;

    lines_in_read(log);
    do {
        if (lines_out_flush(out) < 0)
            say(launcher, "unable to write standard output: %s; lines of the log are lost",
                strerror(errno));
    } while (lines_move(log, out));
}

static void take_signal(struct launcher *launcher, uint32_t number)
{
    int64_t now = now_ms();

    if (number == SIGHUP)
        launcher->reload_asked = true;
    if (number != SIGTERM && number != SIGINT)
        return;
    // timeout(1) and sudo(8) send a signal to the process and then to its group: one request.
    if (launcher->stop_asked && now - launcher->stop_asked_ms >= BOUNCE_MS)
        launcher->hurry = true;
    if (!launcher->stop_asked)
        launcher->stop_asked_ms = now;
    launcher->stop_asked = true;
}

static void take_signals(struct launcher *launcher)
{
    struct signalfd_siginfo signals[8];
    ssize_t size;
    pid_t pid;
    int status;

    while ((size = read(launcher->signal_fd, signals, sizeof signals)) > 0)
        for (size_t i = 0; i < (size_t)size / sizeof *signals; i++)
            take_signal(launcher, signals[i].ssi_signo);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != launcher->pid)
            continue;
        launcher->pid = 0;
        launcher->status = status;
    }
}

// The one place to wait: until something happened and was dealt with. Returns false when the time
// UNTIL_MS has come.
static bool step(struct launcher *launcher, int64_t until_ms)
{
    bool log_has_room = launcher->log.size < sizeof launcher->log.bytes;
    struct pollfd fds[] = {
        {.fd = launcher->signal_fd, .events = POLLIN},
        {.fd = launcher->diagnostics.fd, .events = POLLIN},
        {.fd = log_has_room ? launcher->log.fd : -1, .events = POLLIN},
        {.fd = launcher->out.size > 0 ? launcher->out.fd : -1, .events = POLLOUT},
        {.fd = launcher->err.size > 0 ? launcher->err.fd : -1, .events = POLLOUT},
    };
    int64_t left_ms = until_ms == FOREVER_MS ? -1 : until_ms - now_ms();

    if (until_ms != FOREVER_MS && left_ms <= 0)
        return false;
    poll(fds, sizeof fds / sizeof *fds, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
    // What xinetd said before it died is read before its death is acted upon.
    take_signals(launcher);
    read_diagnostics(launcher);
    copy_log(launcher);
    say_lost(launcher);
    lines_out_flush(&launcher->err);
    return true;
}

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static bool find_xinetd(struct launcher *launcher)
{
    static const char more[] = "/usr/sbin:/sbin:/usr/local/sbin";
    const char *const paths[] = {getenv("PATH"), more};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (const char *folder = paths[i]; folder && *folder; folder += *folder == ':') {
            int length = (int)smaller(strcspn(folder, ":"), PATH_MAX);

            snprintf(launcher->xinetd, sizeof launcher->xinetd, "%.*s/xinetd", length, folder);
            if (folder[0] == '/' && is_program(launcher->xinetd))
                return true;
            folder += strcspn(folder, ":");
        }
    }
    say(launcher, "unable to find xinetd in PATH, /usr/sbin, /sbin or /usr/local/sbin: --run needs "
                  "it; install it (its own service need not run) or add its folder to PATH");
    return false;
}

// Where a temporary folder is of use: its name will stand in xinetd.conf, which has no way to say a
// blank, and the relays of another user must be able to reach it.
static const char *temporary_base(void)
{
    const char *base = getenv("TMPDIR");
    struct stat status;

    if (!base || base[0] != '/' || strlen(base) > PATH_MAX / 2)
        return DEFAULT_FOLDER;
    for (const char *c = base; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return DEFAULT_FOLDER;
    if (stat(base, &status) < 0 || (geteuid() == 0 && !(status.st_mode & S_IXOTH)))
        return DEFAULT_FOLDER;
    return base;
}

static void path_of(const struct launcher *launcher, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", launcher->dir, name);
}

static int make_folder(struct launcher *launcher)
{
    snprintf(launcher->dir, sizeof launcher->dir, "%s/rinetd-gen.XXXXXX", temporary_base());
    if (!mkdtemp(launcher->dir)) {
        say_failure(launcher, "create", launcher->dir);
        launcher->dir[0] = '\0';
        return -1;
    }
    launcher->dir_fd = open(launcher->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (launcher->dir_fd < 0 || fchmod(launcher->dir_fd, 0711) < 0)
        return say_failure(launcher, "open", launcher->dir);
    // systemd-tmpfiles(8) removes what is old in /tmp, but passes over locked folders.
    flock(launcher->dir_fd, LOCK_SH | LOCK_NB);
    return 0;
}

// Removes the compiled access lists, which the caller has put there.
static void remove_lists(const struct launcher *launcher)
{
    DIR *dir = launcher->dir_fd >= 0 ? opendir(launcher->dir) : NULL;
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name), end = strlen(LIST_END);

        if (length > end && strcmp(entry->d_name + length - end, LIST_END) == 0)
            unlinkat(launcher->dir_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

static void remove_folder(struct launcher *launcher)
{
    static const char *const names[] = {CONF_FILE, CONF_NEW_FILE, XINETD_PID, XINETD_LOG,
                                        RELAY_LOG};

    if (!launcher->dir[0])
        return;
    for (size_t i = 0; launcher->dir_fd >= 0 && i < sizeof names / sizeof *names; i++)
        unlinkat(launcher->dir_fd, names[i], 0);
    remove_lists(launcher);
    if (rmdir(launcher->dir) < 0 && errno != ENOENT)
        say_failure(launcher, "remove", launcher->dir);
}

// Makes a fifo and opens it for both, so that it never comes to its end.
static int open_fifo(struct launcher *launcher, const char *name, struct lines_in *inlet)
{
    if (mkfifoat(launcher->dir_fd, name, 0600) < 0)
        return say_failure(launcher, "create the fifo", name);
    inlet->fd = openat(launcher->dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (inlet->fd < 0)
        return say_failure(launcher, "open the fifo", name);
    fcntl(inlet->fd, F_SETPIPE_SZ, 1 << 20); // a wish: for the last words of many relays at once
    return 0;
}

// A user who does not exist is the caller's business to report, and xinetd's.
static int give_to_user(struct launcher *launcher, const struct lines_in *inlet)
{
    const char *user = launcher->request->user;
    const struct passwd *entry = user ? getpwnam(user) : NULL;
    unsigned long number;
    char *end;

    if (geteuid() != 0 || !user)
        return 0;
    number = strtoul(user, &end, 10);
    if (!entry && (*user < '0' || *user > '9' || *end || number >= UINT_MAX))
        return 0;
    if (fchown(inlet->fd, entry ? entry->pw_uid : (uid_t)number, (gid_t)-1) < 0)
        return say_failure(launcher, "give the log fifo to", user);
    return 0;
}

static int prepare_files(struct launcher *launcher)
{
    if (make_folder(launcher) < 0 || open_fifo(launcher, XINETD_LOG, &launcher->diagnostics) < 0 ||
        open_fifo(launcher, RELAY_LOG, &launcher->log) < 0)
        return -1;
    return give_to_user(launcher, &launcher->log);
}

static int prepare_signals(struct launcher *launcher)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGCHLD};
    sigset_t set;

    // Whatever was ignored by those who started us; children of one who ignores SIGCHLD would
    // vanish without a status.
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&set, numbers[i]);
        signal(numbers[i], SIG_DFL);
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return say_failure(launcher, "block", "signals");
    launcher->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (launcher->signal_fd < 0)
        return say_failure(launcher, "open", "a signalfd");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return say_failure(launcher, "become", "the subreaper of the relays");
    return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static const struct launch_service *successor(const struct launch_config *next,
                                              const struct launch_service *service)
{
    return service_in(next, service->name, strlen(service->name));
}

// Whether SERVICE goes on in NEXT under another socket: xinetd keeps the one it has.
static bool is_reopened(const struct launch_config *next, const struct launch_service *service)
{
    const struct launch_service *same = successor(next, service);

    return same && same->v6only != service->v6only;
}

static bool is_kept(const struct launch_config *next, const struct launch_service *service)
{
    return successor(next, service) && !is_reopened(next, service);
}

// Makes xinetd close the sockets that it would otherwise keep as they are.
static int write_reopened(const struct launcher *launcher, int fd)
{
    if (dprintf(fd, "defaults\n{\n") < 0)
        return -1;
    for (size_t i = 0; i < launcher->config->count; i++)
        if (is_reopened(launcher->next, &launcher->config->service[i]) &&
            dprintf(fd, "\tdisabled = %s\n", launcher->config->service[i].name) < 0)
            return -1;
    return dprintf(fd, "}\n") < 0 ? -1 : 0;
}

// Writes the text of CONFIG beside the file that xinetd reads. With CLOSING the reopened services
// are not yet to be started.
static int stage_config(struct launcher *launcher, const struct launch_config *config, bool closing)
{
    int fd =
        openat(launcher->dir_fd, CONF_NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd < 0 ? -1 : 0;

    if (result == 0 && closing)
        result = write_reopened(launcher, fd);
    if (result == 0)
        result = write_all(fd, config->text, config->size);
    if (fd >= 0 && close(fd) < 0)
        result = -1;
    return result < 0 ? say_failure(launcher, "write", CONF_NEW_FILE) : 0;
}

static int commit_config(struct launcher *launcher)
{
    if (renameat(launcher->dir_fd, CONF_NEW_FILE, launcher->dir_fd, CONF_FILE) < 0)
        return say_failure(launcher, "replace", CONF_FILE);
    return 0;
}

static void close_from(int first)
{
    // Also what somebody left open for us: no relay is to hold it for as long as it lives.
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    for (long fd = first; fd < sysconf(_SC_OPEN_MAX); fd++)
        close((int)fd);
}

static _Noreturn void become_xinetd(struct launcher *launcher, pid_t parent)
{
    char conf[PATH_BYTES], pid_file[PATH_BYTES], log[PATH_BYTES];
    int null = open("/dev/null", O_RDWR), err;
    sigset_t none;

    path_of(launcher, CONF_FILE, conf);
    path_of(launcher, XINETD_PID, pid_file);
    path_of(launcher, XINETD_LOG, log);
    err = open(log, O_WRONLY);
    // Not to be outlived by listeners that nobody controls; and the launcher may be dead by now.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    // A session of its own: an interrupt from the terminal is for the launcher alone.
    setsid();
    dup2(null, 0);
    dup2(null, 1);
    dup2(err, 2);
    close_from(3);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl(launcher->xinetd, "xinetd", "-dontfork", "-stayalive", "-pidfile", pid_file, "-filelog",
          log, "-f", conf, (char *)NULL);
    dprintf(2, "unable to run %s: %s\n", launcher->xinetd, strerror(errno));
    _exit(127);
}

static int start_xinetd(struct launcher *launcher)
{
    pid_t parent = getpid();

    if (stage_config(launcher, launcher->config, false) < 0 || commit_config(launcher) < 0)
        return -1;
    launcher->started = -1;
    launcher->pid = fork();
    if (launcher->pid < 0) {
        launcher->pid = 0;
        return say_failure(launcher, "start", launcher->xinetd);
    }
    if (launcher->pid == 0)
        become_xinetd(launcher, parent);
    return 0;
}

static void say_death(struct launcher *launcher)
{
    if (WIFSIGNALED(launcher->status))
        say(launcher, "xinetd was ended by signal %d (%s); stopping", WTERMSIG(launcher->status),
            strsignal(WTERMSIG(launcher->status)));
    else
        say(launcher, "xinetd ended by itself with status %d; stopping",
            WEXITSTATUS(launcher->status));
}

// Waits for xinetd's word that all listeners are open. Returns 0, or -1 when that is not to be.
static int await_listeners(struct launcher *launcher)
{
    int64_t until_ms = now_ms() + ANSWER_MS;
    size_t count = launcher->config->count;

    while (launcher->started < 0 && launcher->pid && !launcher->stop_asked)
        if (!step(launcher, until_ms))
            break;
    if (launcher->stop_asked)
        return -1;
    if (launcher->pid == 0) {
        say_death(launcher);
        return -1;
    }
    if (launcher->started < 0) {
        say(launcher, "xinetd did not start within %d s", ANSWER_MS / 1000);
        return -1;
    }
    if ((size_t)launcher->started < count) {
        say(launcher, "unable to open %zu of %zu listeners", count - (size_t)launcher->started,
            count);
        return -1;
    }
    return 0;
}

static const char *listener_of(const struct launch_service *service)
{
    const char *equals = strchr(service->listener, '=');

    return equals ? equals + 1 : service->listener;
}

static void say_listening(struct launcher *launcher)
{
    const struct launch_config *config = launcher->config;
    char names[MESSAGE_BYTES / 2] = "";
    size_t length = 0;

    for (size_t i = 0; config->count <= NAMED_RULES && i < config->count; i++)
        if (length < sizeof names)
            length += (size_t)snprintf(names + length, sizeof names - length, "%s%s%s",
                                       i == 0 ? ": " : ", ", listener_of(&config->service[i]),
                                       config->service[i].udp ? "/udp" : "");
    say(launcher, "listening: %zu rule%s%s", config->count, config->count == 1 ? "" : "s", names);
}

static void write_pid_file(struct launcher *launcher)
{
    const char *path = launcher->config->pid_file;
    int fd, result;

    if (!path)
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    result = fd < 0 ? -1 : dprintf(fd, "%d\n", (int)getpid());
    if (fd >= 0 && close(fd) < 0)
        result = -1;
    if (result < 0)
        say_failure(launcher, "write", path);
}

// Removes it only if it still says what we wrote: it may belong to a launcher started since, or be
// a device.
static void remove_pid_file(struct launcher *launcher, const char *path)
{
    struct stat status;
    char text[32] = "";
    long pid;
    int fd;

    if (!path || lstat(path, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    pid = read(fd, text, sizeof text - 1) > 0 ? strtol(text, NULL, 10) : 0;
    close(fd);
    if (pid == (long)getpid() && unlink(path) < 0)
        say_failure(launcher, "remove", path);
}

// Whether process PID, told ARGUMENTS, is a relay of SERVICE.
static bool is_of(const struct launch_service *service, pid_t pid, const char *arguments,
                  const struct children_sockets *sockets)
{
    return children_are_told(arguments, service->listener) &&
           children_take_datagrams(pid, sockets) == service->udp;
}

// Whether process PID was started with one of CONFIG's listeners that NEXT does not keep.
static bool serves_gone(pid_t pid, const struct children_sockets *sockets,
                        const struct launch_config *config, const struct launch_config *next)
{
    char *arguments = children_arguments(pid);
    bool gone = false;

    for (size_t i = 0; arguments && i < config->count; i++) {
        if (!is_of(&config->service[i], pid, arguments, sockets))
            continue;
        gone = !is_kept(next, &config->service[i]);
        break;
    }
    free(arguments);
    return gone;
}

// Sends SIGTERM to the relays of rules whose sockets will be closed. Returns how many there are.
static size_t end_gone(struct launcher *launcher)
{
    struct children_sockets sockets = {.listening = {0}};
    struct children list = {0};
    size_t count = 0;

    if (launcher->pid) {
        children_find(launcher->pid, &list);
        children_find_sockets(launcher->pid, &sockets);
    }
    for (size_t i = 0; i < list.count; i++)
        if (serves_gone(list.pid[i], &sockets, launcher->config, launcher->next) &&
            kill(list.pid[i], SIGTERM) == 0)
            count++;
    free(list.pid);
    children_sockets_free(&sockets);
    return count;
}

// Names the rules whose sockets will be closed. xinetd kills their relays with a signal that leaves
// them no time for their last line in the log, so they are asked to end before.
static void end_gone_rules(struct launcher *launcher)
{
    const struct launch_config *config = launcher->config;
    int64_t until_ms = now_ms() + GONE_MS;
    size_t gone = 0;

    for (size_t i = 0; i < config->count; i++) {
        const struct launch_service *service = &config->service[i];

        if (is_kept(launcher->next, service))
            continue;
        gone++;
        say(launcher,
            service->udp    ? "rule \"%s\" %s; its sessions end"
            : service->wait ? "rule \"%s\" %s; its open connections go on"
                            : "warning: rule \"%s\" %s: xinetd ends its open connections",
            service->title, successor(launcher->next, service) ? "gets another socket" : "is gone");
    }
    while (gone > 0 && end_gone(launcher) > 0 && now_ms() < until_ms && !launcher->stop_asked) {
        int64_t look_ms = now_ms() + LOOK_MS;

        while (launcher->pid && !launcher->stop_asked && step(launcher, look_ms))
            ;
    }
}

// Returns 0 when xinetd has taken what is in its file.
static int ask_to_reload(struct launcher *launcher)
{
    int64_t until_ms = now_ms() + ANSWER_MS;

    if (launcher->pid && kill(launcher->pid, SIGHUP) < 0)
        return say_failure(launcher, "signal", "xinetd");
    while (launcher->pid && !launcher->answered && !launcher->refused && !launcher->stop_asked)
        if (!step(launcher, until_ms))
            break;
    if (launcher->pid && !launcher->answered && !launcher->stop_asked)
        say(launcher, "xinetd did not take the new configuration%s",
            launcher->refused ? "" : " in time");
    return launcher->answered ? 0 : -1;
}

static void adopt_next(struct launcher *launcher)
{
    const struct launch_request *request = launcher->request;
    struct launch_config *old = launcher->config;
    const char *was = old->pid_file, *is = launcher->next->pid_file;

    launcher->config = launcher->next;
    launcher->next = NULL;
    if (was && (!is || strcmp(was, is) != 0))
        remove_pid_file(launcher, was);
    if (is && (!was || strcmp(was, is) != 0))
        write_pid_file(launcher);
    request->discard(request->context, old);
}

static void drop_next(struct launcher *launcher)
{
    launcher->request->discard(launcher->request->context, launcher->next);
    launcher->next = NULL;
}

static void say_reloaded(struct launcher *launcher)
{
    size_t count = launcher->config->count, open = (size_t)(launcher->fresh + launcher->kept);

    if (open < count)
        say(launcher, "warning: unable to open %zu of %zu listeners; the others run", count - open,
            count);
    say(launcher, "reloaded: %zu rule%s: %d new, %d kept, %d dropped", open, open == 1 ? "" : "s",
        launcher->fresh, launcher->kept, launcher->dropped);
}

// Whether the process, a child of xinetd, is the first one of a service and runs by rules that are
// not those of the configuration any more.
static bool has_old_rules(const struct launch_config *config, pid_t pid,
                          const struct children_sockets *sockets)
{
    char *arguments = children_arguments(pid);
    bool old = false;

    for (size_t i = 0; arguments && i < config->count; i++)
        if (config->service[i].wait && is_of(&config->service[i], pid, arguments, sockets))
            old = !children_run_by(pid, arguments, config->text, config->size);
    free(arguments);
    return old;
}

// In wait mode whoever has the listener goes on as he was told. The next one knows the new rules;
// one that xinetd had just forked may not yet be known by his arguments.
static void end_old_rules(struct launcher *launcher)
{
    int64_t until_ms = now_ms() + OLD_MS;
    bool any = false;

    for (size_t i = 0; i < launcher->config->count; i++)
        any |= launcher->config->service[i].wait;
    // Once at least, however late it is.
    for (bool again = any; again && launcher->pid; again = now_ms() < until_ms) {
        int64_t look_ms = now_ms() + LOOK_MS;
        struct children_sockets sockets = {.listening = {0}};
        struct children list = {0};

        children_find(launcher->pid, &list);
        children_find_sockets(launcher->pid, &sockets);
        for (size_t i = 0; i < list.count; i++)
            if (has_old_rules(launcher->config, list.pid[i], &sockets))
                kill(list.pid[i], SIGTERM);
        free(list.pid);
        children_sockets_free(&sockets);
        while (launcher->pid && step(launcher, look_ms))
            ;
    }
}

static bool any_reopened(const struct launcher *launcher)
{
    for (size_t i = 0; i < launcher->config->count; i++)
        if (is_reopened(launcher->next, &launcher->config->service[i]))
            return true;
    return false;
}

// Makes xinetd take the staged file. Returns 0 when it did.
static int hand_over(struct launcher *launcher)
{
    launcher->answered = false;
    launcher->refused = commit_config(launcher) < 0;
    return launcher->refused ? -1 : ask_to_reload(launcher);
}

// The same in two steps, where sockets have to be closed before they are opened anew.
static int hand_over_reopened(struct launcher *launcher)
{
    int fresh, dropped;

    if (hand_over(launcher) < 0)
        return -1;
    fresh = launcher->fresh;
    dropped = launcher->dropped;
    if (stage_config(launcher, launcher->next, false) < 0 || hand_over(launcher) < 0)
        return -1;
    launcher->fresh += fresh;
    launcher->kept -= fresh;
    launcher->dropped += dropped;
    return 0;
}

static void reload(struct launcher *launcher)
{
    const struct launch_request *request = launcher->request;
    char log[PATH_BYTES];
    bool reopened;
    int result;

    path_of(launcher, RELAY_LOG, log);
    launcher->next = request->make(request->context, log);
    if (!launcher->next) {
        say(launcher, "nothing reloaded: what was running stays as it is");
        return;
    }
    reopened = any_reopened(launcher);
    if (stage_config(launcher, launcher->next, reopened) < 0) {
        drop_next(launcher);
        return;
    }
    end_gone_rules(launcher);
    launcher->last_passed[0] = '\0';
    result = reopened ? hand_over_reopened(launcher) : hand_over(launcher);
    // Refused, xinetd still has the old one; without an answer, who knows.
    if (launcher->refused) {
        drop_next(launcher);
        return;
    }
    adopt_next(launcher);
    if (result < 0)
        return;
    end_old_rules(launcher);
    launcher->request->taken(launcher->request->context, launcher->config);
    say_reloaded(launcher);
}

// Sends signal NUMBER to all children that came since the start. Returns how many there are.
static size_t signal_children(struct launcher *launcher, int number)
{
    struct children list = {0};
    size_t count = 0;

    children_find(getpid(), &list);
    for (size_t i = 0; i < list.count; i++)
        if (!children_have(&launcher->inherited, list.pid[i]) && kill(list.pid[i], number) == 0)
            count++;
    free(list.pid);
    return count;
}

static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void end_xinetd(struct launcher *launcher)
{
    int64_t until_ms = now_ms() + QUIT_MS;

    if (launcher->pid)
        kill(launcher->pid, SIGTERM);
    while (launcher->pid && !launcher->hurry && step(launcher, until_ms))
        ;
    if (launcher->pid)
        kill(launcher->pid, SIGKILL);
    while (launcher->pid && step(launcher, until_ms + KILL_MS))
        ;
}

// Ends the relays, which became our children when xinetd died. Each signal is sent again and again:
// a process that xinetd had just forked may not yet be a relay that understands it, or be ours.
static void end_relays(struct launcher *launcher)
{
    int64_t kill_ms = now_ms() + END_MS;
    bool killed = false;

    while (has_children()) {
        bool hurry = launcher->hurry;
        int64_t now = now_ms();
        size_t count;

        if (hurry)
            kill_ms = now < kill_ms ? now : kill_ms;
        count = signal_children(launcher, now >= kill_ms ? SIGKILL : SIGTERM);
        if (count == 0 && launcher->inherited.count > 0)
            return;
        if (now >= kill_ms && !killed)
            say(launcher,
                "killed relays: %zu; they did not end, and the log lacks their last lines", count);
        killed = now >= kill_ms;
        if (now >= kill_ms + KILL_MS) {
            say(launcher, "unable to end %zu relays, even by SIGKILL", count);
            return;
        }
        while (has_children() && launcher->hurry == hurry && step(launcher, now + SIGNAL_MS))
            ;
    }
}

static bool has_unread(const struct launcher *launcher)
{
    struct pollfd ready = {.fd = launcher->log.fd, .events = POLLIN};

    return launcher->out.size > 0 || launcher->err.size > 0 ||
           (launcher->log.size < sizeof launcher->log.bytes && poll(&ready, 1, 0) == 1);
}

// Lets the last lines out. Whoever does not read them in time loses them.
static void finish_output(struct launcher *launcher)
{
    int64_t until_ms = now_ms() + FLUSH_MS;

    read_diagnostics(launcher);
    copy_log(launcher);
    while (has_unread(launcher) && step(launcher, until_ms))
        ;
    if (launcher->out.size > 0 || launcher->log.size > 0)
        say(launcher, "the last %zu bytes of the log were not read from standard output",
            launcher->out.size + launcher->log.size);
}

// Returns 0 after SIGTERM or SIGINT, or -1.
static int run(struct launcher *launcher)
{
    if (start_xinetd(launcher) < 0)
        return -1;
    if (await_listeners(launcher) < 0)
        return launcher->stop_asked ? 0 : -1;
    write_pid_file(launcher);
    say_listening(launcher);
    while (launcher->pid && !launcher->stop_asked) {
        if (!launcher->reload_asked) {
            step(launcher, FOREVER_MS);
            continue;
        }
        launcher->reload_asked = false;
        reload(launcher);
    }
    if (launcher->stop_asked)
        return 0;
    say_death(launcher);
    return -1;
}

static enum launch_result launch(struct launcher *launcher)
{
    const struct launch_request *request = launcher->request;
    char log[PATH_BYTES];
    int result;

    if (!find_xinetd(launcher) || prepare_signals(launcher) < 0 || prepare_files(launcher) < 0)
        return LAUNCH_FAILED;
    children_find(getpid(), &launcher->inherited);
    path_of(launcher, RELAY_LOG, log);
    launcher->config = request->make(request->context, log);
    if (!launcher->config)
        return LAUNCH_BAD_CONFIG;
    result = run(launcher);
    end_xinetd(launcher);
    end_relays(launcher);
    finish_output(launcher);
    remove_pid_file(launcher, launcher->config->pid_file);
    request->discard(request->context, launcher->config);
    return result < 0 ? LAUNCH_FAILED : LAUNCH_STOPPED;
}

// Where one of them is closed, no other file is to get its number.
static int guard_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd < 0 ? -1 : close(fd);
}

enum launch_result launch_run(const struct launch_request *request)
{
    struct launcher *launcher = calloc(1, sizeof *launcher);
    enum launch_result result;

    if (!launcher || guard_standard_streams() < 0) {
        fprintf(stderr, "%s: unable to run: %s\n", request->program, strerror(errno));
        free(launcher);
        return LAUNCH_FAILED;
    }
    launcher->request = request;
    launcher->dir_fd = launcher->signal_fd = launcher->log.fd = launcher->diagnostics.fd = -1;
    lines_out_open(&launcher->out, STDOUT_FILENO);
    lines_out_open(&launcher->err, STDERR_FILENO);
    result = launch(launcher);
    remove_folder(launcher);
    lines_out_flush(&launcher->err);
    lines_out_close(&launcher->out);
    lines_out_close(&launcher->err);
    for (size_t i = 0; i < 4; i++) {
        const int fds[] = {launcher->dir_fd, launcher->signal_fd, launcher->log.fd,
                           launcher->diagnostics.fd};

        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(launcher->inherited.pid);
    free(launcher);
    return result;
}
