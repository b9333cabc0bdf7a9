//! What people see, as console transcripts in cmd/: help, usage errors, reports. `TRYCMD=overwrite` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec_tests::programs::program;

#[test]
fn the_transcripts_hold() {
    let defective = std::path::Path::new(env!("CARGO_BIN_EXE_defective-daemon"));
    let directory = defective.parent().unwrap().display();
    trycmd::TestCases::new()
        .env("PATH", format!("{directory}:{}", std::env::var("PATH").unwrap()))
        .register_bin("daemonspec", program("daemonspec"))
        .register_bin("reference-daemon", program("reference-daemon"))
        .case("cmd/*.trycmd")
        .case("../README.md");
}
