/* daemon(3) with pidfile(3bsd), in the order of that page: open and lock, daemonize, write. */
#include <bsd/libutil.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv)
{
    pid_t other = -1;
    if (argc != 2) {
        fprintf(stderr, "usage: pidfile PIDFILE\n");
        return 2;
    }
    struct pidfh *pidfile = pidfile_open(argv[1], 0600, &other);
    if (pidfile == NULL) {
        if (errno == EEXIST)
            fprintf(stderr, "pidfile: already running, pid %ld\n", (long)other);
        else
            fprintf(stderr, "pidfile: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    if (daemon(0, 0) != 0) {
        perror("daemon");
        pidfile_remove(pidfile);
        return 1;
    }
    /* SIGTERM comes only while it waits. */
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    signal(SIGTERM, stop);
    pidfile_write(pidfile);
    while (!stopped)
        sigsuspend(&before);
    pidfile_remove(pidfile);
    return 0;
}
