# Net::Server::Daemonize: one function, which also keeps the PID file. It stays who it is: account and group are the caller's.
use strict;
use warnings;
use Net::Server::Daemonize qw(daemonize);

daemonize($>, (split ' ', $))[0], $ARGV[0]);
sleep 3600 while 1;
