//! The table as one HTML file that needs nothing else: no network, no other file, and no script to be read.
//!
//! The markup is in matrix.html, beside this file. Each case that is not simply a pass is there as markup, below its daemon; a
//! script shows it in a dialog when its cell is chosen.

use super::super::html::{Page, Row as CaseRow, pages, row as case_row};
use super::super::{command, counts, place, shown};
use super::{Mark, Row, columns, tally};
use crate::check::{Check, Family, Level};
use crate::timeline::{self, Timeline};
use askama::Template;
use std::collections::BTreeSet;

#[derive(Template)]
#[template(path = "matrix.html")]
struct Matrix<'a> {
    title: String,
    tally: String,
    families: Vec<(Family, Vec<&'static Check>)>,
    rows: Vec<Line<'a>>,
    languages: BTreeSet<String>,
    levels: &'static [Level],
    pages: Vec<Page>,
}

impl Matrix<'_> {
    fn checks(&self) -> usize {
        self.families.iter().map(|(_, checks)| checks.len()).sum()
    }
}

/// A daemon.
struct Line<'a> {
    number: usize,
    name: String,
    language: String,
    package: String,
    command: String,
    facts: String,
    /// Why it was not judged.
    why: Option<String>,
    failures: Vec<usize>,
    cells: Vec<Cell>,
    /// What is not simply kept.
    cases: Vec<CaseRow<'a>>,
    /// The line that repeats a check, before and after the check's name.
    again: [String; 2],
    /// Its start, drawn.
    start: Option<String>,
}

struct Cell {
    check: &'static Check,
    /// `pass`, `fail`, `waived`, `unseen`, `skip`, `none`.
    kind: &'static str,
    sign: char,
    words: &'static str,
    /// The first of its family.
    first: bool,
}

/// The page on `rows`.
pub fn report(rows: &[Row]) -> String {
    let families = columns(rows);
    let lines: Vec<Line<'_>> = rows.iter().enumerate().map(|(index, row)| line(index + 1, row, &families)).collect();
    let page = Matrix {
        title: format!("{} daemons side by side", rows.len()),
        tally: tally(rows),
        languages: lines.iter().map(|line| line.language.clone()).filter(|language| !language.is_empty()).collect(),
        rows: lines,
        levels: Level::ALL,
        pages: pages(rows.iter().flat_map(Row::judged)),
        families,
    };
    // Writing to memory does not fail. A template loses its last newline.
    page.render().unwrap_or_default() + "\n"
}

fn line<'a>(number: usize, row: &'a Row, families: &[(Family, Vec<&'static Check>)]) -> Line<'a> {
    let cells = families.iter().flat_map(|(_, checks)| {
        checks.iter().enumerate().map(|(index, check)| cell(check, Mark::of(row.find(check)), index == 0))
    });
    let cases = row.judged().iter().filter(|judged| Mark::of(Some(judged)) != Mark::Kept).map(case_row);
    let start = row.result.as_ref().ok().and_then(|outcome| outcome.traced_start());
    let facts = row
        .result
        .as_ref()
        .map(|outcome| format!("profile {} · {} · {}", outcome.profile, place(outcome.isolation), counts(outcome)));
    let optional = |value: &Option<String>| value.as_deref().map(shown).unwrap_or_default();
    Line {
        number,
        name: shown(&row.name),
        language: optional(&row.language),
        package: optional(&row.package),
        command: command(&row.command),
        facts: facts.unwrap_or_default(),
        why: row.result.as_ref().err().map(|why| shown(&why.why)),
        failures: Level::ALL.iter().map(|level| row.count(*level)).collect(),
        cells: cells.collect(),
        cases: cases.collect(),
        again: row.around_checks(),
        start: start.map(|start| timeline::html::strip(&Timeline::new(&start))),
    }
}

fn cell(check: &'static Check, mark: Mark, first: bool) -> Cell {
    let (kind, words) = match mark {
        Mark::None => ("none", "not judged by it"),
        Mark::Kept => ("pass", "kept"),
        Mark::Skipped => ("skip", "does not apply"),
        Mark::Unseen => ("unseen", "not observed"),
        Mark::Fails(_) => ("fail", "not kept"),
        Mark::Expected(_) => ("waived", "not kept, as expected"),
        Mark::Unexpected => ("fail", "kept, and expected to fail"),
    };
    let sign = match mark {
        // Its size says the level.
        Mark::Fails(_) | Mark::Expected(_) => '●',
        other => other.sign(),
    };
    Cell { check, kind, sign, words, first }
}
