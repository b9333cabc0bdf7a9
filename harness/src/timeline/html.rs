//! One HTML file that needs nothing else: no network, no other file, and no script to be read.
//!
//! The markup is in timeline.html, beside this file. Along the axis all is in percent, so that to zoom is to widen; a script does
//! that, and without one the steps are in view.

use super::rows::{self, Moment};
use super::{STEPS, Taken, Timeline, command, counted, in_ms};
use crate::observation::{Exit, What};
use crate::report::{place, shown};
use askama::Template;
use std::collections::BTreeMap;

/// Processes beside the way that have a lane; the table has all.
const MOST_OTHERS: usize = 24;
/// The width for which the numbers of steps are laid out, in pixels; a script does it for the one it finds.
const WIDTH: f64 = 1000.0;
/// Between the numbers of steps, in pixels.
const APART: f64 = 23.0;
/// How far out of the view things may be by default.
const MOST_ZOOM: f64 = 400.0;
/// Marks on the axis.
const MOST_MARKS: usize = 400;

// Heights, in pixels.
const MOMENT: u32 = 18;
const AXIS: u32 = 22;
const LANE: u32 = 82;
const TRACK: u32 = 62;
const SMALL_LANE: u32 = 38;
const SMALL_TRACK: u32 = 28;

#[derive(Template)]
#[template(path = "timeline.html")]
struct Page {
    name: String,
    command: String,
    facts: String,
    moments: Vec<Instant>,
    remarks: Vec<String>,
    steps: Vec<Line>,
    lanes: Vec<Lane>,
    unseen_lanes: String,
    ticks: Vec<Tick>,
    births: Vec<Birth>,
    badges: Vec<Badge>,
    marks: Vec<Mark>,
    events: Vec<Row>,
    left_out: Option<String>,
    zoom: String,
    end: u64,
    axis: u32,
    height: u32,
}

#[derive(Template)]
#[template(path = "strip.html")]
struct Strip {
    page: Page,
}

/// A moment that concerns all lanes.
struct Instant {
    kind: &'static str,
    words: String,
    x: String,
    anchor: &'static str,
    y: u32,
}

/// A step in the list of all.
struct Line {
    number: u8,
    title: &'static str,
    /// `taken`, `late`, `missing`, `none`.
    kind: &'static str,
    /// When, by whom, and what else there is to say.
    words: String,
    event: Option<usize>,
}

struct Lane {
    process: usize,
    /// On the way to the daemon.
    main: bool,
    role: &'static str,
    pid: i32,
    about: String,
    top: u32,
    height: u32,
    track: u32,
    from: String,
    width: String,
}

/// What happened at a point in time.
struct Tick {
    event: usize,
    kind: &'static str,
    x: String,
    top: u32,
    bottom: u32,
}

struct Birth {
    /// On the way to the daemon.
    main: bool,
    x: String,
    from: u32,
    to: u32,
}

/// A step's number over its mark.
struct Badge {
    event: usize,
    number: u8,
    late: bool,
    title: String,
    x: String,
    y: u32,
    /// How far it is moved aside, so that it hides no other.
    aside: String,
    lane: usize,
}

struct Mark {
    x: String,
    words: String,
}

/// An event in the table.
struct Row {
    index: usize,
    at: u64,
    time: String,
    process: usize,
    who: String,
    kind: &'static str,
    words: String,
    loader: bool,
    step: Option<u8>,
    step_words: String,
}

/// Positions along the axis.
struct Axis {
    end: f64,
    zoom: f64,
}

impl Axis {
    fn new(timeline: &Timeline<'_>) -> Self {
        let trace = &timeline.start.trace;
        // A little room after the last thing.
        let end = (timeline.end() as f64 * 1.02).max(1.0);
        let steps = timeline.taken.iter().filter_map(|t| trace.events.get(*t.events.last()?)).map(|event| event.at);
        let last = steps.chain(trace.launcher_ended().map(|(at, _)| at)).chain(trace.ready).max();
        let focus = last.map_or(end, |last| last as f64 * 1.12).clamp(1.0, end);
        Axis { end, zoom: (end / focus).clamp(1.0, MOST_ZOOM) }
    }

    /// Whether it is on it.
    fn has(&self, at: u64) -> bool {
        at as f64 <= self.end
    }

    fn percent(&self, at: u64) -> f64 {
        (at as f64 / self.end * 100.0).clamp(0.0, 100.0)
    }

