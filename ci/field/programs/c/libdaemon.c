/* libdaemon as its manual has it used: signals reset, the outcome told to the parent, a PID file, a descriptor for signals. */
#include <libdaemon/daemon.h>
#include <signal.h>
#include <stdio.h>
#include <sys/select.h>

static const char *path;

static const char *pid_file(void)
{
    return path;
}

/* The next signal that came in by the descriptor; 0 where waiting was interrupted. */
static int next_signal(void)
{
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(daemon_signal_fd(), &readable);
    if (select(daemon_signal_fd() + 1, &readable, NULL, NULL, NULL) < 1)
        return 0;
    return daemon_signal_next();
}

/* What the daemon itself does; the parent hears of it once. */
static int run(void)
{
    int outcome = 1;
    if (daemon_close_all(-1) < 0)
        goto failed;
    outcome = 2;
    if (daemon_pid_file_create() < 0)
        goto failed;
    outcome = 3;
    if (daemon_signal_init(SIGINT, SIGTERM, SIGQUIT, SIGHUP, 0) < 0)
        goto failed_with_pid_file;
    daemon_retval_send(0);
    int signal;
    do
        signal = next_signal();
    while (signal == 0 || signal == SIGHUP);
    daemon_signal_done();
    daemon_pid_file_remove();
    return 0;

failed_with_pid_file:
    daemon_pid_file_remove();
failed:
    daemon_retval_send(outcome);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: libdaemon PIDFILE\n");
        return 2;
    }
    path = argv[1];
    daemon_pid_file_ident = daemon_log_ident = daemon_ident_from_argv0(argv[0]);
    daemon_pid_file_proc = pid_file;
    if (daemon_reset_sigs(-1) < 0 || daemon_unblock_sigs(-1) < 0)
        return 1;
    pid_t running = daemon_pid_file_is_running();
    if (running >= 0) {
        fprintf(stderr, "libdaemon: already running, pid %ld\n", (long)running);
        return 1;
    }
    if (daemon_retval_init() < 0)
        return 1;
    pid_t child = daemon_fork();
    if (child < 0) {
        daemon_retval_done();
        return 1;
    }
    if (child == 0)
        return run();
    int outcome = daemon_retval_wait(20);
    if (outcome != 0)
        fprintf(stderr, "libdaemon: the daemon did not come up (%d); its log says why\n", outcome);
    return outcome == 0 ? 0 : 1;
}
