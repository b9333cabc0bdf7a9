//! Writes the manifest of a daemon that was watched as it started. What could not be told is a comment.

use crate::observation::{
    Endpoint, Exit, FileKind, Isolation, Launch, Look, Process, Style, Text, Unseen, is_hidden, printable,
};
use crate::run::{Options, Watched};
use crate::subject::{Ready, Subject};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use thiserror::Error;

/// From these the kernel chooses where a program asks for any port (ip(7), ip_local_port_range, as a new network namespace
/// has it).
const CHOSEN_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;
/// More log files, sockets and configuration files than this are not listed.
const MOST_LISTED: usize = 8;

/// A word that no manifest can hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} is not UTF-8, and a manifest holds nothing else: `{}`", .word.short(80))]
pub struct NotUtf8 {
    what: String,
    word: Text,
}

/// Whether a manifest can hold all that was said of the subject.
///
/// # Errors
/// When a word of it is not UTF-8.
pub fn is_writable(subject: &Subject) -> Result<(), NotUtf8> {
    declared(subject).map(drop)
}

/// The manifest of `subject`, as far as what was `watched` tells.
///
/// # Errors
/// When a word of the subject's is not UTF-8, or the start was not seen.
pub fn write(subject: &Subject, watched: &Watched) -> Result<String, WriteError> {
    let (launch, look) = (watched.observation.launch("start")?, watched.observation.look("rest")?);
    let declared = declared(subject)?;
    let daemon = Daemon { subject, watched, launch, look };
    let mut text = Lines::default();
    text.comment("Written by `daemonspec init` from one start. Read it through and correct it; then:");
    text.comment("    daemonspec check --manifest daemonspec.toml");
    text.0.push_str(&format!("[daemon.{}]\n", key(&subject.name)));
    text.pair("command", &list(&declared.command));
    for (name, value) in &declared.environment {
        text.pair(&format!("env.{}", key(name)), &quoted(value));
    }
    daemon.profile(&mut text);
    daemon.pidfile(&mut text, declared.pidfile);
    daemon.log(&mut text, declared.log);
    daemon.cwd(&mut text, declared.cwd);
    daemon.user(&mut text);
    daemon.ready(&mut text, &declared.ready);
    match &subject.stop {
        Some(line) => text.pair("stop", &quoted(line)),
        None => {
            text.comment("If it documents a command that stops it, other than SIGTERM to its main process:");
            text.unknown("stop", &quoted("mydaemon --stop"));
        }
    }
    if subject.timeout != Subject::new([""]).timeout {
        text.pair("timeout", &subject.timeout.as_secs_f64().to_string());
    }
    daemon.files(&mut text);
    text.comment("What it is written in and what installs it, for the table of `daemonspec matrix`:");
    text.unknown("language", &quoted("C"));
    text.unknown("package", &quoted("mydaemon"));
    let options = Options { profile: watched.profile, ..Options::default() };
    if let Some(check) = options.checks().iter().min_by_key(|check| check.level) {
        text.comment("Failures that are known, each with its reason:");
        text.comment(&format!("[daemon.{}.expect]", key(&subject.name)));
        text.unknown(check.id, &quoted("issue 12"));
    }
    Ok(text.0)
}

/// Why no manifest can be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// It cannot be held.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// Nothing was seen.
    #[error("the start was not seen: {0}")]
    Unseen(String),
}

impl From<Unseen> for WriteError {
    fn from(unseen: Unseen) -> Self {
        let (Unseen::Skip(why) | Unseen::Broken(why)) = unseen;
        WriteError::Unseen(why)
    }
}

/// What was said of the subject, as text.
struct Declared<'a> {
    command: Vec<&'a str>,
    environment: Vec<(&'a str, &'a str)>,
    pidfile: Option<&'a str>,
    log: Option<&'a str>,
    cwd: Option<&'a str>,
    ready: Vec<String>,
}

