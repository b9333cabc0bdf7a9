"""daemonize: an action, run in the background under a PID file."""

import signal
import sys

from daemonize import Daemonize


def work():
    while True:
        signal.pause()


Daemonize(app="worker", pid=sys.argv[1], action=work).start()
