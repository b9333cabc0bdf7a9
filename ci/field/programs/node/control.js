// daemonize2: start and stop of a module.
const daemon = require("daemonize2").setup({ main: "worker.js", name: "worker", pidfile: process.argv[3], argv: [] });

switch (process.argv[2]) {
  case "start":
    daemon.start();
    break;
  case "stop":
    daemon.stop();
    break;
  default:
    console.error("usage: control.js start|stop PIDFILE");
    process.exitCode = 2;
}
