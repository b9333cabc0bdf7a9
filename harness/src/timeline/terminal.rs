//! The timeline for a person: a lane for each process on the way to the daemon. Eighty columns are enough.
//!
//! Styles are always written; whoever prints strips them where they do not belong.

use super::rows::{self, Moment, Row, Words};
use super::{Step, Taken, Timeline, command, counted, head, in_ms, tail};
use crate::observation::{Exit, Isolation, printable};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const WIDTH: usize = 80;
/// Where the lanes begin, after the time and the time since the step before.
const LANES: usize = 16;
/// Where the column of steps begins.
const STEPS: usize = 61;
/// Rows that are shown where not all are asked for.
const MOST_ROWS: usize = 400;
/// The most characters of a call that are shown where all are.
const LONGEST: usize = 160;
/// Processes beside the way that are named.
const MOST_OTHERS: usize = 8;

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const MARK: Style = AnsiColor::Yellow.on_default();

/// The lanes: where each begins, from the first column of theirs on.
struct Lanes {
    chain: Vec<usize>,
    starts: Vec<usize>,
    /// Which processes are there in the row that is written.
    alive: Vec<bool>,
}

impl Lanes {
    fn new(chain: &[usize]) -> Self {
        let starts: &[usize] = match chain.len() {
            1 => &[0],
            2 => &[0, 16],
            3 => &[0, 14, 25],
            // Too many to stand beside one another: one below the other, each row with its process's id.
            _ => &[],
        };
        let mut alive = vec![false; starts.len()];
        if let Some(launcher) = alive.first_mut() {
            *launcher = true;
        }
        Lanes { chain: chain.to_vec(), starts: starts.to_vec(), alive }
    }

    fn of(&self, process: usize) -> Option<usize> {
        self.chain.iter().position(|other| *other == process).filter(|lane| *lane < self.starts.len())
    }

    /// An empty row: a line for each process that is there.
    fn empty(&self) -> Vec<char> {
        let mut row = vec![' '; STEPS - LANES];
        for (start, alive) in self.starts.iter().zip(&self.alive) {
            if *alive {
                row[*start] = '│';
            }
        }
        row
    }
}

/// Writes `text` into a row from `at` on, as far as there is room.
fn put(row: &mut [char], at: usize, text: &str) {
    let space = row.len().saturating_sub(1);
    for (place, c) in (at..space).zip(text.chars()) {
        row[place] = c;
    }
    // Nothing that was there before touches it.
    let end = at + text.chars().count();
    if end < space && row[end] != ' ' {
        row[end] = ' ';
    }
}

/// The timeline of a start; `verbose` shows every call.
pub fn report(timeline: &Timeline<'_>, verbose: bool) -> String {
    let mut out = String::new();
    header(&mut out, timeline);
    let mut lanes = Lanes::new(&timeline.chain);
    let mut last_step = None;
    if verbose {
        every_call(&mut out, timeline, &mut last_step);
    } else {
        titles(&mut out, timeline, &lanes);
        let rows = rows::rows(timeline);
        for row in rows.iter().take(MOST_ROWS) {
            one(&mut out, timeline, &mut lanes, row, &mut last_step);
        }
        if rows.len() > MOST_ROWS {
            let left = counted((rows.len() - MOST_ROWS) as u64, "row more", "rows more");
            let _ = writeln!(out, "{:LANES$}{left}; -v shows them", "");
        }
    }
    footer(&mut out, timeline, verbose);
    out
}

