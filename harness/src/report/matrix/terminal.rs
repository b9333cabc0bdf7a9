//! The table for a person. One column a check where the terminal is wide enough; else one a family, with the gravest of its
//! failures and how many there are, which eighty columns are enough for.

use super::super::terminal::{BAD, DULL, wrapped};
use super::{LEGEND, Mark, Row, columns, failing, sign, tally};
use crate::check::{Check, Family, Level};
use crate::observation::printable;
use crate::run::Outcome;
use anstyle::Style;
use std::fmt::Write;

/// Longer names are cut.
const LONGEST_NAME: usize = 24;
/// The numbers of failures, one column a level.
const NUMBER: usize = 4;
/// A family in the narrow table.
const CELL: usize = 4;

/// The table of `rows` for a terminal of `width` columns; `verbose` also lists who fails what.
pub fn report(rows: &[Row], width: usize, verbose: bool) -> String {
    let mut out = String::new();
    let columns = columns(rows);
    let name = rows.iter().map(|row| cut(&row.name).chars().count()).max().unwrap_or(0).max(6);
    let checks: usize = columns.iter().map(|(_, checks)| checks.len() + 1).sum();
    let wide = name + 3 * NUMBER + 1 + checks <= width;
    header(&mut out, &columns, name, wide);
    for row in rows {
        let _ = write!(out, "{:<name$}", cut(&row.name));
        match &row.result {
            Ok(_) => one(&mut out, row, &columns, wide),
            Err(why) => wrapped(&mut out, &format!(" {DULL}?{DULL:#} "), name + 3, &format!("not judged: {}", why.why)),
        }
    }
    if verbose {
        list(&mut out, rows);
    }
    out.push('\n');
    wrapped(&mut out, "", 0, LEGEND);
    if !wide && !columns.is_empty() {
        let words: Vec<String> = columns.iter().map(|(family, _)| format!("{} {family}", short(*family))).collect();
        wrapped(&mut out, "", 0, &words.join(", "));
    }
    let _ = writeln!(out, "\n{} daemons: {}", rows.len(), tally(rows));
    if let Some(row) = rows.iter().find(|row| row.result.as_ref().is_ok_and(|outcome| !outcome.conforms())) {
        let first = row.result.iter().flat_map(Outcome::failures).next();
        let ids = first.into_iter().chain(row.judged()).map(|judged| judged.check.id).take(1);
        let _ = writeln!(out, "{}", row.repeat(ids));
    }
    out
}

fn cut(name: &str) -> String {
    let name = printable(name);
    if name.chars().count() <= LONGEST_NAME {
        return name;
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

fn short(family: Family) -> &'static str {
    family.as_str().get(..3).unwrap_or_default()
}

fn header(out: &mut String, columns: &[(Family, Vec<&'static Check>)], name: usize, wide: bool) {
    let _ = write!(out, "{:<name$}", "daemon");
    for level in Level::ALL {
        let _ = write!(out, "{:>NUMBER$}", sign(*level));
    }
    out.push(' ');
    for (family, checks) in columns {
        if wide {
            let words: String = family.as_str().chars().take(checks.len()).collect();
            let _ = write!(out, " {words:<width$}", width = checks.len());
        } else {
            let _ = write!(out, "{:<CELL$}", short(*family));
        }
    }
    end_line(out);
}

fn one(out: &mut String, row: &Row, columns: &[(Family, Vec<&'static Check>)], wide: bool) {
    for level in Level::ALL {
        match row.count(*level) {
            0 => drop(write!(out, "{:>NUMBER$}", "")),
            count => drop(write!(out, "{count:>NUMBER$}")),
        }
    }
    out.push(' ');
    for (_, checks) in columns {
        let marks: Vec<Mark> = checks.iter().map(|check| Mark::of(row.find(check))).collect();
        if wide {
            out.push(' ');
            marks.into_iter().for_each(|mark| put(out, mark, ""));
            continue;
        }
        // What a reader has to look at comes first.
        let Some(worst) = marks.iter().copied().max_by_key(|mark| weight(*mark)) else { continue };
        let failures = marks.iter().filter(|mark| weight(**mark) > 3).count();
        let count = if failures > 0 { failures.to_string() } else { String::new() };
        put(out, worst, &count);
        let _ = write!(out, "{:width$}", "", width = CELL.saturating_sub(1 + count.len()));
    }
    end_line(out);
}

/// Of several marks the heaviest is shown.
fn weight(mark: Mark) -> usize {
    match mark {
        Mark::None => 0,
        Mark::Skipped => 1,
        Mark::Kept => 2,
        Mark::Unseen => 3,
        Mark::Expected(level) | Mark::Fails(level) => 4 + level as usize,
        Mark::Unexpected => 8,
    }
}

fn put(out: &mut String, mark: Mark, count: &str) {
    let style = match mark {
        Mark::Fails(_) | Mark::Unexpected => BAD,
        Mark::Expected(_) | Mark::Unseen => DULL,
        Mark::None | Mark::Kept | Mark::Skipped => Style::new(),
    };
    let _ = write!(out, "{style}{}{count}{style:#}", mark.sign());
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// Who fails what, check by check.
fn list(out: &mut String, rows: &[Row]) {
    out.push('\n');
    for (check, rows) in failing(rows) {
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        wrapped(out, &format!("{:<7} {:<30}  ", check.level, check.id), 40, &names.join(", "));
    }
}