fn declared(subject: &Subject) -> Result<Declared<'_>, NotUtf8> {
    let mut command = Vec::with_capacity(subject.command.len());
    for (word, number) in subject.command.iter().zip(1..) {
        command.push(utf8(word, &format!("word {number} of the command"))?);
    }
    let mut environment = Vec::with_capacity(subject.environment.len());
    for (name, value) in &subject.environment {
        environment.push((utf8(name, "the name of a variable")?, utf8(value, "the value of a variable")?));
    }
    let mut ready = Vec::with_capacity(subject.ready.len());
    for spec in &subject.ready {
        ready.push(match spec {
            Ready::Tcp(address) => format!("tcp:{address}"),
            Ready::Unix(path) => format!("unix:{}", utf8(path, "the path of a socket")?),
            Ready::File(path) => format!("file:{}", utf8(path, "the path of a file")?),
            Ready::Notify => "notify".to_owned(),
        });
    }
    Ok(Declared {
        command,
        environment,
        pidfile: subject.pidfile.as_ref().map(|path| utf8(path, "the path of the PID file")).transpose()?,
        log: subject.log.as_ref().map(|path| utf8(path, "the path of the log")).transpose()?,
        cwd: Some(utf8(&subject.cwd, "the working directory")?).filter(|cwd| *cwd != "/"),
        ready,
    })
}

fn utf8<'a>(word: &'a impl AsRef<OsStr>, what: &str) -> Result<&'a str, NotUtf8> {
    let word: &OsStr = word.as_ref();
    word.to_str().ok_or_else(|| NotUtf8 { what: what.to_owned(), word: Text::new(word.as_bytes()) })
}

/// The lines of a manifest.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn pair(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    /// A key that is for the reader to decide.
    fn unknown(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("# {key} = {value}\n"));
    }

    fn comment(&mut self, words: &str) {
        self.0.push_str(&format!("# {}\n", printable(words)));
    }
}

/// What is known of the daemon.
struct Daemon<'a> {
    subject: &'a Subject,
    watched: &'a Watched,
    launch: &'a Launch,
    look: &'a Look,
}

impl<'a> Daemon<'a> {
    fn profile(&self, text: &mut Lines) {
        if !self.look.at_rest {
            text.comment("It did not come to rest in time, so this may not be all.");
        }
        match (self.watched.profile.style(), self.launch.ended) {
            (Style::SysV, Some(Exit::Status(0))) => text.comment("It went into the background."),
            (Style::SysV, Some(exit)) => {
                text.comment(&format!("It went into the background, and yet the start ended with {exit}."));
            }
            (_, None) => text.comment("The process that was started stayed."),
            (Style::NewStyle, Some(_)) => text.comment("The process that was started ended, and others stayed."),
        }
        text.pair("profile", &quoted(self.watched.profile.as_str()));
    }

    fn pidfile(&self, text: &mut Lines, declared: Option<&str>) {
        if let Some(path) = declared {
            return text.pair("pidfile", &quoted(path));
        }
        let found = self.look.pidfile.as_ref().filter(|file| file.found.is_some());
        if let Some(path) = found.and_then(|file| self.path(&file.path)) {
            text.comment("It wrote its process id there.");
            return text.pair("pidfile", &quoted(&path));
        }
        match found {
            Some(file) => text.comment(&format!("Its PID file's name cannot be written here: {}", file.path)),
            None if self.watched.isolation == Isolation::None => {
                text.comment("Without a sandbox no PID file can be found. If it documents one:");
            }
            None => text.comment("No file with its process id was seen. If it documents one:"),
        }
        text.unknown("pidfile", &quoted(&format!("/run/{}.pid", self.subject.name)));
    }

    fn log(&self, text: &mut Lines, declared: Option<&str>) {
        if let Some(path) = declared {
            return text.pair("log", &quoted(path));
        }
        let streams = self.look.log.as_ref().filter(|file| file.found.is_some());
        if let Some(path) = streams.and_then(|file| self.path(&file.path)) {
            text.comment("Its standard output or error leads there.");
            return text.pair("log", &quoted(&path));
        }
        let logs = self.files_that_look_like_logs();
        match logs.as_slice() {
            [] => {
                text.comment("No file that it keeps open looks like a log. If it writes one:");
                text.unknown("log", &quoted(&format!("/var/log/{}.log", self.subject.name)));
            }
            [only] => {
                text.comment("It has that file open for writing.");
                text.pair("log", &quoted(only));
            }
            several => {
                text.comment("It has these files open for writing. If one of them is its log:");
                several.iter().take(MOST_LISTED).for_each(|path| text.unknown("log", &quoted(path)));
            }
        }
    }

