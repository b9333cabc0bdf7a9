//! Timelines of starts made by hand: byte for byte on small samples, and whole whatever a trace holds.
//!
//! The samples are in tests/timeline/, the JSON Schema in docs/schema/. `DAEMONSPEC_UPDATE=1 cargo test --test timeline`
//! writes them anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod committed;
mod starts;

use committed::compare;
use daemonspec::observation::{Call, Event, Exit, Text, Trace, Traced, What};
use daemonspec::run::TracedStart;
use daemonspec::timeline::{Timeline, html, json, terminal};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use proptest::prelude::*;
use serde_json::Value;

/// Without colours.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn shown(start: &TracedStart, verbose: bool) -> String {
    plain(&terminal::report(&Timeline::new(start), verbose))
}

/// Each step that was taken, and by which process.
fn steps(start: &TracedStart) -> Vec<(u8, usize)> {
    Timeline::new(start).taken.iter().map(|taken| (taken.step.number, taken.process)).collect()
}

fn not_seen(start: &TracedStart) -> Vec<u8> {
    Timeline::new(start).not_seen.iter().map(|step| step.number).collect()
}

#[test]
fn every_step_of_a_good_start_is_found_where_it_is() {
    let good = starts::good();
    let all = [
        (1, 0),
        (2, 0),
        (3, 0),
        (5, 0),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 2),
        (10, 2),
        (11, 2),
        (12, 2),
        (12, 2),
        (14, 2),
        (15, 0),
    ];
    assert_eq!(steps(&good), all);
    assert_eq!(not_seen(&good), [] as [u8; 0]);
    assert_eq!(Timeline::new(&good).remarks, [] as [String; 0]);
}

#[test]
fn what_a_bad_start_lacks_is_said() {
    let bad = starts::bad();
    assert_eq!(not_seen(&bad), [1, 2, 3, 6, 7, 9, 14]);
    let timeline = Timeline::new(&bad);
    let file = timeline.taken.iter().find(|taken| taken.step.number == 12).unwrap();
    assert!(file.late && file.note.as_deref() == Some("0.17 ms after the launcher ended"), "{file:?}");
    let drop = timeline.taken.iter().find(|taken| taken.step.number == 13).unwrap();
    assert_eq!(drop.events.len(), 2);
    assert!(timeline.remarks.iter().any(|remark| remark == "setsid() failed in pid 1003, EPERM"));
}

#[test]
fn the_terminal_s_is_as_committed() {
    compare("tests/timeline/good.txt", &shown(&starts::good(), false));
    compare("tests/timeline/good-verbose.txt", &shown(&starts::good(), true));
    compare("tests/timeline/bad.txt", &shown(&starts::bad(), false));
    compare("tests/timeline/foreground.txt", &shown(&starts::foreground(), false));
    compare("tests/timeline/long.txt", &shown(&starts::long(), false));
}

#[test]
fn the_guide_s_sample_is_current() {
    let guide = include_str!("../../docs/guide/timelines.md");
    assert!(guide.contains(&shown(&starts::bad(), false)), "docs/guide/timelines.md shows tests/timeline/bad.txt");
}

#[test]
fn json_is_as_committed() {
    compare("tests/timeline/bad.json", &json::report(&Timeline::new(&starts::bad())));
}

#[test]
fn the_schema_is_current_and_holds() {
    compare("../docs/schema/trace.json", &json::schema());
    for start in
        [starts::good(), starts::bad(), starts::foreground(), starts::long(), starts::of(Trace::default(), None)]
    {
        valid(&start);
    }
}

