/* daemon(3) with its defaults. It knows of no PID file, so the program writes one afterwards. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: daemon3 PIDFILE\n");
        return 2;
    }
    if (daemon(0, 0) != 0) {
        perror("daemon");
        return 1;
    }
    FILE *file = fopen(argv[1], "w");
    if (file == NULL || fprintf(file, "%ld\n", (long)getpid()) < 0 || fclose(file) != 0)
        return 1;
    for (;;)
        pause();
}