    /// Regular files open for writing below a directory of logs, or named like one.
    fn files_that_look_like_logs(&self) -> Vec<String> {
        let descriptors = self.members().flat_map(|p| p.descriptors.iter().flatten());
        let written = descriptors.filter(|d| d.kind == FileKind::Regular && d.writable);
        let pidfile = self.look.pidfile.as_ref().map(|file| &file.path);
        let paths = written.filter(|d| Some(&d.target) != pidfile).filter_map(|d| self.path(&d.target));
        let is_log = |path: &String| {
            let mut directories = Path::new(path).parent().into_iter().flat_map(Path::components);
            let below_logs =
                directories.any(|part| [OsStr::new("log"), OsStr::new("logs")].contains(&part.as_os_str()));
            (below_logs || path.ends_with(".log")) && !path.ends_with(".pid") && !path.ends_with(" (deleted)")
        };
        let logs: BTreeSet<String> = paths.filter(is_log).collect();
        logs.into_iter().collect()
    }

    fn cwd(&self, text: &mut Lines, declared: Option<&str>) {
        if let Some(path) = declared {
            return text.pair("cwd", &quoted(path));
        }
        let Some(cwd) = self.look.main().and_then(|main| main.cwd.as_ref()).filter(|cwd| cwd.as_str() != "/") else {
            return;
        };
        if *cwd == self.launch.directory {
            text.comment("It works in the directory it was started from, not in /. If that is documented:");
        } else {
            text.comment("It works there, not in /. If that is documented:");
        }
        let path = self.path(cwd).unwrap_or_else(|| cwd.as_str().to_owned());
        text.unknown("cwd", &quoted(&path));
    }

    fn user(&self, text: &mut Lines) {
        if let Some(name) = &self.subject.user {
            return text.pair("user", &quoted(name));
        }
        let uid = self.look.main().and_then(Process::uid);
        let before = self.launch.inherited.as_ref().and_then(|process| process.uid());
        if let (Some(uid), Some(before)) = (uid, before)
            && uid != before
        {
            match &self.watched.account {
                Some(name) => {
                    text.comment(&format!("It was started with user id {before}, and went on with {uid}."));
                    text.pair("user", &quoted(name));
                }
                None => {
                    text.comment(&format!(
                        "It was started with user id {before}, and went on with {uid}, which has no name."
                    ));
                    text.unknown("user", &quoted("nobody"));
                }
            }
        }
    }

    fn ready(&self, text: &mut Lines, declared: &[String]) {
        if !declared.is_empty() {
            let declared: Vec<&str> = declared.iter().map(String::as_str).collect();
            return text.pair("ready", &list(&declared));
        }
        let (mut sure, mut chosen) = (Vec::new(), Vec::new());
        for listener in &self.look.listeners {
            match &listener.at {
                Endpoint::Tcp(address) if self.may_be_chosen(*address) => chosen.push(format!("tcp:{address}")),
                Endpoint::Tcp(address) => sure.push(format!("tcp:{address}")),
                Endpoint::Unix(path) => match self.path(path).filter(|path| path.starts_with(['/', '{'])) {
                    Some(path) => sure.push(format!("unix:{path}")),
                    None => text.comment(&format!("It listens at a socket that `ready` cannot name: {path}")),
                },
            }
        }
        let listed = |specs: &[String]| list(&specs.iter().take(MOST_LISTED).map(String::as_str).collect::<Vec<_>>());
        if !chosen.is_empty() {
            text.comment("It listens there, perhaps at a port that the kernel chose, another one each time. If not:");
            text.unknown("ready", &listed(&chosen));
        }
        if !sure.is_empty() {
            text.comment("It listens there: it is not ready before.");
            text.pair("ready", &listed(&sure));
        }
        if self.look.listeners.is_empty() {
            text.comment("It was not seen to listen anywhere. If it is only ready when a file is there:");
            text.unknown("ready", &quoted("file:/run/mydaemon.ready"));
        }
    }