    fn x(&self, at: u64) -> String {
        format!("{:.4}", self.percent(at))
    }

    /// Marks at round times, so that their words do not touch.
    fn marks(&self) -> Vec<Mark> {
        let least = self.end / self.zoom / (WIDTH / 100.0);
        let magnitude = 10f64.powf(least.max(1.0).log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * magnitude).find(|step| *step >= least).unwrap_or(least);
        (0..MOST_MARKS)
            .map(|n| n as f64 * step)
            .take_while(|at| *at <= self.end)
            .map(|at| {
                let ms = at / 1000.0;
                let words = if step >= 1000.0 { format!("{ms:.0} ms") } else { format!("{ms:.2} ms") };
                Mark { x: format!("{:.4}", at / self.end * 100.0), words }
            })
            .collect()
    }
}

/// The timeline as a page.
pub fn report(timeline: &Timeline<'_>) -> String {
    // Writing to memory does not fail. A template loses its last newline.
    page(timeline).render().unwrap_or_default() + "\n"
}

/// The way from the launcher to the daemon up to the last step, as a part of another page: nothing in it needs a script, and
/// the styles are in scene.css.
pub(crate) fn strip(timeline: &Timeline<'_>) -> String {
    let Axis { end, zoom } = Axis::new(timeline);
    let mut page = page_along(timeline, &Axis { end: end / zoom, zoom: 1.0 }, 0);
    page.ticks.retain(|tick| matches!(tick.kind, "step" | "program" | "ended"));
    Strip { page }.render().unwrap_or_default()
}

fn page(timeline: &Timeline<'_>) -> Page {
    page_along(timeline, &Axis::new(timeline), MOST_OTHERS)
}

fn page_along(timeline: &Timeline<'_>, axis: &Axis, most_others: usize) -> Page {
    let start = timeline.start;
    let trace = &start.trace;
    let moments = moments(timeline, axis);
    let top = MOMENT * moments.len() as u32 + AXIS;
    let lanes = lanes(timeline, axis, top, most_others);
    let height = lanes.last().map_or(top, |lane| lane.top + lane.height) + 8;
    let others = trace.processes.len() - lanes.len().min(trace.processes.len());
    let tracks: BTreeMap<usize, (u32, bool)> =
        lanes.iter().map(|lane| (lane.process, (lane.track, lane.main))).collect();
    let births = trace.events.iter().filter_map(|event| {
        let What::Child(child) = event.what else { return None };
        axis.has(event.at).then_some(())?;
        let (from, to) = (tracks.get(&event.process)?.0, tracks.get(&child)?.0);
        let main = timeline.chain.contains(&child);
        Some(Birth { main, x: axis.x(event.at), from, to: if to > from { to - 9 } else { to + 9 } })
    });
    let facts = [
        counted(trace.processes.len() as u64, "process", "processes"),
        counted(timeline.calls(), "call", "calls"),
        place(start.isolation).to_owned(),
    ];
    Page {
        name: shown(&start.name),
        command: shown(&command(start)),
        facts: facts.join(" · "),
        remarks: timeline.remarks.iter().map(|remark| shown(remark)).collect(),
        steps: steps(timeline),
        unseen_lanes: if others == 0 {
            String::new()
        } else {
            format!("{} not drawn; the table has all.", counted(others as u64, "more process is", "more processes are"))
        },
        ticks: ticks(timeline, axis, &tracks),
        births: births.collect(),
        badges: badges(timeline, axis, &lanes),
        marks: axis.marks(),
        events: events(timeline),
        left_out: (trace.left_out > 0).then(|| {
            format!("{} beyond the most that are kept were left out.", counted(trace.left_out, "event", "events"))
        }),
        zoom: format!("{:.4}", axis.zoom),
        end: axis.end as u64,
        axis: top,
        height,
        moments,
        lanes,
    }
}

fn who(timeline: &Timeline<'_>, process: usize) -> String {
    match timeline.start.trace.processes.get(process) {
        Some(traced) => format!("{} {}", timeline.role(process), traced.pid),
        None => "unknown".to_owned(),
    }
}

