# Daemon::Control: start, stop and status of a program, as an init script.
use strict;
use warnings;
use Daemon::Control;

my ($directory, $action) = @ARGV;
exit Daemon::Control->new(
    name        => 'worker',
    program     => sub { sleep 3600 while 1 },
    pid_file    => "$directory/d.pid",
    stdout_file => "$directory/d.log",
    stderr_file => "$directory/d.log",
    fork        => 2,
)->run_command($action);
