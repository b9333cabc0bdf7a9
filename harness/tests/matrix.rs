//! The table of many daemons: byte for byte on a small sample, and whole whatever a subject or its manifest says.
//!
//! The samples are in tests/matrix/. `DAEMONSPEC_UPDATE=1 cargo test --test matrix` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod samples;

use daemonspec::check::{Check, Profile, Verdict, catalogue};
use daemonspec::manifest::parse;
use daemonspec::observation::Text;
use daemonspec::report::json;
use daemonspec::report::matrix::{NotJudged, Row, exit_code, html, markdown, sort_by_failures, terminal};
use daemonspec::run::{Options, Outcome, RunError};
use proptest::prelude::*;
use samples::{Said, compare, html_shape, markdown_shape, nasty, outcome, plain, said, sample, tame, valid};
use serde_json::Value;
use std::path::Path;

/// A row of an outcome, as a manifest would have it.
fn row(outcome: Outcome) -> Row {
    Row {
        name: outcome.name.clone(),
        language: Some("C".to_owned()),
        package: Some("own".to_owned()),
        manifest: "ci/some.toml".to_owned(),
        command: outcome.command.clone(),
        here: None,
        profile: outcome.profile,
        result: Ok(outcome),
    }
}

/// One daemon with everything that a table can say, one with nothing to say of it, and one that is not there.
fn rows() -> Vec<Row> {
    let [flawed, good] = sample().try_into().unwrap();
    let mut good = row(good);
    (good.language, good.package) = (None, None);
    let missing = parse(
        "[daemon.missing]\ncommand = ['no-such-daemon', '{dir}/c']\nlanguage = 'C++'\npackage = 'x_y'\n",
        Path::new("m.toml"),
        &[],
    );
    let error = RunError::CannotStart {
        program: Text::new(b"no-such-daemon"),
        missing: true,
        why: "no such command on PATH".to_owned(),
    };
    let missing = Row::new(&missing.unwrap()[0], "ci/some.toml", Profile::Sysv, Err(error));
    vec![row(flawed), good, missing]
}

#[test]
fn terminal_is_as_committed() {
    compare("tests/matrix/sample.txt", &plain(&terminal::report(&rows(), 80, true)));
}

/// Where there is room for a column for each check, that is used.
#[test]
fn terminal_fits_its_width() {
    let whole = |mut outcome: Outcome| {
        outcome = outcome.recording.judge(&Options::default()).unwrap();
        row(outcome)
    };
    let rows: Vec<Row> = sample().into_iter().map(whole).collect();
    let checks = Options::default().checks().len();
    for (width, wide) in [(80, false), (100, false), (130, true), (300, true)] {
        let text = plain(&terminal::report(&rows, width, true));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        let line = text.lines().find(|line| line.starts_with("flawed")).unwrap();
        assert_eq!(line.chars().filter(|c| "·-?!●○∘".contains(*c)).count() >= checks, wide, "{width}:\n{text}");
    }
    // What was not expected is what catches the eye.
    assert!(terminal::report(&rows, 80, false).contains("\u{1b}["));
}

#[test]
fn markdown_is_as_committed() {
    compare("tests/matrix/sample.md", &markdown::report(&rows()));
}

#[test]
fn json_is_as_committed_and_valid() {
    let text = json::matrix(&rows());
    compare("tests/matrix/sample.json", &text);
    valid(&json::schema(), &text);
    valid(&json::schema(), &json::matrix(&[]));
}

/// Without the pages, which are files of their own, and what makes it pretty.
#[test]
fn html_is_as_committed() {
    let mut text = html::report(&rows());
    for (from, to) in
        [("<style>", "</style>"), ("<script>\n", "</script>"), ("<section class=\"pages\"", "</section>\n<dialog")]
    {
        let start = text.find(from).unwrap() + from.len();
        let end = start + text[start..].find(to).unwrap();
        text.replace_range(start..end, "...");
    }
    compare("tests/matrix/sample.html", &text);
}

