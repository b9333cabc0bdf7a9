//! Reports: pure serializers over outcomes, one file a format.

pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod tap;
pub mod terminal;

use crate::check::{Failure, Verdict};
use crate::observation::{Isolation, Text, printable};
use crate::run::{Judged, Outcome};

/// What a check comes to, the manifest's expectations counted in.
#[derive(Debug, Clone, Copy)]
enum Standing<'a> {
    Passed,
    Failed(&'a Failure),
    /// Expected to fail, and why; it passes.
    Unexpected(&'a str),
    /// Expected to fail, and why; it does.
    Waived(&'a Failure, &'a str),
    Skipped(&'a str),
    /// Not observed.
    Broken(&'a str),
}

impl<'a> Standing<'a> {
    fn of(judged: &'a Judged) -> Self {
        match (&judged.verdict, &judged.waived) {
            (Verdict::Pass, None) => Standing::Passed,
            (Verdict::Pass, Some(why)) => Standing::Unexpected(why),
            (Verdict::Fail(failure), None) => Standing::Failed(failure),
            (Verdict::Fail(failure), Some(why)) => Standing::Waived(failure, why),
            (Verdict::Skip(why), _) => Standing::Skipped(why),
            (Verdict::Broken(why), _) => Standing::Broken(why),
        }
    }
}

/// Words of the subject's as any format may hold them: printable, and without the two characters that are neither XML's nor
/// YAML's.
pub(crate) fn shown(text: &str) -> String {
    printable(text).replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}")
}

/// What an unexpected pass says of itself.
const UNEXPECTED: &str = "it passes now, and the manifest still expects it to fail";

/// How to mend that.
fn take_out(id: &str, why: &str) -> String {
    format!("take `{id}` (\"{}\") out of the manifest's expect", shown(why))
}

/// A command on one line.
fn command(words: &[Text]) -> String {
    let words: Vec<&str> = words.iter().map(Text::as_str).collect();
    shown(&words.join(" "))
}

/// The sandbox, in a word or two.
pub(crate) fn place(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Full => "sandboxed",
        Isolation::None => "no sandbox",
    }
}

/// The verdict on the whole, after the subject's name.
fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.exit_code() {
        0 => "conforms",
        1 => "does not conform",
        _ => "could not be judged",
    }
}

/// How many checks came to what; the terminal report's order and words.
fn counts(outcome: &Outcome) -> String {
    let count = |wanted: fn(Standing<'_>) -> bool| outcome.judged.iter().filter(|j| wanted(Standing::of(j))).count();
    let mut parts = vec![format!("{} passed", count(|s| matches!(s, Standing::Passed)))];
    for (count, word) in [
        (count(|s| matches!(s, Standing::Failed(_))), "failed"),
        (count(|s| matches!(s, Standing::Unexpected(_))), "passed unexpectedly"),
        (count(|s| matches!(s, Standing::Waived(..))), "waived"),
        (count(|s| matches!(s, Standing::Broken(_))), "not observed"),
        (count(|s| matches!(s, Standing::Skipped(_))), "skipped"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    parts.join(", ")
}
