//! What systemd made of a subject, in words that every format shares.

use super::shown;
use crate::check::witness::{Heard, Service, Standing, Testimony, summary};
use crate::observation::Witness;

/// How good a line's news are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Dull,
    Bad,
}

impl Tone {
    /// The word that stands for it in markup: that of a check's state with the same colour.
    pub(super) fn word(self) -> &'static str {
        match self {
            Tone::Good => "pass",
            Tone::Dull => "skip",
            Tone::Bad => "fail",
        }
    }
}

/// One thing that is said, and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
    /// What each side says, under its name.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Line {
    /// All of it, one line for each field.
    pub(super) fn all(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("\n  {name}: {value}"));
        std::iter::once(self.text.clone()).chain(fields).collect()
    }
}

/// All that is to be said.
pub(super) fn lines(testimony: &Testimony) -> Vec<Line> {
    let unseen = testimony.unseen.iter().map(|(service, why)| {
        let kind = service.map(|service| format!(" as Type={service}")).unwrap_or_default();
        Line { tone: Tone::Dull, text: shown(&format!("systemd was not asked{kind}: {why}")), fields: Vec::new() }
    });
    testimony.services.iter().flat_map(of_service).chain(unseen).collect()
}

fn of_service(service: &Service) -> Vec<Line> {
    let Service { witness, complaints } = service;
    let tone = if complaints.is_empty() { Tone::Good } else { Tone::Dull };
    let text = shown(&format!("{} as Type={}: {}", witness.version, witness.service, verdict(witness)));
    // What it says itself is the best hint at why it did not come up.
    let journal = &witness.said;
    let is_hint = !witness.started.is_active() && journal.bytes > 0;
    let fields = if is_hint { vec![("journal", shown(&journal.text.short(300)))] } else { Vec::new() };
    let mut all = vec![Line { tone, text, fields }];
    all.extend(complaints.iter().map(of_complaint));
    all
}

fn verdict(witness: &Witness) -> String {
    let started = &witness.started;
    if !started.is_active() {
        return format!("not started: {}", summary(started));
    }
    let main = match (started.main, started.daemon) {
        (Some(main), Some(daemon)) if main == daemon => format!("main PID {main}, the daemon"),
        (Some(main), Some(daemon)) => format!("main PID {main}, while the daemon is pid {daemon}"),
        (Some(main), None) => format!("main PID {main}"),
        (None, _) => "without a main PID".to_owned(),
    };
    let restarted = match &witness.restarted {
        Some(state) if state.is_active() => "restarted".to_owned(),
        Some(state) => format!("not restarted ({})", summary(state)),
        None => "not restarted".to_owned(),
    };
    let stopped = match witness.stopped.result.as_str() {
        "success" => "stopped".to_owned(),
        result => format!("stopped with result {result}"),
    };
    format!("active, {main}; {restarted}; {stopped}")
}

fn of_complaint(heard: &Heard) -> Line {
    let Heard { complaint, evidence, ours, standing } = heard;
    let (tone, word) = match standing {
        Standing::Explained => (Tone::Dull, "complains"),
        Standing::NotCompared => (Tone::Dull, "complains, which was not compared"),
        // Nobody is wrong, and yet it does not run there as it should.
        Standing::Unlike => (Tone::Bad, "complains of what no check sees"),
        Standing::Disagrees => (Tone::Bad, "disagrees"),
    };
    let mut fields: Vec<(&'static str, String)> = evidence.iter().map(|line| ("systemd", shown(line))).collect();
    let checks = match (ours.is_empty(), complaint.checks) {
        (false, _) => listed(ours, *standing),
        (true, []) => "no check is about that".to_owned(),
        (true, about) => format!("not judged: {}", about.join(", ")),
    };
    fields.push(("checks", checks));
    if let Some(why) = complaint.unlike.filter(|_| *standing == Standing::Unlike) {
        fields.push(("perhaps", why.to_owned()));
    }
    Line { tone, text: format!("systemd {word}: {} ({})", complaint.title, complaint.id), fields }
}

/// The failed checks, where there are any; else all, by what they came to.
fn listed(ours: &[(&str, &str)], standing: Standing) -> String {
    let mut parts = Vec::new();
    for word in ["fail", "pass", "skip", "broken"] {
        let ids: Vec<&str> = ours.iter().filter(|(_, verdict)| *verdict == word).map(|(id, _)| *id).collect();
        if !ids.is_empty() {
            parts.push(format!("{word}: {}", ids.join(", ")));
        }
        if standing == Standing::Explained {
            break;
        }
    }
    parts.join("; ")
}
