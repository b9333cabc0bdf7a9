//! Starts made by hand: what a trace of them would hold.

use daemonspec::observation::{
    Call, Event, Exit, FileSeen, Isolation, Launch, Look, MainBy, Output, Pid, Text, Trace, Traced, What,
};
use daemonspec::run::TracedStart;

/// A start that grows, event by event.
pub(crate) struct Start {
    trace: Trace,
    at: u64,
}

impl Start {
    /// A launcher of that id, which has just executed a program.
    pub(crate) fn new(pid: Pid, program: &str) -> Self {
        let launcher = Traced { pid, parent: None, lineage: Vec::new() };
        let mut start = Start { trace: Trace { processes: vec![launcher], ..Trace::default() }, at: 0 };
        start.push(0, What::Program(Text::new(program.as_bytes())));
        start
    }

    /// Time goes by, in microseconds.
    pub(crate) fn wait(&mut self, microseconds: u64) -> &mut Self {
        self.at += microseconds;
        self
    }

    /// Something happens to a process, right now.
    pub(crate) fn push(&mut self, process: usize, what: What) -> &mut Self {
        let thread = self.trace.processes.get(process).map_or(1, |process| process.pid);
        self.trace.events.push(Event { at: self.at, process, thread, what });
        self
    }

    fn made(&mut self, process: usize, call: Call) -> &mut Self {
        self.at += 7;
        self.push(process, What::Call(call))
    }

    /// A call, with its arguments in words and what it returned.
    pub(crate) fn call(&mut self, process: usize, name: &str, arguments: &str, result: i64) -> &mut Self {
        self.made(process, call(name, arguments, result))
    }

    /// A call about a file.
    pub(crate) fn on(&mut self, process: usize, name: &str, arguments: &str, path: &str, result: i64) -> &mut Self {
        let fd = arguments.split(',').next().and_then(|word| word.parse().ok());
        let path = Some(Text::new(path.as_bytes()));
        self.made(process, Call { path, fd, ..call(name, arguments, result) })
    }

    /// The dynamic loader's work.
    pub(crate) fn loader(&mut self, process: usize) -> &mut Self {
        let path = Some(Text::new(b"/etc/ld.so.cache"));
        let opened = call("openat", "AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC", 3);
        self.made(process, Call { path, loader: true, ..opened })
    }

    /// A call whose result is not waited for, made so many times.
    pub(crate) fn silent(&mut self, process: usize, name: &str, arguments: &str, times: u32) -> &mut Self {
        self.made(process, Call { result: None, times, ..call(name, arguments, 0) })
    }

    /// A process begets another one, whose place is returned.
    pub(crate) fn fork(&mut self, parent: usize, pid: Pid) -> usize {
        let before = self.trace.processes.iter().filter(|p| p.parent == Some(parent)).count() as u32;
        let mut lineage = self.trace.processes[parent].lineage.clone();
        lineage.push(before + 1);
        self.call(parent, "clone", "SIGCHLD", pid.into());
        self.at += 60;
        self.trace.processes.push(Traced { pid, parent: Some(parent), lineage });
        let child = self.trace.processes.len() - 1;
        self.push(parent, What::Child(child));
        child
    }

    /// It ends by itself.
    pub(crate) fn exit(&mut self, process: usize, status: i32) -> &mut Self {
        self.silent(process, "exit_group", &status.to_string(), 1);
        self.at += 30;
        self.push(process, What::Ended(Exit::Status(status)))
    }

    /// All that "ready" means is there.
    pub(crate) fn ready(&mut self) -> &mut Self {
        self.trace.ready = Some(self.at);
        self
    }

    /// All is at rest, `main` being the daemon.
    pub(crate) fn done(&mut self, main: Option<usize>, pidfile: Option<&str>) -> TracedStart {
        self.trace.rest = Some(self.at);
        self.trace.main = main;
        of(self.trace.clone(), pidfile)
    }
}

fn call(name: &str, arguments: &str, result: i64) -> Call {
    Call {
        name: name.to_owned(),
        arguments: Text::new(arguments.as_bytes()),
        path: None,
        to: None,
        fd: None,
        result: Some(result),
        nth: 1,
        times: 1,
        loader: false,
        compat: false,
    }
}

/// A start with that trace, of which nothing else is known.
pub(crate) fn of(trace: Trace, pidfile: Option<&str>) -> TracedStart {
    let pid = |index: usize| trace.processes.get(index).map(|process| process.pid);
    let launch = Launch {
        shell: 5,
        shell_tty_nr: 34816,
        terminal: 34816,
        launcher: pid(0).unwrap_or(0),
        directory: Text::new(b"/root"),
        inherited: None,
        planted: None,
        ended: trace.launcher_ended().map(|(_, exit)| exit),
        files_at_exit: Vec::new(),
        pidfile_at_exit: None,
        alive_at_exit: Vec::new(),
        output: Output::default(),
        errors: None,
    };
    let look = Look {
        at_rest: true,
        late: false,
        ready: true,
        members: Vec::new(),
        main: trace.main.and_then(pid).map(|pid| (pid, MainBy::PidFile)),
        pidfile: pidfile.map(|path| FileSeen { path: Text::new(path.as_bytes()), found: None }),
        pidfile_directories: Vec::new(),
        log: None,
        listeners: Vec::new(),
    };
    TracedStart {
        name: "mydaemon".to_owned(),
        command: vec![Text::new(b"mydaemon"), Text::new(b"--pid-file"), Text::new(b"/run/d.pid")],
        isolation: Isolation::Full,
        trace,
        launch,
        look,
    }
}