/// Every event in a line of its own, of all processes.
fn every_call(out: &mut String, timeline: &Timeline<'_>, last_step: &mut Option<u64>) {
    let trace = &timeline.start.trace;
    let pids = trace.processes.iter().map(|process| process.pid.to_string().len()).max().unwrap_or(1).max(3);
    let _ = writeln!(out, "{:>7} {:>7} step {:<pids$}", "ms", "", "pid");
    let places = timeline.places();
    let mut moments = rows::moments(trace).into_iter().peekable();
    for (index, event) in trace.events.iter().enumerate() {
        while let Some((at, moment)) = moments.next_if(|(at, _)| *at < event.at) {
            rule(out, at, moment);
        }
        let taken = places.get(&index).and_then(|place| timeline.taken.get(*place));
        let since = taken.map(|_| since(last_step, event.at)).unwrap_or_default();
        let number = taken.map(|taken| taken.step.number.to_string()).unwrap_or_default();
        let (style, reset) = (style_of(taken), reset_of(taken));
        let text = head(&printable(&rows::whole(timeline, event)), LONGEST);
        let times = times_of(event.at, &since);
        let _ = writeln!(out, "{times} {style}{number:>4}{reset} {:<pids$} {text}", pid(timeline, event.process));
        // Of a step's events the first one says it.
        if let Some(note) = taken.filter(|taken| taken.events.first() == Some(&index)).and_then(note) {
            let _ = writeln!(out, "{:LANES$}{style}{note}{reset}", "");
        }
    }
    moments.for_each(|(at, moment)| rule(out, at, moment));
}

/// A moment that concerns all processes.
fn rule(out: &mut String, at: u64, moment: Moment) {
    let (style, word) = match moment {
        Moment::Ready => (GOOD, "ready"),
        Moment::Rest => (Style::new(), "at rest"),
    };
    let rule = format!("┄┄ {word} {}", "┄".repeat(STEPS - LANES - 5 - word.chars().count()));
    let _ = writeln!(out, "{} {style}{rule}{style:#}", times_of(at, ""));
}

fn header(out: &mut String, timeline: &Timeline<'_>) {
    let start = timeline.start;
    let place = match start.isolation {
        Isolation::Full => "sandboxed",
        Isolation::None => "no sandbox",
    };
    let facts = format!(
        "{} · {place} · {}",
        counted(start.trace.processes.len() as u64, "process", "processes"),
        counted(timeline.calls(), "call", "calls")
    );
    let shown = head(&command(start), 200);
    let gap = WIDTH.saturating_sub(shown.chars().count() + facts.chars().count());
    if gap >= 2 {
        let _ = writeln!(out, "{shown}{}{facts}\n", " ".repeat(gap));
    } else {
        let _ = writeln!(out, "{shown}\n{facts:>WIDTH$}\n");
    }
}

fn pid(timeline: &Timeline<'_>, process: usize) -> String {
    timeline.start.trace.processes.get(process).map_or_else(|| "?".to_owned(), |process| process.pid.to_string())
}

fn titles(out: &mut String, timeline: &Timeline<'_>, lanes: &Lanes) {
    let mut row = vec![' '; STEPS - LANES];
    for (start, process) in lanes.starts.iter().zip(&lanes.chain) {
        put(&mut row, *start, &format!("{} {}", timeline.role(*process), pid(timeline, *process)));
    }
    if lanes.starts.is_empty() && !lanes.chain.is_empty() {
        let pids: Vec<String> = lanes.chain.iter().map(|process| pid(timeline, *process)).collect();
        put(&mut row, 0, &head(&pids.join(" → "), STEPS - LANES - 2));
    }
    line(out, &format!("{:>7} {:>7}", "ms", ""), &row, "", "daemon(7)");
}

/// Writes a row: the times, the lanes, and the step, with the style that marks it.
fn line(out: &mut String, times: &str, row: &[char], style: &str, step: &str) {
    let row: String = row.iter().collect();
    let text = if step.is_empty() {
        format!("{times} {row}").trim_end().to_owned()
    } else {
        let end = if style.is_empty() { "" } else { "\u{1b}[0m" };
        format!("{times} {row}{style}{step}{end}")
    };
    let _ = writeln!(out, "{text}");
}