#[test]
fn the_html_needs_nothing_else() {
    let text = html::report(&rows());
    for (_, attributes) in html_shape(&text) {
        assert!(!attributes.iter().any(|a| a == "src" || a.starts_with("on")), "{attributes:?}");
    }
    for word in ["<link", "@import", "url(", "fetch("] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn a_start_that_was_traced_is_drawn_once() {
    let whole = sample().remove(1).recording.judge(&Options::default()).unwrap();
    let text = html::report(&[row(whole)]);
    assert_eq!(text.matches("<section class=\"start\">").count(), 1);
    assert!(text.contains("<li class=\"taken\"><b>5</b>"), "the first fork");
    assert!(text.len() < 600_000, "{} bytes", text.len());
}

#[test]
fn the_same_verdicts_give_the_same_page() {
    let words = |actual: &str, verdict_of_other: Verdict| {
        let mut rows = rows();
        let outcome = rows[0].result.as_mut().unwrap();
        outcome.duration *= 3;
        for judged in &mut outcome.judged {
            match (&mut judged.verdict, judged.check.id) {
                (verdict, "cwd-root") => *verdict = verdict_of_other.clone(),
                (Verdict::Fail(failure), _) => actual.clone_into(&mut failure.actual),
                _ => {}
            }
        }
        markdown::comparable(&markdown::report(&rows))
    };
    assert_eq!(words("it used 17 MiB", Verdict::Pass), words("it used 18 MiB\n- pid 7", Verdict::Pass));
    assert_ne!(words("", Verdict::Pass), words("", Verdict::Skip("x".to_owned())));
}

/// Where the manifest was is no part of the page.
#[test]
fn here_is_here() {
    let text = "[daemon.a]\ncommand = ['{here}/bin/d', '--conf={here}/c', '{dir}/p']\n";
    let entry = parse(text, Path::new("/srv/some/m.toml"), &[]).unwrap().remove(0);
    assert_eq!(entry.subject.command[0], "/srv/some/bin/d");
    let mut outcome = sample().remove(0);
    for judged in &mut outcome.judged {
        if let Verdict::Fail(failure) = &mut judged.verdict {
            failure.actual = "it keeps /srv/some/bin busy".to_owned();
        }
    }
    let page = markdown::report(&[Row::new(&entry, "m.toml", Profile::Sysv, Ok::<_, RunError>(outcome))]);
    assert!(page.contains("`{here}/bin/d --conf={here}/c {dir}/p`"), "{page}");
    assert!(page.contains("`it keeps {here}/bin busy`") && !page.contains("/srv/some"), "{page}");
}

#[test]
fn what_could_not_be_judged_is_3_unless_something_failed() {
    let rows = rows();
    let [flawed, good, missing] = rows.as_slice() else { panic!() };
    let code = |rows: &[&Row], skip_missing| {
        let rows: Vec<Row> = rows.iter().map(|row| (*row).clone()).collect();
        exit_code(&rows, skip_missing)
    };
    assert_eq!(code(&[good], false), 0);
    assert_eq!(code(&[good, missing], false), 3);
    assert_eq!(code(&[good, missing], true), 0);
    assert_eq!(code(&[missing], true), 3, "nothing was judged");
    assert_eq!(code(&[flawed, missing, good], false), 1);
    let mut other = missing.clone();
    other.result = Err(NotJudged { why: "its setup failed".to_owned(), missing: false });
    assert_eq!(code(&[good, &other], true), 3, "it is there");
}

#[test]
fn those_that_fail_most_come_first() {
    let mut rows = rows();
    rows.reverse();
    sort_by_failures(&mut rows);
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["flawed", "reference-daemon", "missing"]);
}

#[test]
fn every_check_that_somebody_is_judged_by_has_a_column() {
    let judge = |profile| row(sample().remove(1).recording.judge(&Options { profile, ..Options::default() }).unwrap());
    let text = html::report(&[judge(Profile::Article), judge(Profile::Pep3143)]);
    let is_judged = |check: &&Check| [Profile::Article, Profile::Pep3143].iter().any(|p| check.profiles.contains(p));
    for check in catalogue() {
        let head = format!("data-sort=\"check\" data-check=\"{}\"", check.id);
        assert_eq!(text.contains(&head), is_judged(&check), "{}", check.id);
    }
}

/// What a manifest says of a daemon.
type Described = (String, Option<String>, Option<String>, String);

fn described() -> impl Strategy<Value = Described> {
    // A plain name has links to it; this is none.
    let name = nasty().prop_map(|name| if name.is_empty() { name } else { name + " " });
    (name, proptest::option::of(nasty()), proptest::option::of(nasty()), nasty())
}

fn nasty_rows((name, language, package, manifest): &Described, words: &[String], checks: &[Said]) -> Vec<Row> {
    let mut judged = row(outcome(name, words, checks));
    (judged.language, judged.package) = (language.clone(), package.clone());
    judged.manifest.clone_from(manifest);
    let mut not_judged = judged.clone();
    not_judged.result = Err(NotJudged { why: manifest.clone(), missing: false });
    vec![judged, not_judged, rows().remove(1)]
}

/// Where two shapes differ first.
fn difference<T: Clone + PartialEq>(said: &[T], meant: &[T]) -> Option<(Option<T>, Option<T>)> {
    let longest = said.len().max(meant.len());
    (0..longest).map(|at| (said.get(at).cloned(), meant.get(at).cloned())).find(|(said, meant)| said != meant)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever is said, it changes the words of a table and never its shape.
    #[test]
    fn no_word_breaks_a_table(
        described in described(),
        words in proptest::collection::vec(nasty(), 0..3),
        checks in proptest::collection::vec(said(), samples::CHECKS.len()),
    ) {
        let said = nasty_rows(&described, &words, &checks);
        let (name, language, package, manifest) = &described;
        let tame_name = if name.is_empty() { String::new() } else { "X".to_owned() };
        let tame_optional = |value: &Option<String>| value.as_deref().map(tame);
        let meant = (tame_name, tame_optional(language), tame_optional(package), tame(manifest));
        let tame_words: Vec<String> = words.iter().map(|w| tame(w)).collect();
        let tame_checks: Vec<Said> = checks
            .iter()
            .map(|(verdict, expected, actual, evidence, waived)| {
                let evidence = evidence.iter().map(|line| tame(line)).collect();
                (*verdict, tame(expected), tame(actual), evidence, waived.as_deref().map(tame))
            })
            .collect();
        let meant = nasty_rows(&meant, &tame_words, &tame_checks);

        let page = html::report(&said);
        prop_assert_eq!(difference(&html_shape(&page), &html_shape(&html::report(&meant))), None, "{}", page);
        let page = markdown::report(&said);
        prop_assert_eq!(difference(&markdown_shape(&page), &markdown_shape(&markdown::report(&meant))), None, "{}", page);
        let read: Value = serde_json::from_str(&json::matrix(&said)).unwrap();
        prop_assert_eq!(read["subjects"][1]["reason"].as_str(), Some(manifest.as_str()));
        for text in [&page, &plain(&terminal::report(&said, 80, true)), &plain(&terminal::report(&said, 200, false))] {
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
