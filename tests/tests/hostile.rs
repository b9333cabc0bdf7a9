//! A subject that means no good: what it says, is called and writes comes out of every report escaped and cut, and costs
//! neither memory nor time without end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use daemonspec_tests::programs::program;

/// What any report may take, in bytes: the HTML one has every page in it.
const LONGEST: usize = 4 << 20;

/// Judges it, by these checks and with these words; what the report is, and the exit code.
fn check(only: &str, words: &[&str]) -> (Vec<u8>, Option<i32>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/hostile.py");
    let title = format!("\u{1b}[31m<b>{}", "x".repeat(64 << 10));
    let output = Command::new(program("daemonspec"))
        .args(["check", "--level", "may", "--pidfile", "{dir}/d.pid", "--log", "{dir}/d.log", "--only", only])
        .args(words)
        .args(["--", "python3", script, "{dir}", &title])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.stdout, output.status.code())
}

#[test]
fn every_format_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("recording.json");
    let only = "pidfile-format,pidfile-names-main-process,log-appended,failure-explained";
    let first = check(only, &["--format", "json", "--record", recording.to_str().unwrap()]);
    // All that a report is made of is in the recording, as it was seen.
    for format in ["terminal", "json", "junit", "tap", "markdown", "html"] {
        let output = Command::new(program("daemonspec"))
            .args(["check", "--format", format, "--level", "may", "--only", only, "--replay"])
            .arg(&recording)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{format}");
        let text = output.stdout;
        assert!(format != "json" || text == first.0, "what is replayed is what was seen");
        assert!(text.len() < LONGEST, "{format}: {} bytes", text.len());
        let text = String::from_utf8(text).unwrap();
        let controls = text.chars().filter(|c| c.is_control() && !['\n', '\t'].contains(c)).count();
        assert_eq!(controls, 0, "{format}");
        let is_markup = ["junit", "markdown", "html"].contains(&format);
        assert!(!is_markup || !text.contains("<script>alert(1)"), "{format}");
    }
    assert_eq!(first.1, Some(1));
}

#[test]
fn what_was_cut_off_is_counted() {
    let (text, _) = check("failure-explained,pidfile-format", &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let command = report["subjects"][0]["command"].as_array().unwrap();
    assert!(command.last().unwrap().as_str().unwrap().ends_with("bytes more]"), "{command:?}");
    let checks = report["subjects"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["id"] == "pidfile-format" && check["verdict"] == "fail"), "{checks:?}");
}
