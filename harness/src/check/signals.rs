//! Masks, dispositions, reactions.

use super::session::survives;
use super::{ANY_STYLE, Check, check};

pub(super) const CHECKS: &[Check] = &[check!("survives-sighup", Should, Signals, ANY_STYLE, "terminal",
        title: "reloads or ignores SIGHUP",
        sources: &["daemon(7) New-Style item 3: SIGHUP reloads the configuration"],
        remedy: "handle SIGHUP by reopening the log and reading the configuration again, or ignore it",
        judge: |case| survives(case, "sighup", "SIGHUP was sent"))];
