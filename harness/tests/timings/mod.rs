//! Timed starts made by hand.

use daemonspec::check::Profile;
use daemonspec::observation::{Isolation, Text};
use daemonspec::run::{Benched, Timed, Timings};
use std::time::Duration;

/// `count` starts whose times go a little up and down about `ms`.
pub(crate) fn starts(ms: f64, count: u32) -> Vec<Timed> {
    let start = |round: u32| {
        let exit = ms * (1.0 + f64::from(round * 7 % 11) / 200.0);
        let after = |factor: f64| Duration::from_secs_f64(exit * factor / 1000.0);
        Timed { exit: Some(after(1.0)), ready: Some(after(0.9)), since_stamp: None, whole: after(3.0) }
    };
    (0..count).map(start).collect()
}

pub(crate) fn daemon(name: &str, starts: &[Timed]) -> Timings {
    Timings {
        name: name.to_owned(),
        command: vec![Text::new(name.as_bytes()), Text::new(b"--config"), Text::new(b"/etc/d.conf")],
        profile: Profile::Sysv,
        isolation: Isolation::Full,
        pidfile: Some(format!("/run/{name}.pid").into()),
        ready: vec!["tcp:127.0.0.1:8080".to_owned()],
        starts: starts.to_vec(),
    }
}

/// Three daemons: one is slower than the first, one about as fast, with an outlier.
pub(crate) fn benched() -> Benched {
    let mut third = starts(10.05, 40);
    third.reverse();
    third[9].exit = Some(Duration::from_millis(80));
    let daemons = vec![
        daemon("quick-daemon", &starts(10.0, 40)),
        daemon("a-daemon-with-a-rather-long-name", &starts(12.5, 40)),
        daemon("other", &third),
    ];
    Benched { daemons, warm_up: 2, seed: 0 }
}
