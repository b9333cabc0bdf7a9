<?php
// pcntl and posix, as PHP's manual puts a script into the background: one fork, then a session of its own.
$pid = pcntl_fork();
if ($pid === -1) {
    fwrite(STDERR, "cannot fork\n");
    exit(1);
}
if ($pid > 0) {
    exit(0);
}
if (posix_setsid() === -1) {
    fwrite(STDERR, "cannot leave the session\n");
    exit(1);
}
file_put_contents($argv[1], getmypid() . "\n");
while (true) {
    sleep(3600);
}