fn valid(start: &TracedStart) {
    let schema: Value = serde_json::from_str(&json::schema()).unwrap();
    let instance: Value = serde_json::from_str(&json::report(&Timeline::new(start))).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_mask_that_is_put_back_is_not_reset() {
    let mut start = starts::Start::new(7, "/bin/x");
    start.silent(0, "rt_sigprocmask", "SIG_BLOCK, [64 signals]", 1);
    let child = start.fork(0, 8);
    start.silent(0, "rt_sigprocmask", "SIG_SETMASK, []", 1);
    start.silent(child, "rt_sigprocmask", "SIG_SETMASK, []", 1);
    assert!(not_seen(&start.done(Some(child), None)).contains(&3));
    // While a thread is made, in which all is to be blocked.
    start.silent(child, "rt_sigprocmask", "SIG_SETMASK, [62 signals]", 1);
    start.silent(child, "rt_sigprocmask", "SIG_BLOCK, [64 signals]", 1);
    start.silent(child, "rt_sigprocmask", "SIG_SETMASK, [62 signals]", 1);
    start.silent(child, "rt_sigprocmask", "SIG_SETMASK, []", 1);
    assert!(not_seen(&start.done(Some(child), None)).contains(&3));
    start.silent(child, "rt_sigprocmask", "SIG_SETMASK, []", 1);
    assert!(!not_seen(&start.done(Some(child), None)).contains(&3));
}

#[test]
fn a_umask_that_is_only_read_is_not_set() {
    let mut start = starts::Start::new(7, "/bin/x");
    start.call(0, "umask", "0777", 0o22).call(0, "umask", "0022", 0o777);
    let child = start.fork(0, 8);
    assert!(not_seen(&start.done(Some(child), None)).contains(&10));
    start.call(child, "umask", "0027", 0o22);
    assert_eq!(steps(&start.done(Some(child), None)), [(5, 0), (10, child)]);
}

#[test]
fn what_a_script_does_before_it_executes_the_daemon_is_no_step() {
    let mut start = starts::Start::new(7, "/bin/sh");
    start.on(0, "dup2", "3, 2", "/dev/null", 2).call(0, "umask", "0", 0o22);
    start.push(0, What::Program(Text::new(b"/usr/sbin/mydaemon")));
    start.call(0, "umask", "0022", 0);
    let child = start.fork(0, 8);
    assert_eq!(steps(&start.done(Some(child), None)), [(10, 0), (5, 0)]);
    // What starts daemons may execute them at the end.
    start.on(child, "dup2", "3, 2", "/dev/null", 2);
    start.push(child, What::Program(Text::new(b"/usr/sbin/other")));
    assert_eq!(steps(&start.done(Some(child), None)), [(10, 0), (5, 0), (9, child)]);
}

#[test]
fn a_script_s_own_fork_is_not_the_first() {
    let mut start = starts::Start::new(7, "/bin/sh");
    let program = start.fork(0, 8);
    let child = start.fork(program, 9);
    start.call(child, "setsid", "", 9);
    let daemon = start.fork(child, 10);
    let taken = steps(&start.done(Some(daemon), None));
    assert!(taken.contains(&(5, program)) && taken.contains(&(7, child)), "{taken:?}");
}

#[test]
fn a_daemon_that_is_gone_has_a_timeline() {
    let mut start = starts::Start::new(7, "/bin/x");
    let child = start.fork(0, 8);
    start.exit(0, 0);
    start.call(child, "setsid", "", 8);
    start.exit(child, 1);
    let start = start.done(None, None);
    assert_eq!(Timeline::new(&start).chain, [0, child]);
    assert!(shown(&start, false).contains("no daemon was left"));
}

/// All formats; the terminal's lines are bounded and hold nothing that a terminal obeys.
fn render(start: &TracedStart) {
    for verbose in [false, true] {
        let text = shown(start, verbose);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80 || !line.contains("mydaemon"), "{line}");
            assert!(line.chars().count() <= 200, "{line}");
        }
    }
    serde_json::from_str::<Value>(&json::report(&Timeline::new(start))).unwrap();
    let page = html::report(&Timeline::new(start));
    assert!(page.ends_with("</html>\n"));
    for (tag, attributes) in tags(&page) {
        assert!(!attributes.iter().any(|a| a == "src" || a.starts_with("on")), "{tag}: {attributes:?}");
        assert!(!["script", "style"].contains(&tag.as_str()) || attributes.is_empty(), "{tag}");
    }
}

/// Start tags and the names of their attributes, as a browser takes them.
fn tags(text: &str) -> Vec<(String, Vec<String>)> {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut emitter = DefaultEmitter::default();
    // What is inside `style` and `script` is no markup.
    emitter.naively_switch_states(true);
    let tags: Vec<(String, Vec<String>)> = Tokenizer::new_with_emitter(text, emitter)
        .map(Result::unwrap)
        .filter_map(|token| match token {
            Token::StartTag(tag) => Some((word(&tag.name), tag.attributes.keys().map(|name| word(name)).collect())),
            Token::Error(error) => panic!("{error:?}"),
            Token::Comment(_) => panic!("a comment"),
            _ => None,
        })
        .collect();
    for (once, count) in [("script", 1), ("style", 1), ("html", 1)] {
        assert_eq!(tags.iter().filter(|(tag, _)| tag == once).count(), count, "{once}");
    }
    tags
}

