/* The same system calls as the reference daemon makes, in the same order, and nothing besides: what any
 * program that keeps these promises has to pay for. It explains no failure and checks only what the calls
 * after it build on. minimal PIDFILE LOGFILE */

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_disposition(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

static void write_line(int fd, const char *format, int positioned)
{
    char line[64];
    int length = snprintf(line, sizeof line, format, (int)getpid());
    if ((positioned ? pwrite(fd, line, length, 0) : write(fd, line, length)) != length)
        _exit(1);
}

int main(int count, char **values)
{
    if (count != 3)
        return 2;
    /* 0 to 4 */
    struct pollfd streams[3] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};
    poll(streams, 3, 0);
    syscall(SYS_close_range, 3, ~0U, 0);
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
            set_disposition(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);

    int outcome[2];
    if (pipe2(outcome, O_CLOEXEC))
        return 1;
    pid_t first_child = fork(); /* 5 */
    if (first_child < 0)
        return 1;
    if (first_child > 0) { /* 15 */
        char told = 0;
        close(outcome[1]);
        ssize_t got = read(outcome[0], &told, 1);
        waitpid(first_child, NULL, 0);
        close(outcome[0]);
        return !(got == 1 && told == '+');
    }
    close(outcome[0]);
    setsid(); /* 6 */
    pid_t daemon = fork(); /* 7 */
    if (daemon != 0)
        _exit(daemon < 0); /* 8 */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* 9 */
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    close(null);
    umask(022); /* 10 */
    if (chdir("/")) /* 11 */
        return 1;
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    set_disposition(SIGPIPE, SIG_IGN);

    struct stat held, named; /* 12 */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int pid_file = open(values[1], O_RDWR | O_CREAT | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (pid_file < 0 || fcntl(pid_file, F_SETLK, &whole) || fstat(pid_file, &held) || held.st_uid != geteuid()
        || lstat(values[1], &named) || named.st_ino != held.st_ino)
        return 1;
    write_line(pid_file, "%d\n", 1);

    int log = open(values[2], O_WRONLY | O_CREAT | O_NOCTTY | O_APPEND | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (log < 0)
        return 1;
    dup2(log, 1);
    dup2(log, 2);
    close(log);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    write_line(2, "reference-daemon[%d]: ready\n", 0);
    if (write(outcome[1], "+", 1) != 1) /* 14 */
        return 1;
    close(outcome[1]);
    for (;;)
        sigtimedwait(&set, NULL, NULL);
}
