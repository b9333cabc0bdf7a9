//! Reads a manifest. Every error is one line that names the file, the line and the key.

use crate::check::{Check, Level, Profile, UnknownName, find};
use crate::observation::{Text, printable};
use crate::run::{Options, Wanted};
use crate::subject::{LONGEST_TIMEOUT, Ready, Subject};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A manifest larger than this is none.
const LARGEST: u64 = 1 << 20;
/// Of what a manifest says, errors repeat no more characters than this.
const MOST_SHOWN: usize = 80;
/// What stands for the directory that the manifest is in.
const HERE: &str = "{here}";

/// One daemon of a manifest. What it does not say is `None`, or empty.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What to start.
    pub subject: Subject,
    /// What kind of daemon it means to be.
    pub profile: Option<Profile>,
    /// Only these checks.
    pub only: Vec<&'static str>,
    /// Not these.
    pub skip: Vec<&'static str>,
    /// Failing checks of this level and above make the run fail.
    pub level: Option<Level>,
    /// How much isolation is wanted.
    pub isolation: Option<Wanted>,
    /// Scenarios at a time.
    pub jobs: Option<usize>,
    /// Whether what repeats the start once for each of its calls is done too.
    pub exhaustive: Option<bool>,
    /// What it is written in, as a table of many shows it.
    pub language: Option<String>,
    /// What installs it, as a table of many shows it.
    pub package: Option<String>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read manifest {}: {}", printable(&.0.to_string_lossy()), .1)]
    Unreadable(PathBuf, std::io::Error),
    /// It is too large.
    #[error("manifest {} is larger than 1 MiB", printable(&.0.to_string_lossy()))]
    TooLarge(PathBuf),
    /// It does not parse, or says what cannot be.
    #[error("manifest {}, line {line}: {what}", printable(&.path.to_string_lossy()))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It names no daemon.
    #[error("manifest {} names no daemon; write one as [daemon.NAME] with a command", printable(&.0.to_string_lossy()))]
    Empty(PathBuf),
    /// A name given on the command line is not in it.
    #[error("manifest {}: {}", printable(&.0.to_string_lossy()), .1)]
    NoSuchDaemon(PathBuf, UnknownName),
}

/// Reads the manifest at `path`; of its daemons those in `names`, in that order, or all of them in the file's.
///
/// # Errors
/// Each names the file, and the line where there is one.
pub fn read(path: &Path, names: &[String]) -> Result<Vec<Entry>, ManifestError> {
    let unreadable = |error| ManifestError::Unreadable(path.to_owned(), error);
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a regular file")));
    }
    if meta.len() > LARGEST {
        return Err(ManifestError::TooLarge(path.to_owned()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text, path, names),
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let what = format!("byte 0x{byte:02x} is not UTF-8, which a manifest is written in");
            Err(ManifestError::Wrong { path: path.to_owned(), line: line_of(&bytes, at), what })
        }
    }
}

/// The same of a text; `path` is named in errors, and its directory is what `{here}` stands for.
///
/// # Errors
/// As for [`read`].
pub fn parse(text: &str, path: &Path, names: &[String]) -> Result<Vec<Entry>, ManifestError> {
    // What an editor of another system adds is no part of the configuration files and shell lines in it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let wrong = |Wrong { at, what }: Wrong| ManifestError::Wrong {
        path: path.to_owned(),
        line: line_of(text.as_bytes(), at),
        what: printable(&what),
    };
    let document = DeTable::parse(&text).map_err(|error| wrong(Wrong::from_toml(&text, &error)))?;
    let daemons = daemons(document.get_ref()).map_err(wrong)?;
    if daemons.is_empty() {
        return Err(ManifestError::Empty(path.to_owned()));
    }
    // All of them are read, so that a mistake is found whichever are wanted.
    let mut all = daemons.iter().map(|given| entry(given)).collect::<Result<Vec<Entry>, Wrong>>().map_err(wrong)?;
    if let Some(at) = text.find(HERE) {
        let here = directory_of(path).map_err(|why| wrong(Wrong::new(at, format!("`{HERE}`: {why}"))))?;
        for entry in &mut all {
            entry.subject.fill(HERE, &here);
        }
    }
    if names.is_empty() {
        return Ok(all);
    }
    let mut chosen: Vec<Entry> = Vec::with_capacity(names.len());
    for name in names {
        let Some(entry) = all.iter().find(|entry| entry.subject.name == *name) else {
            let unknown = UnknownName::new("daemon", &shown(name), all.iter().map(|entry| entry.subject.name.as_str()));
            return Err(ManifestError::NoSuchDaemon(path.to_owned(), unknown));
        };
        if !chosen.iter().any(|entry| entry.subject.name == *name) {
            chosen.push(entry.clone());
        }
    }
    Ok(chosen)
}

