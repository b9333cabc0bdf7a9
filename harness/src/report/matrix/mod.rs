//! Many daemons side by side, one row each: pure serializers over rows, one file a format.
//!
//! What a daemon does not keep is shown whether its manifest expects that or not: a reader of a table wants to know what
//! holds. Whether a run fails is said by exit codes, and by the colour of what was not expected.

pub mod html;
pub mod markdown;
pub mod terminal;

use super::{Standing, shown};
use crate::check::{Check, Family, Level, Profile, Verdict, catalogue};
use crate::manifest::Entry;
use crate::observation::Text;
use crate::run::{Judged, Outcome, RunError};
use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;

/// One daemon of many: what its manifest says of it, and what it came to.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in the manifest.
    pub name: String,
    /// What it is written in.
    pub language: Option<String>,
    /// What installs it.
    pub package: Option<String>,
    /// The manifest, as a reader is to name it.
    pub manifest: String,
    /// Its command as the manifest has it, word by word, `{dir}` as it is.
    pub command: Vec<Text>,
    /// What kind of daemon it was to be judged as.
    pub profile: Profile,
    /// What came of it.
    pub result: Result<Outcome, NotJudged>,
}

/// Why a daemon could not be judged at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJudged {
    /// One line.
    pub why: String,
    /// Whether it is because its program is not there.
    pub missing: bool,
}

impl From<RunError> for NotJudged {
    fn from(error: RunError) -> Self {
        NotJudged { why: error.to_string(), missing: matches!(error, RunError::CannotStart { missing: true, .. }) }
    }
}

impl Row {
    /// What came of an entry of `manifest`, which is named as a reader would: relative to where that one stands.
    pub fn new(entry: &Entry, manifest: &str, profile: Profile, result: Result<Outcome, RunError>) -> Self {
        Row {
            name: entry.subject.name.clone(),
            language: entry.language.clone(),
            package: entry.package.clone(),
            manifest: manifest.to_owned(),
            command: entry.subject.command.iter().map(|word| Text::new(word.as_bytes())).collect(),
            profile,
            result: result.map_err(NotJudged::from),
        }
    }

    /// What its checks came to; of a daemon that was not judged none.
    fn judged(&self) -> &[Judged] {
        self.result.as_ref().map_or(&[], |outcome| &outcome.judged)
    }

    fn find(&self, check: &Check) -> Option<&Judged> {
        self.judged().iter().find(|judged| judged.check.id == check.id)
    }

    /// The checks it fails, whether that is expected or not.
    fn broken(&self) -> impl Iterator<Item = &Judged> {
        self.judged().iter().filter(|judged| matches!(judged.verdict, Verdict::Fail(_)))
    }

    /// How many of these are of that level.
    fn count(&self, level: Level) -> usize {
        self.broken().filter(|judged| judged.check.level == level).count()
    }

    /// How many checks came out so.
    fn verdicts(&self, verdict: &str) -> usize {
        self.result.as_ref().map_or(0, |outcome| outcome.count(verdict))
    }

    /// The line that has some of its checks judged again.
    fn repeat<'a>(&self, checks: impl Iterator<Item = &'a str>) -> String {
        let [before, after] = self.around_checks();
        format!("{before}{}{after}", checks.collect::<Vec<_>>().join(","))
    }

    /// That line before and after the checks' names.
    fn around_checks(&self) -> [String; 2] {
        let line = format!("daemonspec check --manifest {} --only ", word(&self.manifest));
        [shown(&line), shown(&format!(" {}", word(&self.name)))]
    }
}

/// A word of a shell's, quoted where it has to be.
fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-,:@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The exit code of the contract, over all rows: what is wrong decides before what was not judged. A daemon that is not
/// installed counts as not judged, unless `skip_missing`; one at least has to be judged.
pub fn exit_code(rows: &[Row], skip_missing: bool) -> i32 {
    let judged = rows.iter().any(|row| row.result.is_ok());
    let codes = rows.iter().map(|row| match &row.result {
        Ok(outcome) => outcome.exit_code(),
        Err(NotJudged { missing: true, .. }) if skip_missing => 0,
        Err(_) => 3,
    });
    let codes: Vec<i32> = codes.chain((!judged).then_some(3)).collect();
    [1, 3].into_iter().find(|code| codes.contains(code)).unwrap_or(0)
}

