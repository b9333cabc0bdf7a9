//! Comparison with what is committed.

use std::path::Path;

/// Compares with the committed file.
pub(crate) fn compare(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = text.lines().zip(committed.lines()).take_while(|(is, was)| is == was).count();
    assert!(
        text == committed,
        "{} is not current; from line {} on it was\n{}\nand is\n{}\nDAEMONSPEC_UPDATE=1 writes it anew",
        path.display(),
        line + 1,
        committed.lines().nth(line).unwrap_or("(at its end)"),
        text.lines().nth(line).unwrap_or("(at its end)"),
    );
}