fn moments(timeline: &Timeline<'_>, axis: &Axis) -> Vec<Instant> {
    let trace = &timeline.start.trace;
    let ended = trace.launcher_ended().filter(|_| trace.main != Some(0)).map(|(at, exit)| {
        let how = match exit {
            Exit::Status(status) => format!("launcher ends, status {status}"),
            Exit::Signal(_) => format!("launcher ended by {exit}"),
        };
        (at, "end", how)
    });
    let others = rows::moments(trace).into_iter().map(|(at, moment)| match moment {
        Moment::Ready => (at, "ready", "ready".to_owned()),
        Moment::Rest => (at, "rest", "at rest".to_owned()),
    });
    let mut all: Vec<(u64, &'static str, String)> = ended.into_iter().chain(others).collect();
    all.retain(|(at, ..)| axis.has(*at));
    all.sort_by_key(|(at, ..)| *at);
    all.into_iter()
        .enumerate()
        .map(|(row, (at, kind, what))| Instant {
            kind,
            words: format!("{what}, {} ms", in_ms(at)),
            x: axis.x(at),
            anchor: if axis.percent(at) * axis.zoom > 60.0 { "end" } else { "start" },
            y: MOMENT * row as u32,
        })
        .collect()
}

/// A lane for each process on the way, and for some beside it.
fn lanes(timeline: &Timeline<'_>, axis: &Axis, top: u32, most_others: usize) -> Vec<Lane> {
    let trace = &timeline.start.trace;
    let mut born: BTreeMap<usize, u64> = BTreeMap::new();
    let mut seen: BTreeMap<usize, u64> = BTreeMap::new();
    let mut ended: BTreeMap<usize, u64> = BTreeMap::new();
    for event in &trace.events {
        seen.entry(event.process).or_insert(event.at);
        match event.what {
            What::Child(child) => drop(born.entry(child).or_insert(event.at)),
            What::Ended(_) => drop(ended.insert(event.process, event.at)),
            _ => {}
        }
    }
    let others = (0..trace.processes.len()).filter(|process| !timeline.chain.contains(process)).take(most_others);
    let all = timeline.chain.iter().map(|process| (*process, true)).chain(others.map(|process| (process, false)));
    let mut next = top;
    all.filter_map(|(process, main)| {
        let traced = trace.processes.get(process)?;
        let (height, track) = if main { (LANE, TRACK) } else { (SMALL_LANE, SMALL_TRACK) };
        let lane_top = next;
        next += height;
        let from = born.get(&process).or(seen.get(&process)).copied().unwrap_or(0);
        let from = axis.percent(if process == 0 { 0 } else { from });
        let to = ended.get(&process).map_or(100.0, |at| axis.percent(*at));
        let mut about: Vec<String> = timeline.program(process).into_iter().map(|program| shown(&program)).collect();
        if !traced.lineage.is_empty() {
            let lineage: Vec<String> = traced.lineage.iter().take(16).map(u32::to_string).collect();
            about.push(format!("lineage {}", lineage.join(".")));
        }
        Some(Lane {
            process,
            main,
            role: timeline.role(process),
            pid: traced.pid,
            about: about.join(" · "),
            top: lane_top,
            height,
            track: lane_top + track,
            from: format!("{from:.4}"),
            width: format!("{:.4}", (to - from).max(0.0)),
        })
    })
    .collect()
}

fn ticks(timeline: &Timeline<'_>, axis: &Axis, tracks: &BTreeMap<usize, (u32, bool)>) -> Vec<Tick> {
    let places = timeline.places();
    let events = timeline.start.trace.events.iter().enumerate();
    events
        .filter(|(_, event)| axis.has(event.at))
        .filter_map(|(index, event)| {
            let (track, main) = *tracks.get(&event.process)?;
            let kind = match &event.what {
                _ if places.contains_key(&index) => "step",
                What::Call(call) if call.loader => "loader",
                What::Call(_) | What::Thread(_) | What::Child(_) => "call",
                What::Program(_) => "program",
                What::Signal(_) => "signal",
                What::Ended(_) | What::ThreadEnded => "ended",
            };
            let half = match kind {
                "step" | "ended" | "program" => 9,
                "loader" => 3,
                _ => 6,
            };
            let half = if main { half } else { half.min(6) };
            Some(Tick { event: index, kind, x: axis.x(event.at), top: track - half, bottom: track + half })
        })
        .collect()
}

/// The numbers of the steps, moved aside where they would hide one another.
fn badges(timeline: &Timeline<'_>, axis: &Axis, lanes: &[Lane]) -> Vec<Badge> {
    let width = WIDTH * axis.zoom;
    let mut badges = Vec::new();
    for lane in lanes.iter().filter(|lane| lane.main) {
        let taken: Vec<&Taken> = timeline.taken.iter().filter(|taken| taken.process == lane.process).collect();
        let meant: Vec<f64> = taken.iter().map(|taken| axis.percent(taken.at) / 100.0 * width).collect();
        let places = spread(&meant, width);
        for (taken, place) in taken.into_iter().zip(places) {
            let Some(event) = taken.events.first() else { continue };
            badges.push(Badge {
                event: *event,
                number: taken.step.number,
                late: taken.late,
                title: shown(&said(taken)),
                x: axis.x(taken.at),
                y: lane.top + 36,
                aside: format!("{:.1}", place - axis.percent(taken.at) / 100.0 * width),
                lane: lane.process,
            });
        }
    }
    badges
}

/// A step in a narrow column.
fn words_of(taken: &Taken) -> String {
    let locked = if taken.is_lock() { " locked" } else { "" };
    format!("{}{locked}", taken.step.short)
}

/// Moves what is too close together apart, to both sides alike, as little as can be; `places` are in order.
fn spread(places: &[f64], width: f64) -> Vec<f64> {
    // Without the distances that have to be between them, they only have to be in order: what is not is put in one place, and
    // that is the middle.
    let mut groups: Vec<(f64, f64)> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        groups.push((place - index as f64 * APART, 1.0));
        while let [.., before, last] = groups.as_mut_slice() {
            if before.0 / before.1 <= last.0 / last.1 {
                break;
            }
            *before = (before.0 + last.0, before.1 + last.1);
            groups.pop();
        }
    }
    let middles = groups.into_iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / count, count as usize));
    let (first, last) = (APART / 2.0, width - APART / 2.0 - places.len().saturating_sub(1) as f64 * APART);
    middles.enumerate().map(|(index, middle)| middle.min(last).max(first) + index as f64 * APART).collect()
}

