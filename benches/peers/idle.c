/* Does nothing. With an argument it goes on doing so (what start-stop-daemon(8) is given to put into the
 * background); without, it ends (what starting and ending any program costs). */

#include <unistd.h>

int main(int count, char **values)
{
    (void)values;
    while (count > 1)
        pause();
    return 0;
}
