//! The table as a page of a book: docs/field.md.
//!
//! The same verdicts give the same page, but for what the daemons showed when they failed: that stands in lines of its own,
//! which [`comparable`] leaves out. Durations are not in it, nor are commands with directories of one run filled in; in what
//! is shown the numbers of processes are `N` and the directory of the start is `$PWD`.

use super::super::markdown::{code, escaped};
use super::super::{UNEXPECTED, command, shown};
use super::{LEGEND, Mark, Row, columns, failing, tally};
use crate::check::{Check, Level, Verdict};
use crate::observation::{Observation, Seen, printable};
use crate::run::{Judged, Outcome};
use std::fmt::Write;

/// The longest value that is shown whole.
const VALUE: usize = 1000;
/// Names, languages, packages.
const CELL: usize = 80;
/// What a line begins with that says what was seen.
const SEEN: &str = "  - seen: ";

/// The page on `rows`. Links to the checks' pages are as docs/ has them.
pub fn report(rows: &[Row]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# The field\n");
    let _ = writeln!(
        out,
        "{} daemons, judged by `daemonspec matrix`: {}. A failure counts here whether a manifest expects it or not.\n",
        rows.len(),
        tally(rows)
    );
    summary(&mut out, rows);
    grid(&mut out, rows);
    by_check(&mut out, rows);
    for row in rows {
        subject(&mut out, row);
    }
    out
}

/// What has to be the same for a page to be current: all but what the daemons showed.
pub fn comparable(page: &str) -> String {
    page.lines().filter(|line| !line.starts_with(SEEN)).flat_map(|line| [line, "\n"]).collect()
}

fn summary(out: &mut String, rows: &[Row]) {
    let _ = writeln!(out, "| daemon | language | package | must | should | may | kept | not judged |");
    let _ = writeln!(out, "|---|---|---|--:|--:|--:|--:|--:|");
    let optional = |value: &Option<String>| value.as_deref().map(|v| escaped(v, CELL)).unwrap_or_default();
    for row in rows {
        let _ = write!(out, "| {} | {} | {} |", link(&row.name), optional(&row.language), optional(&row.package));
        if row.result.is_err() {
            let _ = writeln!(out, " | | | | all |");
            continue;
        }
        for level in Level::ALL {
            let _ = write!(out, " {} |", some(row.count(*level)));
        }
        let unseen = row.verdicts("skip") + row.verdicts("broken");
        let _ = writeln!(out, " {} | {} |", some(row.verdicts("pass")), some(unseen));
    }
}

fn some(count: usize) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

/// A name that leads to its daemon's section, where the anchors of a heading are predictable.
fn link(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if plain && starts && name.len() <= CELL { format!("[{name}](#{name})") } else { escaped(name, CELL) }
}

/// All of it, one sign a check: as text, so that a changed verdict is one changed character.
fn grid(out: &mut String, rows: &[Row]) {
    let columns = columns(rows);
    if columns.is_empty() {
        return;
    }
    // Nothing in a name ends a fence.
    let name = |row: &Row| -> String { printable(&row.name).replace('`', "'").chars().take(CELL).collect() };
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let _ = writeln!(out, "\n## Every verdict\n\n```text");
    let _ = write!(out, "{:width$}", "");
    for (family, checks) in &columns {
        let words: String = family.as_str().chars().take(checks.len()).collect();
        let _ = write!(out, "  {words:<width$}", width = checks.len());
    }
    finish(out);
    for row in rows {
        let _ = write!(out, "{:<width$}", name(row));
        if row.result.is_err() {
            out.push_str("  not judged");
        } else {
            for (_, checks) in &columns {
                let marks = checks.iter().map(|check| Mark::of(row.find(check)).sign());
                out.extend(["  ".to_owned(), marks.collect()]);
            }
        }
        finish(out);
    }
    let _ = writeln!(out, "```\n\n{LEGEND}");
}

