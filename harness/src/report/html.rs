//! One HTML file that needs nothing else: no network, no other file, and no script to be read.
//!
//! The markup is in report.html, beside this file. The template escapes all that it is given but the checks' pages, which are
//! ours and rendered here.

use super::{Standing, UNEXPECTED, command, counts, place, shown, take_out, verdict};
use crate::check::{Check, Failure, Family, Level, catalogue};
use crate::run::{Judged, Outcome};
use askama::Template;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::collections::BTreeSet;

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    title: String,
    subjects: Vec<Subject<'a>>,
    /// The states that came up, for the filters.
    tally: Vec<Tally>,
    levels: &'static [Level],
    pages: Vec<Page>,
}

struct Subject<'a> {
    number: usize,
    name: String,
    tone: &'static str,
    verdict: &'static str,
    command: String,
    profile: &'static str,
    place: &'static str,
    level: Level,
    milliseconds: String,
    counts: String,
    tally: Vec<Tally>,
    families: Vec<Rows<'a>>,
}

impl Subject<'_> {
    /// What a reader has to look at.
    fn troubles(&self) -> impl Iterator<Item = &Row<'_>> {
        self.families.iter().flat_map(|f| &f.rows).filter(|row| matches!(row.state.word, "fail" | "unseen"))
    }

    fn count(&self, word: &str) -> usize {
        self.tally.iter().find(|t| t.state.word == word).map_or(0, |t| t.count)
    }
}

/// How many checks came out so.
struct Tally {
    state: State,
    count: usize,
}

struct Rows<'a> {
    family: Family,
    rows: Vec<Row<'a>>,
}

pub(super) struct Row<'a> {
    pub(super) check: &'static Check,
    pub(super) state: State,
    /// A reason, where there is one.
    pub(super) note: Option<String>,
    failure: Option<&'a Failure>,
    pub(super) remedy: Option<String>,
}

impl Row<'_> {
    pub(super) fn expected(&self) -> Option<String> {
        self.failure.map(|f| shown(&f.expected))
    }

    pub(super) fn actual(&self) -> Option<String> {
        self.failure.map(|f| shown(&f.actual))
    }

    pub(super) fn evidence(&self) -> Vec<String> {
        self.failure.map(|f| f.evidence.iter().map(|line| shown(line)).collect()).unwrap_or_default()
    }
}

/// What a row is marked with, and filtered by: a sign, so that colour is not all there is, and words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) word: &'static str,
    pub(super) sign: &'static str,
    plural: &'static str,
}

const FAIL: State = State { word: "fail", sign: "✕", plural: "Failures" };
const UNSEEN: State = State { word: "unseen", sign: "?", plural: "Not observed" };
const WAIVED: State = State { word: "waived", sign: "~", plural: "Waived" };
const SKIP: State = State { word: "skip", sign: "–", plural: "Skipped" };
const PASS: State = State { word: "pass", sign: "✓", plural: "Passed" };
const STATES: [State; 5] = [FAIL, UNSEEN, WAIVED, SKIP, PASS];

/// A check's page.
pub(super) struct Page {
    pub(super) check: &'static Check,
    pub(super) html: String,
}

/// The report on `outcomes`.
pub fn report(outcomes: &[Outcome]) -> String {
    let pages = pages(outcomes.iter().flat_map(|outcome| &outcome.judged));
    let subjects: Vec<Subject<'_>> = outcomes.iter().enumerate().map(|(index, o)| subject(index + 1, o)).collect();
    let tally = STATES
        .into_iter()
        .map(|state| Tally { state, count: subjects.iter().map(|s| s.count(state.word)).sum() })
        .collect();
    let report = Report { title: title(outcomes), subjects, tally, levels: Level::ALL, pages };
    // Writing to memory does not fail. A template loses its last newline.
    report.render().unwrap_or_default() + "\n"
}

/// The pages of the checks that somebody was judged by.
pub(super) fn pages<'a>(judged: impl Iterator<Item = &'a Judged>) -> Vec<Page> {
    let ids: BTreeSet<&str> = judged.map(|judged| judged.check.id).collect();
    let checks = catalogue().filter(|check| ids.contains(check.id));
    checks.map(|check| Page { check, html: page(check.page) }).collect()
}

fn title(outcomes: &[Outcome]) -> String {
    match outcomes {
        [one] => format!("{} {}", shown(&one.name), verdict(one)),
        many => format!("{} of {} daemons conform", many.iter().filter(|o| o.conforms()).count(), many.len()),
    }
}

fn subject(number: usize, outcome: &Outcome) -> Subject<'_> {
    let mut families: Vec<Rows<'_>> = Vec::new();
    for judged in &outcome.judged {
        let family = judged.check.family;
        match families.last_mut() {
            Some(rows) if rows.family == family => rows.rows.push(row(judged)),
            _ => families.push(Rows { family, rows: vec![row(judged)] }),
        }
    }
    let rows = || families.iter().flat_map(|f| &f.rows);
    let tally =
        STATES.into_iter().map(|state| Tally { state, count: rows().filter(|r| r.state == state).count() }).collect();
    Subject {
        number,
        name: shown(&outcome.name),
        tone: match outcome.exit_code() {
            0 => PASS.word,
            1 => FAIL.word,
            _ => UNSEEN.word,
        },
        verdict: verdict(outcome),
        command: command(&outcome.command),
        profile: outcome.profile.as_str(),
        place: place(outcome.isolation),
        level: outcome.level,
        milliseconds: format!("{:.0}", outcome.duration.as_secs_f64() * 1000.0),
        counts: counts(outcome),
        tally,
        families,
    }
}

pub(super) fn row(judged: &Judged) -> Row<'_> {
    let check = judged.check;
    let row = |state, note, failure| Row { check, state, note, failure, remedy: None };
    match Standing::of(judged) {
        Standing::Passed => row(PASS, None, None),
        Standing::Failed(failure) => Row { remedy: Some(check.remedy.to_owned()), ..row(FAIL, None, Some(failure)) },
        Standing::Unexpected(why) => {
            Row { remedy: Some(take_out(check.id, why)), ..row(FAIL, Some(UNEXPECTED.to_owned()), None) }
        }
        Standing::Waived(failure, why) => {
            Row { remedy: Some(check.remedy.to_owned()), ..row(WAIVED, Some(shown(why)), Some(failure)) }
        }
        Standing::Skipped(why) => row(SKIP, Some(shown(why)), None),
        Standing::Broken(why) => row(UNSEEN, Some(shown(why)), None),
    }
}

/// A check's page as HTML: without its title, which the template writes, its headings below that one, and with nothing in it
/// that is markup of its own.
fn page(markdown: &str) -> String {
    let lower = |level| match level {
        HeadingLevel::H1 | HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    };
    let mut in_title = false;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
            in_title = true;
            None
        }
        Event::End(TagEnd::Heading(HeadingLevel::H1)) => {
            in_title = false;
            None
        }
        _ if in_title => None,
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            Some(Event::Start(Tag::Heading { level: lower(level), id, classes, attrs }))
        }
        Event::End(TagEnd::Heading(level)) => Some(Event::End(TagEnd::Heading(lower(level)))),
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        event => Some(event),
    });
    let mut html = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn a_page_brings_no_markup_of_its_own() {
        let html = page("# title\n\n## Why\n\n<script>alert(1)</script> and <b>this</b>\n\n<div>\nthat\n</div>\n");
        assert!(html.starts_with("<h4>Why</h4>"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("<div"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;div&gt;"), "{html}");
    }
}