/// The absolute directory of the manifest at `path`, or why it cannot stand in a text.
fn directory_of(path: &Path) -> Result<String, String> {
    let absolute =
        std::path::absolute(path).map_err(|error| format!("where this manifest is cannot be told: {error}"))?;
    let directory = absolute.parent().unwrap_or(&absolute).to_owned().into_os_string();
    directory.into_string().map_err(|_| "the path of this manifest's directory is not UTF-8; move it".to_owned())
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Wrong {
    at: usize,
    what: String,
}

impl Wrong {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Wrong { at, what: what.into() }
    }

    fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let mut what = error.message().lines().collect::<Vec<_>>().join(", ");
        if what == "duplicate key" {
            let key = text.get(span.clone()).unwrap_or_default();
            what = format!("key `{}` is there already", shown(key));
        }
        Wrong::new(span.start, what)
    }
}

/// A key, and what it was given.
#[derive(Clone, Copy)]
struct Given<'a> {
    key: &'a Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Given<'a> {
    fn key(&self) -> &'a str {
        self.key.get_ref()
    }

    /// Where the value begins.
    fn at(&self) -> usize {
        self.value.span().start
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Wrong {
        Wrong::new(self.at(), format!("`{}`: {what}", shown(self.key())))
    }

    fn is_not(&self, wanted: &str) -> Wrong {
        is_not(self.key(), self.value, wanted)
    }

    fn table(&self) -> Result<Vec<Given<'a>>, Wrong> {
        let table = self.value.get_ref().as_table().ok_or_else(|| self.is_not("a table"))?;
        Ok(table.iter().map(|(key, value)| Given { key, value }).collect())
    }

    fn text(&self) -> Result<&'a str, Wrong> {
        text_of(self.key(), self.value)
    }

    /// A text that must say something.
    fn word(&self) -> Result<&'a str, Wrong> {
        let text = self.text()?;
        if text.trim().is_empty() { Err(self.wrong("it is empty")) } else { Ok(text) }
    }

    /// A word of a closed set.
    fn one_of<T: FromStr<Err = UnknownName>>(&self) -> Result<T, Wrong> {
        self.text()?.parse().map_err(|error| self.wrong(error))
    }

    /// A list of texts, each with where it is.
    fn texts(&self) -> Result<Vec<(usize, &'a str)>, Wrong> {
        let list = self.value.get_ref().as_array().ok_or_else(|| self.is_not("a list of strings"))?;
        list.iter().map(|item| Ok((item.span().start, text_of(self.key(), item)?))).collect()
    }

    /// The same; one text may stand for a list of one.
    fn text_or_texts(&self) -> Result<Vec<(usize, &'a str)>, Wrong> {
        match self.value.get_ref() {
            DeValue::String(_) => Ok(vec![(self.at(), self.text()?)]),
            DeValue::Array(_) => self.texts(),
            _ => Err(self.is_not("a string or a list of strings")),
        }
    }

    fn check_ids(&self) -> Result<Vec<&'static str>, Wrong> {
        let named = |(at, id): (usize, &str)| {
            find(&shown(id)).map(|c| c.id).map_err(|error| Wrong::new(at, format!("`{}`: {error}", self.key())))
        };
        self.text_or_texts()?.into_iter().map(named).collect()
    }

    fn seconds(&self) -> Result<Duration, Wrong> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => return Err(self.is_not("a number of seconds")),
        };
        let longest = LONGEST_TIMEOUT.as_secs_f64();
        let fits = number.filter(|n| *n > 0.0 && *n <= longest).map(Duration::from_secs_f64).filter(|d| !d.is_zero());
        fits.ok_or_else(|| self.wrong(format!("it is in seconds, above 0 and up to {longest}")))
    }

    fn count(&self) -> Result<usize, Wrong> {
        let DeValue::Integer(number) = self.value.get_ref() else { return Err(self.is_not("an integer")) };
        let count = u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|count| *count > 0);
        count.map(usize::from).ok_or_else(|| self.wrong("it is 1 to 65535"))
    }

    fn boolean(&self) -> Result<bool, Wrong> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// An empty or climbing name would be written outside `{dir}`.
    fn file_name(&self) -> Result<PathBuf, Wrong> {
        let (name, at) = (self.key(), self.key.span().start);
        let refused = |why: &str| Err(Wrong::new(at, format!("`files`: `{}` {why}", shown(name))));
        let path = Path::new(name);
        if path.is_absolute() {
            return refused("is absolute; it is written below {dir}");
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return refused("climbs out of {dir} with `..`");
        }
        let plain: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        if plain.as_os_str().is_empty() || name.ends_with('/') || name.contains('\0') {
            return refused("is no name of a file");
        }
        Ok(plain)
    }
}