    /// Whether the kernel may have chosen the port: it is one of those, and the command does not name it.
    fn may_be_chosen(&self, address: SocketAddr) -> bool {
        let port = address.port().to_string();
        let names = |word: &std::ffi::OsString| {
            word.to_string_lossy().split(|c: char| !c.is_ascii_digit()).any(|number| number == port)
        };
        CHOSEN_PORTS.contains(&address.port()) && !self.subject.command.iter().any(names)
    }

    fn files(&self, text: &mut Lines) {
        for path in self.watched.named.iter().take(MOST_LISTED) {
            let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
            text.comment(&format!("The command names {}, a file of this machine.", path.display()));
            text.comment("To have it here: its text below, and {dir}/ with its name in the command.");
            text.unknown(&format!("files.{}", key(name)), "\"\"\"...\"\"\"");
        }
    }

    /// The main process first.
    fn members(&self) -> impl Iterator<Item = &'a Process> {
        let main = self.look.main();
        main.into_iter().chain(self.look.alive().filter(move |p| main.is_none_or(|main| main.pid != p.pid)))
    }

    /// A path as a manifest writes it, with `{dir}` for the private directory; `None` for one that was escaped or cut, and so
    /// is no longer what it was.
    fn path(&self, path: &Text) -> Option<String> {
        let path = path.as_str();
        if path.contains('\\') || path.len() >= Text::LIMIT {
            return None;
        }
        match Path::new(path).strip_prefix(&self.watched.private) {
            Ok(below) if below.as_os_str().is_empty() => Some("{dir}".to_owned()),
            Ok(below) => Some(format!("{{dir}}/{}", below.display())),
            Err(_) => Some(path.to_owned()),
        }
    }
}

/// `words` as a TOML list of one line.
fn list(words: &[&str]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

/// `name` as a TOML key.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { quoted(name) }
}

