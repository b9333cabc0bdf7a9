/* A daemon of which the second thread executes it anew, while the first one is in a call: exec PIDFILE */

#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static char **given;

static void *execute(void *nothing)
{
    (void)nothing;
    char *arguments[] = {given[0], given[1], "anew", NULL};
    execv(given[0], arguments);
    return NULL;
}

int main(int count, char **values)
{
    given = values;
    if (count == 2) {
        pthread_t other;
        if (daemon(0, 0) || pthread_create(&other, NULL, execute, NULL))
            return 1;
        struct timespec long_enough = {100000, 0};
        for (;;)
            nanosleep(&long_enough, NULL);
    }
    FILE *pid_file = fopen(values[1], "w");
    if (!pid_file || fprintf(pid_file, "%d\n", (int)getpid()) < 0 || fclose(pid_file))
        return 1;
    for (;;)
        pause();
}