fn text_of<'a>(key: &str, value: &'a Spanned<DeValue<'a>>) -> Result<&'a str, Wrong> {
    let text = value.get_ref().as_str().ok_or_else(|| is_not(key, value, "a string"))?;
    // The kernel takes no such word, path or variable.
    if text.contains('\0') {
        return Err(Wrong::new(value.span().start, format!("`{}`: it has a NUL byte", shown(key))));
    }
    Ok(text)
}

fn is_not(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Wrong {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Wrong::new(value.span().start, format!("`{}` must be {wanted}, and this is {found}", shown(key)))
}

/// Words of the manifest's, bounded.
fn shown(words: &str) -> String {
    Text::new(words.as_bytes()).short(MOST_SHOWN)
}

fn line_of(text: &[u8], at: usize) -> usize {
    text.iter().take(at).filter(|b| **b == b'\n').count() + 1
}

/// The tables of the daemons, in the file's order.
fn daemons<'a>(document: &'a DeTable<'a>) -> Result<Vec<Given<'a>>, Wrong> {
    let mut found = Vec::new();
    for (key, value) in document {
        let given = Given { key, value };
        if given.key() != "daemon" {
            return Err(unknown_key(given, ["daemon"]));
        }
        found = given.table()?;
    }
    Ok(found)
}

fn unknown_key<'a>(given: Given<'_>, known: impl IntoIterator<Item = &'a str>) -> Wrong {
    Wrong::new(given.key.span().start, UnknownName::new("key", &shown(given.key()), known).to_string())
}

