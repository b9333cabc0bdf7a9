//! What several families ask of a record.

use super::{Case, Judgement, Ruling, Unseen, broken};
use crate::observation::{Attributes, Descriptor, Exit, FileKind, FileSeen, Launch, Look, Observation, Process, Style};

impl<'a> Case<'a> {
    /// What was seen of the clean start, and of what was done to the daemon then.
    pub(super) fn clean(&self) -> Result<&'a Observation, Unseen> {
        self.scenario(self.record.style.clean_scenario())
    }

    /// The clean start.
    pub(super) fn clean_launch(&self) -> Result<&'a Launch, Unseen> {
        self.clean()?.launch("start")
    }

    /// The clean start at rest.
    pub(super) fn clean_look(&self) -> Result<&'a Look, Unseen> {
        self.clean()?.look("rest")
    }

    /// The daemon as the clean start left it.
    pub(super) fn daemon(&self) -> Result<&'a Process, Unseen> {
        let look = self.clean_look()?;
        look.main().map_or_else(|| broken("no daemon was running after the start"), Ok)
    }

    /// What a later start lacks of what the clean one had: a daemon, status 0, and a PID file that names it.
    pub(super) fn lacks(&self, look: &Look, ended: Option<Exit>) -> Result<Option<String>, Unseen> {
        let in_background = self.record.style == Style::SysV;
        let how = ended.map_or("did not end".to_owned(), |exit| format!("ended with {exit}"));
        let Some((main, _)) = look.main.filter(|_| look.is_up()) else {
            let launcher = if in_background { "the launcher" } else { "the process that was started" };
            return Ok(Some(format!("no process is left; {launcher} {how}")));
        };
        if in_background && ended != self.clean_launch()?.ended && ended != Some(Exit::Status(0)) {
            return Ok(Some(format!("the launcher {how}, and yet pid {main} is running")));
        }
        let clean = self.clean_look()?;
        if clean.ready && !look.ready {
            return Ok(Some(format!("pid {main} is running, and what --ready declares is not there")));
        }
        let names_main = |look: &Look| {
            let number = look.pidfile.as_ref().and_then(FileSeen::number);
            number.is_some() && look.main().is_some_and(|p| number == Some(p.pid) || number == Some(p.inner_pid))
        };
        if !names_main(clean) || names_main(look) {
            return Ok(None);
        }
        Ok(look.pidfile.as_ref().map(|file| match &file.found {
            Some(_) => format!("the daemon is pid {main}, and its PID file has {}", content_of(file)),
            None => format!("the daemon is pid {main}, and {} is not there", file.path),
        }))
    }

    /// The start with that kind of dirt in its way, and what there was then: the one without any other kind, where
    /// that had to be made.
    pub(super) fn dirty(&self, kind: &str) -> Result<(&'a Launch, &'a Look), Unseen> {
        let seen = self.scenario("dirty")?;
        let name = match seen.launch(kind) {
            Err(why @ Unseen::Skip(_)) => return Err(why),
            Err(Unseen::Broken(_)) => "everything",
            Ok(_) => kind,
        };
        Ok((seen.launch(name)?, seen.look(name)?))
    }

    /// Every process of the daemon's, the main one first.
    pub(super) fn members(&self) -> Result<Vec<&'a Process>, Unseen> {
        let main = self.daemon()?;
        // A launcher that does not end is launcher-exits' matter; what it still holds is no flaw of the daemon's.
        let launcher = self.clean_launch()?.launcher;
        let others = self.clean_look()?.alive().filter(|p| p.pid != main.pid && p.pid != launcher);
        Ok(std::iter::once(main).chain(others).collect())
    }
}

impl Process {
    /// What it carries, if that could be read.
    pub(super) fn carries(&self) -> Result<&Attributes, Unseen> {
        self.attributes.as_ref().map_or_else(|| broken(format!("the state of pid {} could not be read", self.pid)), Ok)
    }
}

impl Look {
    /// The main process; there is one where the start lacks nothing.
    pub(super) fn daemon(&self) -> Result<&Process, Unseen> {
        self.main().map_or_else(|| broken("no daemon was running"), Ok)
    }

