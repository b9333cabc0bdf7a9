//! What people see, as console transcripts in cmd/: help, usage errors, reports. `TRYCMD=overwrite` writes them anew.

use daemonspec_tests::programs::program;

#[test]
fn the_transcripts_hold() {
    trycmd::TestCases::new()
        .register_bin("daemonspec", program("daemonspec"))
        .register_bin("reference-daemon", program("reference-daemon"))
        .register_bin("defective-daemon", std::path::Path::new(env!("CARGO_BIN_EXE_defective-daemon")))
        .case("cmd/*.trycmd")
        .case("../README.md");
}