fn said(taken: &Taken) -> String {
    let note = taken.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    format!("{} {}{note}, {} ms", taken.step.number, taken.step.title, in_ms(taken.at))
}

/// All steps of daemon(7), taken or not.
fn steps(timeline: &Timeline<'_>) -> Vec<Line> {
    let line = |number, title, kind, words, event| Line { number, title, kind, words, event };
    STEPS
        .iter()
        .flat_map(|step| {
            let taken: Vec<Line> = timeline
                .taken
                .iter()
                .filter(|taken| taken.step == step)
                .map(|taken| {
                    let note = taken.note.as_ref().map(|note| format!(" · {note}")).unwrap_or_default();
                    let words = shown(&format!("{} ms · {}{note}", in_ms(taken.at), who(timeline, taken.process)));
                    let kind = if taken.late { "late" } else { "taken" };
                    line(step.number, step.title, kind, words, taken.events.first().copied())
                })
                .collect();
            if !taken.is_empty() {
                return taken;
            }
            let (kind, words) = match step.number {
                _ if timeline.not_seen.contains(&step) => ("missing", "not seen"),
                4 => ("none", "changed without a call: cannot be seen"),
                8 => ("none", "without a second fork there is none"),
                13 => ("none", "none were dropped"),
                _ => ("none", "its supervisor's"),
            };
            vec![line(step.number, step.title, kind, words.to_owned(), None)]
        })
        .collect()
}

fn events(timeline: &Timeline<'_>) -> Vec<Row> {
    let places = timeline.places();
    let events = timeline.start.trace.events.iter().enumerate();
    events
        .map(|(index, event)| {
            let taken = places.get(&index).and_then(|place| timeline.taken.get(*place));
            Row {
                index,
                at: event.at,
                time: in_ms(event.at),
                process: event.process,
                who: who(timeline, event.process),
                kind: match event.what {
                    What::Call(_) => "call",
                    _ => "event",
                },
                words: shown(&rows::whole(timeline, event)),
                loader: matches!(&event.what, What::Call(call) if call.loader),
                step: taken.map(|taken| taken.step.number),
                step_words: taken.map(words_of).unwrap_or_default(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_moved_to_both_sides_and_stays_inside() {
        assert_eq!(spread(&[100.0, 300.0], 1000.0), [100.0, 300.0]);
        assert_eq!(spread(&[100.0, 100.0], 1000.0), [88.5, 111.5]);
        assert_eq!(spread(&[0.0, 0.0], 1000.0), [11.5, 34.5]);
        assert_eq!(spread(&[1000.0, 1000.0], 1000.0), [965.5, 988.5]);
        assert_eq!(spread(&[], 1000.0), [] as [f64; 0]);
    }
}
