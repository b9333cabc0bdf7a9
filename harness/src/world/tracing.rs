//! Tracing a start, and holding it at a point until the rest has done what it can.

use super::{Acted, World};
use crate::observation::{Pid, Seen};
use std::time::Instant;

impl World<'_> {
    /// Threads that are stopped by init's doing, or for good.
    pub(super) fn quiet(&self) -> Vec<Pid> {
        self.tracer.iter().flat_map(|tracer| tracer.quiet()).collect()
    }

    /// Notes when all that was declared to mean "ready" is first there; asked after each call that may have brought it about.
    pub(super) fn note_readiness(&mut self) {
        let Some(tracer) = &mut self.tracer else { return };
        if !tracer.take_news() || tracer.is_ready() || (self.pidfile.is_none() && self.subject.ready.is_empty()) {
            return;
        }
        let pids = tracer.live_pids();
        let is_ready = self.shows_ready_of(self.pidfile.as_deref(), &pids);
        if let Some(tracer) = self.tracer.as_mut().filter(|_| is_ready) {
            tracer.note_ready();
        }
    }

    /// Records the trace of the start that was looked at as `name`, up to now.
    pub(crate) fn record_trace(&mut self, name: &str, at_rest: bool) -> Acted {
        self.pump()?;
        let main = self.main.as_ref().map(|main| main.pid);
        if let Some(tracer) = &mut self.tracer {
            let trace = tracer.finish(main, at_rest);
            self.record(name, Seen::Trace(Box::new(trace)));
        }
        Ok(())
    }
}