fn one(out: &mut String, timeline: &Timeline<'_>, lanes: &mut Lanes, row: &Row, last_step: &mut Option<u64>) {
    match row {
        Row::Does { at, process, words, times, begets, step, ends } => {
            let taken = step.and_then(|place| timeline.taken.get(place));
            let words = repeated(words, *times);
            let mut cells = lanes.empty();
            let lane = lanes.of(*process);
            let child = begets.and_then(|child| lanes.of(child)).filter(|child| lane.is_some_and(|lane| *child > lane));
            match (lane, child) {
                (Some(lane), Some(child)) => {
                    let (from, to) = (lanes.starts[lane], lanes.starts[child]);
                    put(&mut cells, from, &words.verb);
                    for place in &mut cells[from + words.verb.chars().count() + 1..to - 2] {
                        *place = '─';
                    }
                    put(&mut cells, to - 2, "▶ born");
                    lanes.alive[child] = true;
                }
                (Some(lane), None) => {
                    let from = lanes.starts[lane];
                    let room = cells.len() - 1 - from;
                    let mut text = fit(&words, room);
                    if *ends {
                        lanes.alive[lane] = false;
                        if lane == 0 {
                            text.push_str(" ◀ launcher ends");
                        }
                    }
                    put(&mut cells, from, &text);
                }
                _ => {
                    let who = pid(timeline, *process);
                    let room = cells.len() - 2 - who.chars().count();
                    let mut text = fit(&words, room);
                    if let Some(child) = begets.filter(|child| timeline.chain.contains(child)) {
                        let _ = write!(text, " → {}", pid(timeline, child));
                    }
                    put(&mut cells, 0, &format!("{who} {text}"));
                }
            }
            let since = taken.map(|_| since(last_step, *at)).unwrap_or_default();
            let (style, label) = taken.map(label).unwrap_or_default();
            line(out, &times_of(*at, &since), &cells, &style, &label);
            if let Some(note) = taken.and_then(note) {
                let _ = writeln!(out, "{}{:>WIDTH$}{}", style_of(taken), note, reset_of(taken));
            }
        }
        Row::More { at, calls } => {
            let mut cells = lanes.empty();
            match calls.as_slice() {
                [(process, count)] => {
                    let lane = lanes.of(*process);
                    let who = if lane.is_some() { String::new() } else { format!("{} ", pid(timeline, *process)) };
                    let from = lane.map_or(0, |lane| lanes.starts[lane]);
                    put(&mut cells, from, &format!("{who}· {}", rows::more(*count)));
                }
                many => {
                    for (process, count) in many {
                        match lanes.of(*process) {
                            Some(lane) => put(&mut cells, lanes.starts[lane], &format!("· {count} more")),
                            None => {
                                let all = many.iter().map(|(_, count)| count).sum();
                                put(&mut cells, 0, &format!("· {}", rows::more(all)));
                            }
                        }
                    }
                }
            }
            line(out, &times_of(*at, ""), &cells, "", "");
        }
        Row::All { at, moment } => rule(out, *at, *moment),
    }
}

fn repeated(words: &Words, times: u64) -> Words {
    let plain = words.verb != rows::DEV_NULL;
    let mut words = words.clone();
    if times > 1 && plain {
        words.rest = format!("{} ×{times}", words.rest).trim().to_owned();
    }
    words
}

fn times_of(at: u64, since: &str) -> String {
    format!("{:>7} {since:>7}", in_ms(at))
}

/// The time since the step before.
fn since(last: &mut Option<u64>, at: u64) -> String {
    let since = last.map(|last| format!("+{}", in_ms(at.saturating_sub(last)))).unwrap_or_default();
    *last = Some(at);
    since
}

fn label(taken: &Taken) -> (String, String) {
    let Step { number, short, .. } = taken.step;
    let style = style_of(Some(taken));
    (style, if taken.is_lock() { format!("{number} {short} locked") } else { format!("{number} {short}") })
}

fn style_of(taken: Option<&Taken>) -> String {
    match taken {
        Some(taken) if taken.late => BAD.to_string(),
        Some(taken) if taken.step.number == 15 => MARK.to_string(),
        _ => String::new(),
    }
}

fn reset_of(taken: Option<&Taken>) -> &'static str {
    if style_of(taken).is_empty() { "" } else { "\u{1b}[0m" }
}

/// What is said below a step: what the row itself does not.
fn note(taken: &Taken) -> Option<String> {
    let note = taken.note.as_ref().filter(|_| taken.late || matches!(taken.step.number, 9 | 11 | 12))?;
    let sign = if taken.late { "▲ " } else { "" };
    (!taken.is_lock()).then(|| printable(&format!("{sign}{note}")))
}

