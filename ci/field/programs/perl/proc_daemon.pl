# Proc::Daemon: Init() gives the parent the daemon's PID, and the daemon 0.
use strict;
use warnings;
use Proc::Daemon;

my ($directory, $pid_file) = @ARGV;
my $pid = Proc::Daemon->new(work_dir => $directory, pid_file => $pid_file)->Init;
exit 0 if $pid;
sleep 3600 while 1;