/// Puts those that fail most first, by the level of what they fail; what was not judged last. Rows alike stay as they were.
pub fn sort_by_failures(rows: &mut [Row]) {
    rows.sort_by_key(|row| {
        (row.result.is_err(), Level::ALL.iter().map(|level| Reverse(row.count(*level))).collect::<Vec<_>>())
    });
}

/// The checks that any of the daemons was judged by, in the catalogue's order, by family.
fn columns(rows: &[Row]) -> Vec<(Family, Vec<&'static Check>)> {
    let mut families: Vec<(Family, Vec<&'static Check>)> = Vec::new();
    for check in catalogue().filter(|check| rows.iter().any(|row| row.find(check).is_some())) {
        match families.last_mut() {
            Some((family, checks)) if *family == check.family => checks.push(check),
            _ => families.push((check.family, vec![check])),
        }
    }
    families
}

/// What a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It is not judged by that check.
    None,
    Kept,
    Skipped,
    /// Not observed.
    Unseen,
    /// It fails, at that level.
    Fails(Level),
    /// Its manifest expects that.
    Expected(Level),
    /// It passes, and its manifest says that it fails.
    Unexpected,
}

impl Mark {
    fn of(judged: Option<&Judged>) -> Self {
        let Some(judged) = judged else { return Mark::None };
        match Standing::of(judged) {
            Standing::Passed => Mark::Kept,
            Standing::Failed(_) => Mark::Fails(judged.check.level),
            Standing::Waived(..) => Mark::Expected(judged.check.level),
            Standing::Unexpected(_) => Mark::Unexpected,
            Standing::Skipped(_) => Mark::Skipped,
            Standing::Broken(_) => Mark::Unseen,
        }
    }

    /// One column wide; a failure is as large as its level.
    fn sign(self) -> char {
        match self {
            Mark::None => ' ',
            Mark::Kept => '·',
            Mark::Skipped => '-',
            Mark::Unseen => '?',
            Mark::Fails(level) | Mark::Expected(level) => sign(level),
            Mark::Unexpected => '!',
        }
    }
}

/// What stands for a failure of that level.
fn sign(level: Level) -> char {
    match level {
        Level::Must => '●',
        Level::Should => '○',
        Level::May => '∘',
    }
}

/// What the signs mean.
const LEGEND: &str = "● fails a must   ○ a should   ∘ a may   · kept   - does not apply   ? not observed   \
                      ! kept, and the manifest expects a failure";

/// `3 conform, 2 do not conform, 1 could not be judged`.
fn tally(rows: &[Row]) -> String {
    let count = |wanted: &dyn Fn(Option<i32>) -> bool| {
        rows.iter().filter(|row| wanted(row.result.as_ref().ok().map(Outcome::exit_code))).count()
    };
    let parts = [
        (count(&|code| code == Some(0)), "conform", "conforms"),
        (count(&|code| code == Some(1)), "do not conform", "does not conform"),
        (count(&|code| !matches!(code, Some(0 | 1))), "could not be judged", "could not be judged"),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let words = parts.map(|(count, many, one)| format!("{count} {}", if count == 1 { one } else { many }));
    words.collect::<Vec<_>>().join(", ")
}

/// Each check that somebody fails, in the catalogue's order, and who does.
fn failing(rows: &[Row]) -> Vec<(&'static Check, Vec<&Row>)> {
    let fails = |row: &&Row, check: &Check| row.find(check).is_some_and(|j| matches!(j.verdict, Verdict::Fail(_)));
    catalogue()
        .map(|check| (check, rows.iter().filter(|row| fails(row, check)).collect::<Vec<_>>()))
        .filter(|(_, rows)| !rows.is_empty())
        .collect()
}