/// Words in `room` columns: the end of a path tells more than its beginning, and what is written less than where.
fn fit(words: &Words, room: usize) -> String {
    let whole = words.whole();
    if whole.chars().count() <= room {
        return printable(&whole);
    }
    let Some(path) = &words.path else { return head(&printable(&whole), room) };
    let verb = words.verb.chars().count() + 1;
    let rest = words.rest.chars().count() + usize::from(!words.rest.is_empty());
    let last = super::base(path).chars().count() + 2;
    let text = if verb + rest + last.min(12) <= room {
        let path = tail(path, room - verb - rest);
        Words { path: Some(path), ..words.clone() }.whole()
    } else {
        format!("{} {}", words.verb, tail(path, room.saturating_sub(verb)))
    };
    head(&printable(&text), room)
}

/// Writes `text` after `name`, broken at spaces.
fn wrapped(out: &mut String, style: Style, name: &str, text: &str) {
    let indent = name.chars().count() + 1;
    let _ = write!(out, "{style}{name}{style:#}");
    let mut used = indent - 1;
    for word in printable(text).split(' ') {
        // What belongs together is held by a space that does not break.
        let word = word.replace('\u{a0}', " ");
        let width = word.chars().count();
        if used + 1 + width > WIDTH && used >= indent {
            let _ = write!(out, "\n{:indent$}{word}", "");
            used = indent + width;
        } else {
            let _ = write!(out, " {word}");
            used += 1 + width;
        }
    }
    out.push('\n');
}

fn footer(out: &mut String, timeline: &Timeline<'_>, verbose: bool) {
    let trace = &timeline.start.trace;
    out.push('\n');
    let ms = |at: u64| format!("{}\u{a0}ms", in_ms(at));
    let mut moments = Vec::new();
    if trace.main != Some(0) && !trace.processes.is_empty() {
        moments.push(match trace.launcher_ended() {
            Some((at, Exit::Status(status))) => {
                format!("the launcher ended after {} with status {status}", ms(at))
            }
            Some((at, exit)) => format!("the launcher was ended by {exit} after {}", ms(at)),
            None => "the launcher did not end".to_owned(),
        });
    }
    moments.extend(trace.ready.map(|at| format!("ready after {}", ms(at))));
    moments.extend(trace.rest.map(|at| format!("at rest after {}", ms(at))));
    if !moments.is_empty() {
        wrapped(out, Style::new(), "seen:    ", &moments.join(", "));
    }
    for remark in &timeline.remarks {
        wrapped(out, MARK, "note:    ", remark);
    }
    if trace.main != Some(0) {
        let missing: Vec<String> = timeline
            .not_seen
            .iter()
            .map(|step| format!("{} {}", step.number, step.short).replace(' ', "\u{a0}"))
            .collect();
        if !missing.is_empty() {
            wrapped(out, MARK, "not seen:", &missing.join(", "));
        }
        wrapped(out, Style::new(), "no call: ", "4 environment, which is changed without one");
    }
    others(out, timeline);
    if trace.left_out > 0 {
        let events = counted(trace.left_out, "event", "events");
        wrapped(out, MARK, "left out:", &format!("{events} beyond the most that are kept"));
    }
    if !verbose {
        out.push_str("-v shows every call, --format html draws them to scale.\n");
    }
}

/// The processes that are not on the way to the daemon.
fn others(out: &mut String, timeline: &Timeline<'_>) {
    let trace = &timeline.start.trace;
    let others: Vec<usize> = (0..trace.processes.len()).filter(|process| !timeline.chain.contains(process)).collect();
    if others.is_empty() {
        return;
    }
    let born = |process: usize| {
        let birth =
            trace.events.iter().find(|e| matches!(e.what, crate::observation::What::Child(child) if child == process));
        match birth {
            Some(event) => {
                format!("{} (of {} at {} ms)", pid(timeline, process), pid(timeline, event.process), in_ms(event.at))
            }
            None => pid(timeline, process),
        }
    };
    let mut named: Vec<String> =
        others.iter().take(MOST_OTHERS).map(|process| born(*process).replace(' ', "\u{a0}")).collect();
    if others.len() > MOST_OTHERS {
        named.push(format!("and {} more", others.len() - MOST_OTHERS));
    }
    let count = counted(others.len() as u64, "other process", "other processes");
    wrapped(out, Style::new(), "beside:  ", &format!("{count}: {}", named.join(", ")));
}