fn finish(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// Who does not keep what.
fn by_check(out: &mut String, rows: &[Row]) {
    let failing = failing(rows);
    if failing.is_empty() {
        return;
    }
    let _ =
        writeln!(out, "\n## Check by check\n\nChecks that are not named here are kept by all that they apply to.\n");
    let _ = writeln!(out, "| check | level | kept by | not kept by |\n|---|---|--:|---|");
    for (check, failing) in failing {
        let kept = |row: &&Row| row.find(check).is_some_and(|j| matches!(j.verdict, Verdict::Pass));
        let names: Vec<String> = failing.iter().map(|row| link(&row.name)).collect();
        let kept = rows.iter().filter(kept).count();
        let _ = writeln!(
            out,
            "| {} | {} | {kept} of {} | {} |",
            page(check),
            check.level,
            kept + failing.len(),
            names.join(", ")
        );
    }
}

fn page(check: &Check) -> String {
    format!("[{0}](checks/{0}.md)", check.id)
}

fn subject(out: &mut String, row: &Row) {
    let _ = writeln!(out, "\n## {}\n", escaped(&row.name, CELL));
    let _ = writeln!(out, "{}\n", span(&command(&row.command)));
    let outcome = match &row.result {
        Err(why) => {
            let _ = writeln!(out, "Not judged: {}", prose(&why.why));
            return;
        }
        Ok(outcome) => outcome,
    };
    // A manifest's word at the beginning of a line could begin a list.
    let facts = [Some(row.profile.as_str()), row.language.as_deref(), row.package.as_deref()];
    let facts: Vec<String> = facts.into_iter().flatten().map(|fact| escaped(fact, CELL)).collect();
    let counts = ["pass", "fail", "skip", "broken"].map(|verdict| row.verdicts(verdict));
    let words = ["kept", "not kept", "not for it", "not observed"];
    let counts = counts.into_iter().zip(words).filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let _ = writeln!(out, "{}: {}.", facts.join(" · "), counts.join(", "));
    let failures: Vec<&Judged> = outcome.judged.iter().filter(|judged| is_listed(judged)).collect();
    if failures.is_empty() {
        return;
    }
    out.push('\n');
    for judged in &failures {
        failure(out, outcome, judged);
    }
    let line = row.repeat(failures.iter().map(|judged| judged.check.id));
    let _ = writeln!(out, "\nAgain: {}", span(&line));
}

/// What did not simply pass, or does not apply.
fn is_listed(judged: &Judged) -> bool {
    !matches!(Mark::of(Some(judged)), Mark::Kept | Mark::Skipped)
}

fn failure(out: &mut String, outcome: &Outcome, judged: &Judged) {
    let check = judged.check;
    let _ = writeln!(out, "- {} ({}): {}", page(check), check.level, prose(check.title));
    match &judged.verdict {
        Verdict::Fail(failure) => {
            let _ = writeln!(out, "{SEEN}{}", span(&steady(&failure.actual, outcome)));
        }
        Verdict::Pass => {
            let _ = writeln!(out, "  - {UNEXPECTED}");
        }
        Verdict::Broken(why) => {
            let _ = writeln!(out, "  - not observed\n{SEEN}{}", span(&steady(why, outcome)));
        }
        Verdict::Skip(_) => {}
    }
    if let Some(why) = &judged.waived {
        let _ = writeln!(out, "  - by hand: {}", prose(why));
    }
}

/// Words of the subject's, to be read as they are in the source, too.
fn span(words: &str) -> String {
    let words = shown(words);
    // What mdbook takes for a command of its own is one in code as well.
    if words.trim().is_empty() || words.contains("{{") || words.chars().count() > VALUE {
        return code(&words, VALUE);
    }
    // The fence is longer than any run of backticks inside, and stands off where one is at an end.
    let longest = words.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let apart = if words.starts_with(['`', ' ']) || words.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{apart}{words}{apart}{fence}")
}

/// Words of a manifest's, in which nothing means anything but an address, which is a link.
fn prose(words: &str) -> String {
    let words: String = shown(words).chars().take(VALUE).collect();
    let words = words.split(' ').map(|word| {
        let address = word.trim_matches(['(', ')', ',', ';', '.']);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:#?&=%+".contains(c);
        if address.len() > "https://".len() && address.starts_with("https://") && address.chars().all(is_plain) {
            return word.replacen(address, &format!("<{address}>"), 1);
        }
        let mut out = String::with_capacity(word.len());
        for c in word.chars() {
            // A dot makes a link after `www`, a colon in an address, and between two a word is a picture.
            let means = match c {
                '.' => out.ends_with(['w', 'W']),
                ':' => !word.ends_with(':') || word.matches(':').count() > 1,
                c => r"\`*_[]<>&|~#@!${}".contains(c),
            };
            if means {
                let _ = write!(out, "&#{};", u32::from(c));
            } else {
                out.push(c);
            }
        }
        out
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `words` without what another run would have otherwise.
fn steady(words: &str, outcome: &Outcome) -> String {
    without_pids(&without_directory(words, outcome))
}

/// The directory of the start is `$PWD`, unless that is `/`.
fn without_directory(words: &str, outcome: &Outcome) -> String {
    let observations = outcome.recording.record.scenarios.values().flatten();
    let launches = observations.flat_map(|seen: &Observation| &seen.seen).filter_map(|(_, seen)| match seen {
        Seen::Launch(launch) => Some(launch.directory.as_str()),
        _ => None,
    });
    match launches.into_iter().find(|directory| directory.len() > 1) {
        Some(directory) => words.replace(directory, "$PWD"),
        None => words.to_owned(),
    }
}

/// A number after one of these words is a process's, or is what a PID file holds.
const BEFORE_PIDS: [&str; 6] = ["pid ", "pids ", "session ", "group ", "/proc/", "\""];

fn without_pids(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| at + length);
        out.push_str(&rest[..at]);
        let is_pid = BEFORE_PIDS.iter().any(|before| out.ends_with(before));
        out.push_str(if is_pid { "N" } else { &rest[at..end] });
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_processes_are_not_told_and_others_are() {
        for (words, steady) in [
            ("pid 1003 leads session 1003", "pid N leads session N"),
            ("owner 0, mode 0644, \"1005\\n\"", "owner 0, mode 0644, \"N\\n\""),
            ("/proc/12/fd/57 -> /etc/passwd", "/proc/N/fd/57 -> /etc/passwd"),
            ("1032 calls where 1024 files may be open", "1032 calls where 1024 files may be open"),
            ("pid 9 (a), pid 10 (b)", "pid N (a), pid N (b)"),
            ("7", "7"),
            ("", ""),
        ] {
            assert_eq!(without_pids(words), steady);
        }
    }

    #[test]
    fn an_address_is_a_link_and_nothing_else_means_anything() {
        let text =
            "see https://example.org/a/1#c, then `kill $!` (exec 57</etc/passwd; cron): 0 <b> http://x javascript:y";
        let address = "see <https://example.org/a/1#c>, then &#96;kill &#36;&#33;&#96; (exec 57&#60;/etc/passwd; cron): 0 \
                       &#60;b&#62; http&#58;//x javascript&#58;y";
        assert_eq!(prose(text), address);
    }

    #[test]
    fn code_is_fenced_whatever_it_is() {
        for (words, fenced) in [
            ("a|b <c>", "`a|b <c>`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("{{#include x}}", "<code>&#123;&#123;&#35;include x&#125;&#125;</code>"),
            ("", "<i>nothing</i>"),
        ] {
            assert_eq!(span(words), fenced);
        }
    }

    #[test]
    fn only_a_plain_name_is_a_link() {
        assert_eq!(link("start-stop-daemon"), "[start-stop-daemon](#start-stop-daemon)");
        for name in ["A", "a b", "a](x)", "", "é", "7z"] {
            assert!(!link(name).contains('['), "{name}");
        }
    }
}
