"""python-daemon (PEP 3143) with its defaults and the PID file that it brings along."""

import signal
import sys

import daemon
import daemon.pidfile

with daemon.DaemonContext(pidfile=daemon.pidfile.TimeoutPIDLockFile(sys.argv[1], acquire_timeout=0)):
    while True:
        signal.pause()