/// As the reference daemon starts.
pub(crate) fn good() -> TracedStart {
    let mut start = Start::new(7, "/usr/sbin/mydaemon");
    start.wait(900).loader(0).loader(0).wait(400);
    start.call(0, "close_range", "3, -1, 0x0", 0);
    start.silent(0, "rt_sigaction", "SIGHUP, SIG_DFL", 61);
    start.silent(0, "rt_sigprocmask", "SIG_SETMASK, []", 1);
    start.call(0, "pipe2", "O_CLOEXEC", 0);
    let child = start.fork(0, 8);
    start.call(0, "close", "4", 0);
    start.call(child, "close", "3", 0);
    start.call(child, "setsid", "", 8);
    let daemon = start.fork(child, 9);
    start.exit(child, 0);
    start.on(daemon, "openat", "AT_FDCWD, \"/dev/null\", O_RDWR|O_CLOEXEC", "/dev/null", 3);
    for fd in 0..3 {
        start.on(daemon, "dup2", &format!("3, {fd}"), "/dev/null", fd);
    }
    start.call(daemon, "close", "3", 0);
    start.call(daemon, "umask", "0022", 0o22);
    start.on(daemon, "chdir", "\"/\"", "/", 0);
    start.silent(daemon, "rt_sigprocmask", "SIG_BLOCK, [SIGHUP SIGINT SIGTERM]", 1);
    start.wait(120);
    start.on(daemon, "openat", "AT_FDCWD, \"/run/d.pid\", O_RDWR|O_CREAT|O_CLOEXEC, 0644", "/run/d.pid", 3);
    start.on(daemon, "fcntl", "3, F_SETLK, F_WRLCK", "/run/d.pid", 0);
    start.on(daemon, "pwrite64", "3, \"9\n\", 2, 0", "/run/d.pid", 2);
    start.wait(80);
    let log = "AT_FDCWD, \"/var/log/d.log\", O_WRONLY|O_CREAT|O_APPEND|O_CLOEXEC, 0640";
    start.on(daemon, "openat", log, "/var/log/d.log", 5);
    start.on(daemon, "dup2", "5, 1", "/var/log/d.log", 1);
    start.on(daemon, "dup2", "5, 2", "/var/log/d.log", 2);
    start.call(daemon, "close", "5", 0);
    start.call(daemon, "prlimit", "0, RLIMIT_NOFILE, soft 1024, hard 1024", 0);
    start.on(daemon, "write", "2, \"ready\n\", 6", "/var/log/d.log", 6).ready();
    start.on(daemon, "write", "4, \"+\", 1", "pipe:[4242]", 1);
    start.call(daemon, "close", "4", 0);
    start.wait(40).exit(0, 0);
    start.wait(2300).done(Some(daemon), Some("/run/d.pid"))
}

/// One fork, no session of its own, and a PID file that comes too late.
pub(crate) fn bad() -> TracedStart {
    let mut start = Start::new(1002, "/usr/sbin/mydaemon");
    start.wait(3000).loader(0);
    for path in ["/etc/mydaemon.conf", "/etc/nsswitch.conf", "/etc/passwd"] {
        start.on(0, "openat", &format!("AT_FDCWD, \"{path}\", O_RDONLY"), path, 3);
        start.call(0, "close", "3", 0);
    }
    let daemon = start.fork(0, 1003);
    start.call(daemon, "setsid", "", -1);
    start.exit(0, 0);
    start.on(daemon, "chdir", "\"/var/lib/mydaemon\"", "/var/lib/mydaemon", 0);
    start.wait(150);
    let path = "/run/d.pid";
    start.on(daemon, "openat", "AT_FDCWD, \"/run/d.pid\", O_RDWR|O_CREAT|O_CLOEXEC, 0666", path, 3);
    start.on(daemon, "write", "3, \"1003\n\", 5", path, 5).ready();
    start.call(daemon, "umask", "0", 0o22);
    start.call(daemon, "bind", "5, 0.0.0.0:8080", 0);
    start.call(daemon, "listen", "5, 128", 0);
    start.call(daemon, "setgid", "33", 0);
    start.call(daemon, "setuid", "33", 0);
    for worker in 0..4 {
        let process = start.fork(daemon, 1004 + worker);
        start.silent(process, "rt_sigaction", "SIGTERM, a handler", 9);
    }
    start.wait(5000).done(Some(daemon), Some(path))
}

/// It stays in the foreground.
pub(crate) fn foreground() -> TracedStart {
    let mut start = Start::new(12, "/usr/bin/mydaemon");
    start.wait(800).call(0, "bind", "3, unix /run/my.sock", 0);
    start.call(0, "listen", "3, 5", 0);
    start.ready().wait(900).done(Some(0), None)
}

/// A way of more processes than can stand beside one another.
pub(crate) fn long() -> TracedStart {
    let mut start = Start::new(20, "/bin/sh");
    let mut last = 0;
    for pid in 21..27 {
        last = start.fork(last, pid);
        start.push(last, What::Program(Text::new(b"/usr/bin/env")));
    }
    start.call(last, "setsid", "", 26);
    start.exit(0, 0);
    start.done(Some(last), None)
}