/// `word` as a TOML string of one line, in which nothing can move a terminal's cursor or reorder its text.
fn quoted(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Profile;
    use crate::manifest::{Entry, parse};
    use crate::observation::{
        Attributes, Descriptor, FileFound, FileSeen, Listener, MainBy, Observation, Output, Pid, Seen,
    };
    use proptest::prelude::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    fn process(pid: Pid, uid: u32, cwd: &str, open: &[(i32, &str)]) -> Process {
        let descriptor = |(fd, target): &(i32, &str)| Descriptor {
            fd: *fd,
            target: Text::new(target.as_bytes()),
            kind: FileKind::Regular,
            rdev: 0,
            readable: false,
            writable: true,
            lock: None,
            close_on_exec: false,
            mount: None,
            device: 1,
            inode: 1,
        };
        Process {
            pid,
            ppid: 1,
            pgrp: pid,
            session: pid,
            tty_nr: 0,
            state: 'S',
            threads: 1,
            name: Text::new(b"d"),
            cwd: Some(Text::new(cwd.as_bytes())),
            root: None,
            descriptors: Some(open.iter().map(descriptor).collect()),
            inner_pid: pid,
            image: 0,
            attributes: Some(Attributes {
                uids: [uid; 4],
                gids: [uid; 4],
                groups: Vec::new(),
                other_threads: Vec::new(),
                capabilities: 0,
                blocked: 0,
                ignored: 0,
                umask: None,
                oom_score_adj: None,
                core_limit: None,
                open_files: None,
                peak_memory: None,
                variables: None,
            }),
        }
    }

    fn file(path: &str) -> FileSeen {
        let found = FileFound {
            kind: FileKind::Regular,
            length: 2,
            device: 1,
            inode: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            content: Some(Text::new(b"7\n")),
        };
        FileSeen { path: Text::new(path.as_bytes()), found: Some(found) }
    }

    /// A daemon of which nothing is to be told, and that works in /.
    fn watched(change: impl FnOnce(&mut Launch, &mut Look)) -> Watched {
        let mut launch = Launch {
            shell: 2,
            shell_tty_nr: 0,
            terminal: 0,
            launcher: 3,
            directory: Text::new(b"/home/me"),
            inherited: Some(Box::new(process(3, 0, "/home/me", &[]))),
            planted: None,
            ended: Some(Exit::Status(0)),
            files_at_exit: Vec::new(),
            pidfile_at_exit: None,
            alive_at_exit: vec![7],
            output: Output::default(),
            errors: None,
        };
        let mut look = Look {
            at_rest: true,
            late: false,
            ready: true,
            members: vec![process(7, 0, "/", &[])],
            main: Some((7, MainBy::OnlySurvivor)),
            pidfile: None,
            pidfile_directories: Vec::new(),
            log: None,
            listeners: Vec::new(),
        };
        change(&mut launch, &mut look);
        let seen =
            vec![("start".to_owned(), Seen::Launch(Box::new(launch))), ("rest".to_owned(), Seen::Look(Box::new(look)))];
        Watched {
            profile: Profile::Sysv,
            isolation: Isolation::Full,
            observation: Observation { scenario: "terminal".to_owned(), seen },
            private: "/private".into(),
            account: None,
            named: Vec::new(),
        }
    }

    fn entry(text: &str) -> Entry {
        parse(text, Path::new("m.toml"), &[]).unwrap_or_else(|error| panic!("{error}\n{text}")).remove(0)
    }

    #[test]
    fn what_was_seen_is_written_down() {
        let mut watched = watched(|_, look| {
            look.members = vec![process(7, 33, "/srv", &[(1, "/private/d.log")])];
            look.pidfile = Some(file("/run/d.pid"));
            look.log = Some(file("/private/d.log"));
            look.listeners = [
                Endpoint::Tcp("0.0.0.0:80".parse().unwrap()),
                Endpoint::Tcp("[::1]:40000".parse().unwrap()),
                Endpoint::Unix(Text::new(b"/private/s")),
                Endpoint::Unix(Text::new(b"@abstract")),
            ]
            .into_iter()
            .map(|at| Listener { pid: 7, fd: 5, at })
            .collect();
        });
        watched.account = Some("www-data".to_owned());
        watched.named = vec!["/etc/d.conf".into()];
        let text = write(&Subject::new(["d", "--config", "/etc/d.conf"]), &watched).unwrap();
        let entry = entry(&text);
        assert_eq!(entry.subject.command, ["d", "--config", "/etc/d.conf"]);
        assert_eq!(entry.profile, Some(Profile::Sysv));
        assert_eq!(entry.subject.pidfile, Some("/run/d.pid".into()));
        assert_eq!(entry.subject.log, Some("{dir}/d.log".into()));
        assert_eq!(entry.subject.user.as_deref(), Some("www-data"));
        let ready = ["tcp:0.0.0.0:80", "unix:{dir}/s"].map(|spec| spec.parse::<Ready>().unwrap());
        assert_eq!(entry.subject.ready, ready);
        assert_eq!(entry.subject.cwd, Path::new("/"), "whether it is documented is for the reader to say");
        for line in
            ["# cwd = \"/srv\"", "# ready = [\"tcp:[::1]:40000\"]", "cannot name: @abstract", "# files.\"d.conf\" = "]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_was_not_seen_is_a_comment() {
        let text = write(&Subject::new(["/usr/sbin/d"]), &watched(|_, _| {})).unwrap();
        let entry = entry(&text);
        assert_eq!((entry.subject.name.as_str(), &entry.subject.pidfile, &entry.subject.log), ("d", &None, &None));
        for line in [
            "# pidfile = ",
            "# log = ",
            "# ready = ",
            "# stop = ",
            "# language = ",
            "# package = ",
            "# [daemon.d.expect]",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("cwd") && !text.contains("user"), "{text}");
    }

    #[test]
    fn a_reader_who_takes_the_comments_off_has_a_manifest_still() {
        for profile in [Profile::Sysv, Profile::Foreground, Profile::Article] {
            let watched = Watched { profile, ..watched(|_, look| look.members = vec![process(7, 5, "/srv", &[])]) };
            let text = write(&Subject::new(["d"]), &watched).unwrap();
            let is_key =
                |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '));
            let uncommented = |line: &str| line.strip_prefix("# ").filter(|l| is_key(l)).unwrap_or(line).to_owned();
            let all: Vec<String> = text.lines().map(uncommented).collect();
            let entry = entry(&all.join("\n"));
            assert_eq!((entry.subject.expected.len(), entry.subject.cwd), (1, "/srv".into()), "{profile}");
            assert_eq!((entry.language.as_deref(), entry.package.as_deref()), (Some("C"), Some("mydaemon")));
        }
    }

    #[test]
    fn what_was_said_is_taken_as_it_is() {
        let mut subject = Subject::new(["d"]);
        subject.pidfile = Some("run/d.pid".into());
        subject.log = Some("d.log".into());
        subject.cwd = "/srv".into();
        subject.user = Some("me".to_owned());
        subject.stop = Some("d --stop \"now\"".to_owned());
        subject.ready = vec!["file:ok".parse().unwrap()];
        subject.environment = vec![("A B".into(), "1\n2".into())];
        subject.timeout = std::time::Duration::from_millis(2500);
        let seen = watched(|_, look| {
            look.pidfile = Some(file("/run/other.pid"));
            look.log = Some(file("/var/log/other.log"));
            look.listeners = vec![Listener { pid: 7, fd: 5, at: Endpoint::Unix(Text::new(b"/run/s")) }];
        });
        let read = entry(&write(&subject, &seen).unwrap()).subject;
        assert_eq!((read.pidfile, read.log, read.cwd), (subject.pidfile, subject.log, subject.cwd));
        assert_eq!((read.user, read.stop, read.ready), (subject.user, subject.stop, subject.ready));
        assert_eq!((read.environment, read.timeout), (subject.environment, subject.timeout));
    }

    #[test]
    fn a_log_may_be_open_at_another_number() {
        let log = |open: &[(i32, &str)]| {
            let watched = watched(|_, look| look.members = vec![process(7, 0, "/", open)]);
            let text = write(&Subject::new(["d"]), &watched).unwrap();
            (entry(&text).subject.log, text)
        };
        assert_eq!(log(&[(5, "/var/log/d/messages"), (6, "/var/lib/d.db")]).0, Some("/var/log/d/messages".into()));
        let (none, text) = log(&[(5, "/var/log/a"), (6, "/srv/b.log"), (7, "/var/log/c (deleted)")]);
        assert_eq!(none, None);
        assert!(text.contains("# log = \"/srv/b.log\"\n# log = \"/var/log/a\"\n"), "{text}");
        assert_eq!(log(&[(5, "/var/log/odd\nname")]).0, None, "its name was escaped, and is another one now");
    }

    #[test]
    fn a_word_that_is_no_text_is_refused() {
        let subject = Subject::new([OsString::from("d"), OsString::from_vec(b"a\xff".to_vec())]);
        let error = is_writable(&subject).unwrap_err().to_string();
        assert_eq!(error, "word 2 of the command is not UTF-8, and a manifest holds nothing else: `a\\xff`");
    }

    proptest! {
        #[test]
        fn any_words_come_back_as_they_were(
            words in proptest::collection::vec("[^\\x00]{0,20}", 1..5),
            name in "[^\\x00]{1,12}",
            value in "[^\\x00]{0,20}",
        ) {
            prop_assume!(!name.trim().is_empty());
            let mut subject = Subject::new(words);
            subject.name.clone_from(&name);
            subject.environment = vec![(name.replace('=', "-").into(), value.into())];
            let text = write(&subject, &watched(|_, _| {})).unwrap();
            prop_assert!(text.chars().all(|c| c == '\n' || !is_hidden(c)), "{text:?}");
            let read = entry(&text).subject;
            prop_assert_eq!(read.command, subject.command);
            prop_assert_eq!((read.name, read.environment), (subject.name, subject.environment));
        }
    }
}