#[test]
fn the_page_has_a_lane_for_each_process_and_a_row_for_each_event() {
    for start in [starts::good(), starts::bad(), starts::foreground()] {
        let page = html::report(&Timeline::new(&start));
        assert_eq!(
            page.matches("<li data-process").count() + page.matches("class=\"beside\"").count(),
            start.trace.processes.len()
        );
        assert_eq!(page.matches("<tr id=\"event-").count(), start.trace.events.len());
        for word in ["<link", "@import", "url(", "fetch("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}

#[test]
fn what_cannot_be_is_borne() {
    render(&starts::of(Trace::default(), None));
    // Processes that beget one another, and what happens to none.
    let process = |parent| Traced { pid: 7, parent, lineage: vec![1] };
    let events = [0, 1, 99, usize::MAX]
        .into_iter()
        .flat_map(|p| {
            [What::Child(p), What::Thread(-1), What::Signal(-7), What::Ended(Exit::Signal(99))].map(|w| (p, w))
        })
        .map(|(process, what)| Event { at: u64::MAX - process as u64 % 3, process, thread: 7, what })
        .collect();
    let trace = Trace {
        processes: vec![process(Some(1)), process(Some(0)), process(Some(77))],
        events,
        ready: Some(u64::MAX),
        rest: Some(0),
        left_out: u64::MAX,
        main: None,
    };
    for main in [None, Some(0), Some(1), Some(2), Some(3), Some(usize::MAX)] {
        render(&starts::of(Trace { main, ..trace.clone() }, None));
    }
}

#[test]
fn a_great_many_events_and_processes_are_borne() {
    let mut start = starts::Start::new(7, "/bin/x");
    let daemon = start.fork(0, 8);
    for pid in 0..300 {
        let process = start.fork(daemon, 9 + pid);
        for _ in 0..40 {
            start.on(process, "openat", "AT_FDCWD, \"/etc/x\", O_RDONLY", "/etc/x", 3);
        }
    }
    for index in 0..2000 {
        start.call(daemon, "kill", &format!("{index}, SIGTERM"), 0);
    }
    let start = start.done(Some(daemon), None);
    assert!(start.trace.events.len() > 10_000);
    render(&start);
    let text = shown(&start, false);
    assert!(text.lines().count() < 450, "{}", text.lines().count());
    assert!(text.contains("300 other processes: "), "{text}");
}

fn words() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "/dev/null",
        "/run/d.pid",
        "/",
        "",
        "3, 0",
        "3, 2",
        "a, b, \"c\"",
        "SIG_SETMASK, []",
        "SIG_BLOCK, [64 signals]",
        "SIGHUP, SIG_DFL",
        "3, F_SETLK, F_WRLCK",
        "\u{1b}[31m\n\u{202e}",
        "<script>alert(1)</script>",
        "pipe:[1]",
        "é日本🦀",
        "-1, -1",
        "O_CREAT",
        "\"",
        "\"\"",
        "99999999999999999999, 0",
        "[",
        "x/",
    ])
    .prop_map(str::to_owned)
    .boxed()
    .prop_union(any::<String>().boxed())
}

fn name() -> impl Strategy<Value = String> {
    let known = vec![
        "openat",
        "dup2",
        "close",
        "close_range",
        "setsid",
        "umask",
        "chdir",
        "write",
        "pwrite64",
        "fcntl",
        "flock",
        "clone",
        "vfork",
        "exit_group",
        "rt_sigaction",
        "rt_sigprocmask",
        "setuid",
        "setgroups",
        "kill",
        "bind",
        "rename",
        "execve",
        "nanosleep",
        "<b>",
    ];
    proptest::sample::select(known).prop_map(str::to_owned)
}

fn call() -> impl Strategy<Value = Call> {
    let text = || proptest::option::of(words()).prop_map(|text| text.map(|text| Text::new(text.as_bytes())));
    let numbers = (any::<u32>(), 0..70u32, any::<bool>(), any::<bool>());
    let results = (proptest::option::of(-3..9i32), proptest::option::of(prop_oneof![-200..9i64, any::<i64>()]));
    (name(), words(), text(), text(), results, numbers).prop_map(
        |(name, arguments, path, to, (fd, result), (nth, times, loader, compat))| {
            // As it may come from a file: not escaped.
            let arguments: Text = serde_json::from_value(Value::String(arguments)).unwrap();
            Call { name, arguments, path, to, fd, result, nth, times, loader, compat }
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        8 => call().prop_map(What::Call),
        2 => (0..8usize).prop_map(What::Child),
        1 => any::<i32>().prop_map(What::Thread),
        1 => words().prop_map(|path| What::Program(Text::new(path.as_bytes()))),
        1 => any::<i32>().prop_map(What::Signal),
        1 => any::<i32>().prop_map(|status| What::Ended(Exit::Status(status))),
        1 => any::<i32>().prop_map(|signal| What::Ended(Exit::Signal(signal))),
    ]
}

fn trace() -> impl Strategy<Value = Trace> {
    let process = (any::<i32>(), proptest::option::of(0..8usize), proptest::collection::vec(any::<u32>(), 0..4))
        .prop_map(|(pid, parent, lineage)| Traced { pid, parent, lineage });
    let at = prop_oneof![4 => 0..9000u64, 1 => any::<u64>()];
    let event = (at.clone(), 0..8usize, 0..9i32, what()).prop_map(|(at, process, thread, what)| Event {
        at,
        process,
        thread,
        what,
    });
    (
        proptest::collection::vec(process, 0..7),
        proptest::collection::vec(event, 0..40),
        proptest::option::of(0..8usize),
        proptest::option::of(at.clone()),
        proptest::option::of(at),
        any::<u64>(),
    )
        .prop_map(|(processes, events, main, ready, rest, left_out)| Trace {
            processes,
            events,
            main,
            ready,
            rest,
            left_out,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_a_trace_holds_it_has_a_timeline(trace in trace(), named in any::<bool>(), name in words()) {
        let start = TracedStart { name, ..starts::of(trace, named.then_some("/run/d.pid")) };
        render(&start);
        valid(&start);
    }
}