    /// Processes that the main one has begotten and that live.
    pub(super) fn children(&self) -> Vec<&Process> {
        let all: Vec<&Process> = self.members.iter().collect();
        let main = self.main.map_or(0, |(pid, _)| pid);
        self.alive().filter(|p| p.pid != main && p.descends_from(main, &all)).collect()
    }

    /// Those of them that have executed a program of their own.
    pub(super) fn executed_children(&self) -> Vec<&Process> {
        let Some(main) = self.main() else { return Vec::new() };
        self.children().into_iter().filter(|p| p.executed_since(main)).collect()
    }

    /// Whether a daemon is running.
    pub(super) fn is_up(&self) -> bool {
        self.main().is_some_and(|p| !p.is_zombie())
    }
}

impl Launch {
    /// What the subject carried when it was executed: the proof of what had been planted.
    pub(super) fn inherits(&self) -> Result<&Attributes, Unseen> {
        let why = "what the subject inherited could not be read, so nothing is proven";
        self.inherited.as_ref().map_or_else(|| broken(why), |process| process.carries())
    }

    /// What was said on standard error, as a line of evidence.
    pub(super) fn words(&self) -> Vec<String> {
        let said = self.errors.as_ref().filter(|errors| errors.bytes > 0);
        said.map(|errors| format!("it said: {}", errors.text.short(200))).into_iter().collect()
    }

    /// Whether standard error got a line that the `clean` start did not show; digits (dates, process ids) aside.
    pub(super) fn explains(&self, clean: &Launch) -> bool {
        let lines = |text: &str| -> Vec<String> {
            let plain = text.replace("\\r", "");
            plain.split("\\n").map(|line| line.chars().filter(|c| !c.is_ascii_digit()).collect()).collect()
        };
        let usual = lines(clean.output.text.as_str());
        let said = self.errors.as_ref().map(|errors| lines(errors.text.as_str())).unwrap_or_default();
        said.iter().any(|line| !line.trim().is_empty() && !usual.contains(line))
    }

    /// Whether a descriptor leads to the terminal of this launch; /dev/tty stands for the controlling terminal, and
    /// that was this one when it was opened.
    pub(super) fn is_its_terminal(&self, descriptor: &Descriptor) -> bool {
        let itself = descriptor.rdev == self.terminal || descriptor.rdev == libc::makedev(5, 0);
        descriptor.kind == FileKind::Terminal && itself
    }
}

/// Of several judgements the one that decides: a broken promise before what could not be seen, a kept one before what
/// does not apply; among equals the first.
pub(super) fn worst(all: impl IntoIterator<Item = Judgement>) -> Judgement {
    let weight = |judgement: &Judgement| match judgement {
        Ok(Ruling::Broken(_)) => 3,
        Err(Unseen::Broken(_)) => 2,
        Ok(Ruling::Kept) => 1,
        Err(Unseen::Skip(_)) => 0,
    };
    let heavier = |one: Judgement, other: Judgement| if weight(&other) > weight(&one) { other } else { one };
    all.into_iter().reduce(heavier).unwrap_or_else(|| broken("nothing was tried"))
}

/// `SIGHUP, SIGINT, SIGQUIT and 3 more`, of a set of signals.
pub(super) fn signals(set: u64) -> String {
    let all: Vec<String> = (1..=64).filter(|n| set >> (n - 1) & 1 == 1).map(crate::observation::signal_name).collect();
    match all.len() {
        0..=4 => all.join(", "),
        count => format!("{} and {} more", all[..3].join(", "), count - 3),
    }
}

/// What a PID file held, in words.
pub(super) fn content_of(file: &FileSeen) -> String {
    match &file.found {
        None => "nothing there".to_owned(),
        Some(found) => match &found.content {
            Some(content) if content.is_empty() => "an empty file".to_owned(),
            Some(content) => format!("\"{}\"", content.short(60)),
            None => format!("{:?}", found.kind).to_lowercase(),
        },
    }
}

/// `pid 7 (name), pid 8 (name) and 3 more`.
pub(super) fn named(processes: &[&Process]) -> String {
    let shown: Vec<String> = processes.iter().take(3).map(ToString::to_string).collect();
    match processes.len().saturating_sub(3) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
