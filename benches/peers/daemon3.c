/* The C library's own daemon(3), and a PID file after it: how most C programs of old do it.
 * One fork, no readiness: the launcher is gone before the PID file is there. daemon3 PIDFILE */

#define _DEFAULT_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(int count, char **values)
{
    if (count != 2 || daemon(0, 0))
        return 1;
    FILE *pid_file = fopen(values[1], "w");
    if (!pid_file || fprintf(pid_file, "%d\n", (int)getpid()) < 0 || fclose(pid_file))
        return 1;
    for (;;)
        pause();
}