/// One daemon as it is read.
struct Reading {
    entry: Entry,
    /// The expected failures, and where they are named.
    expected: Vec<(usize, &'static Check)>,
}

/// A key of a daemon's table: how it is taken in.
type Take = fn(&mut Reading, Given<'_>) -> Result<(), Wrong>;

/// Every key of a daemon's, in the order of the options they are named after; the last six have none.
const KEYS: &[(&str, Take)] = &[
    ("profile", |to, given| given.one_of().map(|profile| to.entry.profile = Some(profile))),
    ("pidfile", |to, given| given.word().map(|path| to.entry.subject.pidfile = Some(path.into()))),
    ("log", |to, given| given.word().map(|path| to.entry.subject.log = Some(path.into()))),
    ("cwd", |to, given| given.word().map(|path| to.entry.subject.cwd = path.into())),
    ("user", |to, given| given.word().map(|name| to.entry.subject.user = Some(name.to_owned()))),
    ("stop", |to, given| given.word().map(|line| to.entry.subject.stop = Some(line.to_owned()))),
    ("ready", |to, given| {
        let read = |(at, spec): (usize, &str)| {
            spec.parse::<Ready>().map_err(|error| Wrong::new(at, format!("`ready`: {}", shown(&error.to_string()))))
        };
        given
            .text_or_texts()?
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(|ready| to.entry.subject.ready = ready)
    }),
    ("env", environment),
    ("timeout", |to, given| given.seconds().map(|timeout| to.entry.subject.timeout = timeout)),
    ("only", |to, given| given.check_ids().map(|ids| to.entry.only = ids)),
    ("skip", |to, given| given.check_ids().map(|ids| to.entry.skip = ids)),
    ("level", |to, given| given.one_of().map(|level| to.entry.level = Some(level))),
    ("isolation", |to, given| given.one_of().map(|wanted| to.entry.isolation = Some(wanted))),
    ("jobs", |to, given| given.count().map(|jobs| to.entry.jobs = Some(jobs))),
    ("exhaustive", |to, given| given.boolean().map(|wanted| to.entry.exhaustive = Some(wanted))),
    ("command", command),
    ("setup", |to, given| given.word().map(|line| to.entry.subject.setup = Some(line.to_owned()))),
    ("files", files),
    ("expect", expected),
    ("language", |to, given| given.word().map(|language| to.entry.language = Some(language.to_owned()))),
    ("package", |to, given| given.word().map(|package| to.entry.package = Some(package.to_owned()))),
];

/// The keys of a daemon's table.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// Options of `check` that are a run's and not a daemon's.
const OF_A_RUN: &[&str] = &["manifest", "format", "output", "record", "replay", "verbose"];

fn entry(given: &Given<'_>) -> Result<Entry, Wrong> {
    let at = given.key.span().start;
    let name = given.key();
    if name.trim().is_empty() {
        return Err(Wrong::new(at, "a daemon needs a name"));
    }
    let mut subject = Subject::new(Vec::<OsString>::new());
    name.clone_into(&mut subject.name);
    let entry = Entry {
        subject,
        profile: None,
        only: Vec::new(),
        skip: Vec::new(),
        level: None,
        isolation: None,
        jobs: None,
        exhaustive: None,
        language: None,
        package: None,
    };
    let mut reading = Reading { entry, expected: Vec::new() };
    let table = given.table()?;
    for given in &table {
        if let Some((_, take)) = KEYS.iter().find(|(key, _)| *key == given.key()) {
            take(&mut reading, *given)?;
        } else if OF_A_RUN.contains(&given.key()) {
            let key = given.key();
            let what = format!("`{key}` belongs to a run, not to a daemon; give it on the command line, as --{key}");
            return Err(Wrong::new(given.key.span().start, what));
        } else {
            return Err(unknown_key(*given, KEYS.iter().map(|(key, _)| *key)));
        }
    }
    if !table.iter().any(|given| given.key() == "command") {
        return Err(Wrong::new(at, format!("daemon `{}` has no `command`", shown(name))));
    }
    let Reading { entry, expected } = reading;
    if let Some(skip) = table.iter().find(|given| given.key() == "skip")
        && !entry.only.is_empty()
        && entry.only.iter().all(|id| entry.skip.contains(id))
    {
        return Err(skip.wrong("it leaves none of the checks in `only`"));
    }
    match expected.into_iter().find_map(|(at, check)| Some((at, check.id, never_judged(&entry, check)?))) {
        Some((at, id, why)) => Err(Wrong::new(at, format!("`expect`: `{id}` is never judged here: {why}"))),
        None => Ok(entry),
    }
}

/// Why a check is not among the entry's, as far as the manifest alone decides that.
fn never_judged(entry: &Entry, check: &Check) -> Option<String> {
    if entry.skip.contains(&check.id) {
        return Some("`skip` names it".to_owned());
    }
    if !entry.only.is_empty() {
        return (!entry.only.contains(&check.id)).then(|| "`only` does not name it".to_owned());
    }
    // A manifest without a profile may be meant for one that the command line says.
    let options = Options { profile: entry.profile?, ..Options::default() };
    let judged = options.checks().iter().any(|c| c.id == check.id);
    (!judged).then(|| format!("profile `{}` is without it", options.profile))
}

fn command(to: &mut Reading, given: Given<'_>) -> Result<(), Wrong> {
    let DeValue::Array(_) = given.value.get_ref() else {
        return Err(given.is_not("a list of words, such as [\"mydaemon\", \"--config\", \"my.conf\"]"));
    };
    let words = given.texts()?;
    if words.is_empty() {
        return Err(given.wrong("it is empty"));
    }
    to.entry.subject.command = words.into_iter().map(|(_, word)| word.into()).collect();
    Ok(())
}

fn environment(to: &mut Reading, given: Given<'_>) -> Result<(), Wrong> {
    for variable in given.table()? {
        let name = variable.key();
        if name.is_empty() || name.contains(['=', '\0']) {
            let what = format!("`env`: `{}` is no name of a variable", shown(name));
            return Err(Wrong::new(variable.key.span().start, what));
        }
        to.entry.subject.environment.push((name.into(), variable.text()?.into()));
    }
    Ok(())
}

fn files(to: &mut Reading, given: Given<'_>) -> Result<(), Wrong> {
    let mut paths: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for file in given.table()? {
        let path = file.file_name()?;
        let content = file.value.get_ref().as_str().ok_or_else(|| file.is_not("a string, the file's content"))?;
        let clash = paths.iter().find(|(other, _)| other.starts_with(&path) || path.starts_with(other));
        if let Some((_, other)) = clash {
            let what = format!("`files`: `{}` cannot be beside `{}`", shown(file.key()), shown(other));
            return Err(Wrong::new(file.key.span().start, what));
        }
        to.entry.subject.files.insert(file.key().to_owned(), content.to_owned());
        paths.insert(path, file.key());
    }
    Ok(())
}

fn expected(to: &mut Reading, given: Given<'_>) -> Result<(), Wrong> {
    for failure in given.table()? {
        let at = failure.key.span().start;
        let check = find(&shown(failure.key())).map_err(|error| Wrong::new(at, format!("`expect`: {error}")))?;
        let reason = failure.text()?;
        if reason.trim().is_empty() {
            return Err(Wrong::new(at, format!("expected failure `{}` needs a reason", check.id)));
        }
        to.entry.subject.expected.insert(check.id.to_owned(), reason.to_owned());
        to.expected.push((at, check));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Entry>, String> {
        parse(text, Path::new("m.toml"), &[]).map_err(|e| e.to_string())
    }

    /// One daemon whose table has these lines, of which the first is the third of the file.
    fn daemon(lines: &str) -> Result<Entry, String> {
        read(&format!("[daemon.a]\ncommand = [\"a\"]\n{lines}\n")).map(|mut entries| entries.remove(0))
    }

    #[test]
    fn reads_what_the_contract_shows() {
        let entries = read(
            r#"
            [daemon.zeta]
            command = ["z"]
            [daemon.nginx]
            command = ["nginx", "-c", "{dir}/nginx.conf"]
            pidfile = "{dir}/nginx.pid"
            profile = "sysv"
            ready = "tcp:127.0.0.1:80"
            setup = "mkdir -p {dir}/logs"
            files."nginx.conf" = "events {}"
            [daemon.nginx.expect]
            not-session-leader = "upstream forks once by design"
            "#,
        )
        .unwrap();
        let names: Vec<&str> = entries.iter().map(|e| e.subject.name.as_str()).collect();
        assert_eq!(names, ["zeta", "nginx"], "the file's order");
        let nginx = &entries[1].subject;
        assert_eq!(nginx.expected["not-session-leader"], "upstream forks once by design");
        assert_eq!((nginx.ready.len(), nginx.command.len()), (1, 3));
    }

    #[test]
    fn every_key_is_taken() {
        let entry = daemon(
            "profile = 'article'\npidfile = 'p'\nlog = 'l'\ncwd = '/c'\nuser = 'u'\nstop = 's'\ntimeout = 2\n\
             ready = ['unix:/s', 'file:/f']\nenv = { A = '1' }\nonly = ['new-session']\nskip = 'cwd-root'\n\
             level = 'may'\nisolation = 'none'\njobs = 3\nexhaustive = true\nsetup = 'true'\nfiles.'./x/y' = '1'\n\
             language = 'C'\npackage = 'pypi:x'",
        )
        .unwrap();
        let subject = entry.subject;
        assert_eq!((entry.profile, entry.level), (Some(Profile::Article), Some(Level::May)));
        assert_eq!((entry.isolation, entry.jobs), (Some(Wanted::None), Some(3)));
        assert_eq!(entry.exhaustive, Some(true));
        assert_eq!((entry.language.as_deref(), entry.package.as_deref()), (Some("C"), Some("pypi:x")));
        assert_eq!((entry.only, entry.skip), (vec!["new-session"], vec!["cwd-root"]));
        assert_eq!((subject.pidfile, subject.log, subject.cwd), (Some("p".into()), Some("l".into()), "/c".into()));
        assert_eq!((subject.user.as_deref(), subject.stop.as_deref()), (Some("u"), Some("s")));
        assert_eq!((subject.ready.len(), subject.environment.len(), subject.files.len()), (2, 1, 1));
        assert_eq!((subject.timeout, subject.setup.as_deref()), (Duration::from_secs(2), Some("true")));
    }

    #[test]
    fn every_option_of_check_is_a_key_or_belongs_to_a_run() {
        let cli = crate::cli::Cli::command();
        let check = cli.find_subcommand("check").unwrap();
        for option in check.get_arguments().filter_map(clap::Arg::get_long).filter(|name| *name != "help") {
            let is_key = KEYS.iter().any(|(key, _)| *key == option);
            assert!(
                is_key != OF_A_RUN.contains(&option),
                "--{option}: a key of a daemon's, or does it belong to a run?"
            );
        }
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (lines, message) in [
            ("pidfil = \"x\"", "m.toml, line 3: no key named `pidfil`; did you mean `pidfile`?"),
            ("\npidfile = 3", "line 4: `pidfile` must be a string, and this is an integer"),
            ("log = ''", "line 3: `log`: it is empty"),
            ("cwd = []", "line 3: `cwd` must be a string, and this is a list"),
            ("language = ['C']", "`language` must be a string, and this is a list"),
            ("package = ' '", "line 3: `package`: it is empty"),
            ("user = 1.5", "`user` must be a string, and this is a float"),
            ("stop = true", "`stop` must be a string, and this is a boolean"),
            ("stop = \"a\\u0000b\"", "`stop`: it has a NUL byte"),
            ("setup = 1979-05-27", "`setup` must be a string, and this is a date or time"),
            ("profile = \"sysw\"", "line 3: `profile`: no profile named `sysw`; did you mean `sysv`?"),
            ("level = \"most\"", "line 3: `level`: no level named `most`"),
            ("isolation = \"ful\"", "line 3: `isolation`: no isolation named `ful`; did you mean `full`?"),
            ("ready = \"tcp:80\"", "line 3: `ready`: `80` is not a numeric address and port"),
            ("ready = [\n\"unix:/s\",\n\"pigeon\"]", "line 5: `ready`: `pigeon` is not `tcp:ADDR:PORT`"),
            ("ready = 80", "`ready` must be a string or a list of strings, and this is an integer"),
            ("env = [\"A=1\"]", "`env` must be a table, and this is a list"),
            ("env.A = 1", "`A` must be a string, and this is an integer"),
            ("env.\"A=B\" = ''", "`env`: `A=B` is no name of a variable"),
            ("timeout = 0", "`timeout`: it is in seconds, above 0 and up to 3600"),
            ("timeout = nan", "`timeout`: it is in seconds"),
            ("timeout = 1e300", "`timeout`: it is in seconds"),
            ("timeout = \"5\"", "`timeout` must be a number of seconds, and this is a string"),
            ("jobs = 0", "`jobs`: it is 1 to 65535"),
            ("jobs = -1", "`jobs`: it is 1 to 65535"),
            ("only = [\"new-session\",\n\"new-sesion\"]", "line 4: `only`: no check named `new-sesion`"),
            ("skip = [3]", "line 3: `skip` must be a string, and this is an integer"),
            (
                "only = ['new-session']\nskip = ['new-session']",
                "line 4: `skip`: it leaves none of the checks in `only`",
            ),
            ("files = 3", "`files` must be a table"),
            ("files.'/etc/x' = ''", "line 3: `files`: `/etc/x` is absolute"),
            ("files.'a/../../x' = ''", "line 3: `files`: `a/../../x` climbs out of {dir}"),
            ("files.'' = ''", "line 3: `files`: `` is no name of a file"),
            ("files.'.' = ''", "line 3: `files`: `.` is no name of a file"),
            ("files.x = ['1']", "line 3: `x` must be a string, the file's content, and this is a list"),
            ("files.x = ''\nfiles.'x/y' = ''", "line 4: `files`: `x/y` cannot be beside `x`"),
            ("expect.new-sesion = \"x\"", "line 3: `expect`: no check named `new-sesion`; did you mean `new-session`?"),
            ("expect.new-session = \" \"", "line 3: expected failure `new-session` needs a reason"),
            ("expect.new-session = 1", "line 3: `new-session` must be a string"),
            ("log = 'a'\nlog = 'b'", "line 4: key `log` is there already"),
            (
                "format = \"json\"",
                "line 3: `format` belongs to a run, not to a daemon; give it on the command line, as --format",
            ),
            ("verbose = true", "line 3: `verbose` belongs to a run"),
            ("log = ", "line 3: "),
            ("[daemon.\"\"]\ncommand = ['b']", "line 3: a daemon needs a name"),
            ("[daemon.b]\nlog = 'b'", "line 3: daemon `b` has no `command`"),
            ("[daemon.b]\ncommand = []", "line 4: `command`: it is empty"),
            ("[daemon.b]\ncommand = 'b -d'", "line 4: `command` must be a list of words, such as"),
            ("[daemon.b]\ncommand = ['b', 3]", "line 4: `command` must be a string, and this is an integer"),
            ("[daemons.b]\ncommand = ['b']", "line 3: no key named `daemons`; did you mean `daemon`?"),
        ] {
            let error = daemon(lines).unwrap_err();
            assert!(error.contains(message), "{lines}: {error}");
        }
        for (text, message) in [
            ("", "m.toml names no daemon"),
            ("[daemon]", "m.toml names no daemon"),
            ("daemon = 3", "line 1: `daemon` must be a table, and this is an integer"),
            ("[[daemon]]", "line 1: `daemon` must be a table, and this is a list"),
            ("[daemon]\na = 3", "line 2: `a` must be a table, and this is an integer"),
            ("[daemon.a\n", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn an_expectation_that_can_never_apply_is_a_mistake() {
        let expect = "[daemon.a.expect]\nnot-session-leader = 'by design'";
        for (lines, why) in [
            ("skip = 'not-session-leader'", "`skip` names it"),
            ("only = 'new-session'", "`only` does not name it"),
            ("profile = 'article'", "profile `article` is without it"),
        ] {
            let error = daemon(&format!("{lines}\n{expect}")).unwrap_err();
            assert!(
                error.contains(&format!("line 5: `expect`: `not-session-leader` is never judged here: {why}")),
                "{error}"
            );
        }
        for lines in ["", "profile = 'sysv'", "profile = 'article'\nonly = 'not-session-leader'"] {
            daemon(&format!("{lines}\n{expect}")).unwrap();
        }
    }

    #[test]
    fn here_is_the_directory_of_the_manifest() {
        let text = "[daemon.a]\ncommand = ['{here}/d', '-p', '{dir}/p']\ncwd = '{here}'\nenv.X = '{here}/x'\n\
                    setup = 'touch {here}/s'\nready = 'file:{here}/r'\nfiles.f = '{here}'\n";
        let read = |path: &Path| parse(text, path, &[]).map(|entries| entries[0].subject.clone());
        let subject = read(Path::new("/srv/field/m.toml")).unwrap();
        assert_eq!(subject.command, ["/srv/field/d", "-p", "{dir}/p"]);
        assert_eq!(subject.cwd, Path::new("/srv/field"));
        assert_eq!(subject.environment[0].1, "/srv/field/x");
        assert_eq!(subject.setup.as_deref(), Some("touch /srv/field/s"));
        assert_eq!(subject.ready, [Ready::File("/srv/field/r".into())]);
        assert_eq!(subject.files["f"], "/srv/field");
        let relative = read(Path::new("m.toml")).unwrap();
        assert_eq!(relative.cwd, std::env::current_dir().unwrap());
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/caf\xe9/m.toml"));
        let error = read(odd).unwrap_err().to_string();
        assert!(
            error.ends_with("line 2: `{here}`: the path of this manifest's directory is not UTF-8; move it"),
            "{error}"
        );
    }

    #[test]
    fn names_keep_the_order_in_which_they_were_given() {
        let text = "[daemon.a]\ncommand = ['a']\n[daemon.b]\ncommand = ['b']\n[daemon.c]\ncommand = ['c']\n";
        let chosen = |names: &[&str]| -> Result<Vec<String>, String> {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let entries = parse(text, Path::new("m.toml"), &names).map_err(|e| e.to_string())?;
            Ok(entries.into_iter().map(|e| e.subject.name).collect())
        };
        assert_eq!(chosen(&["c", "a", "c"]).unwrap(), ["c", "a"]);
        assert_eq!(chosen(&["d"]).unwrap_err(), "manifest m.toml: no daemon named `d`");
    }

    #[test]
    fn what_other_systems_editors_add_does_no_harm() {
        let entry =
            read("\u{feff}[daemon.a]\r\ncommand = ['a']\r\nfiles.x = '''\r\none\r\ntwo'''\r\n").unwrap().remove(0);
        assert_eq!(entry.subject.files["x"], "one\ntwo");
        let error = read("\u{feff}[daemon.a]\r\ncommand = ['a']\r\nusr = 'x'\r\n").unwrap_err();
        assert!(error.contains("line 3: no key named `usr`; did you mean `user`?"), "{error}");
    }

    #[test]
    fn a_byte_that_is_no_text_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.toml");
        std::fs::write(&path, b"[daemon.a]\ncommand = [\"\xe9\"]\n").unwrap();
        let error = super::read(&path, &[]).unwrap_err().to_string();
        assert!(error.ends_with("m.toml, line 2: byte 0xe9 is not UTF-8, which a manifest is written in"), "{error}");
    }

    /// Documents made of what manifests are made of, right and wrong.
    fn documents() -> impl Strategy<Value = String> {
        let mut keys: Vec<String> = KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
        keys.extend(["daemon", "a.b", "\"\"", "\"\\u001b\"", "'\u{202e}'", "format", "pidfil"].map(str::to_owned));
        let values = [
            "1",
            "-1",
            "0x10",
            "1e999",
            "nan",
            "true",
            "1979-05-27",
            "''",
            "'a'",
            "\"\\n\\u0007\\u0000\"",
            "[]",
            "['a']",
            "[1]",
            "[[[]]]",
            "{}",
            "{ a = 'b' }",
            "{ new-session = 'x' }",
            "'''\nx\r\n'''",
            "\"",
            "'sysv'",
            "[\"new-session\"]",
            "'tcp:[::1]:80'",
            "{ \"../x\" = '' }",
            "",
        ];
        let headers = [
            "[daemon.a]",
            "[daemon.b]",
            "[daemon]",
            "[[daemon.a]]",
            "[daemon.a.expect]",
            "[x]",
            "[",
            "# c",
            "\u{feff}",
        ];
        let line = prop_oneof![
            4 => (proptest::sample::select(keys), proptest::sample::select(values.to_vec())).prop_map(|(k, v)| format!("{k} = {v}")),
            2 => proptest::sample::select(headers.to_vec()).prop_map(str::to_owned),
            1 => Just("command = ['a']".to_owned()),
            1 => "(?s).{0,20}",
        ];
        (proptest::collection::vec(line, 0..12), proptest::sample::select(vec!["\n", "\r\n"]))
            .prop_map(|(lines, end)| lines.join(end))
    }

    proptest! {
        #[test]
        fn any_text_is_answered_in_one_line(text in prop_oneof![documents(), "(?s).{0,300}".prop_map(|s| s)]) {
            if let Err(error) = read(&text) {
                prop_assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
                prop_assert!(error.chars().count() < 600, "{error:?}");
            }
        }
    }
}
