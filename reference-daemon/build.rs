//! Links the program, and the program alone, statically and at a fixed address.
//!
//! A daemon's start is mostly the kernel mapping it and the loader resolving it. A static program
//! without relocations has neither a loader nor anything to resolve.
//!
//! `-C target-feature=+crt-static` would be the usual way, but it can only be given for a whole build,
//! where it breaks every proc-macro crate unless a target is named on the command line. Here a plain
//! `cargo build` has to do. `-static` alone is not enough: rustc asks for the C libraries after a
//! `-Bdynamic` of its own, and the result is a dynamic program without a loader, which crashes. So the
//! static archives are put first in the search path, in a directory that holds nothing else.
//!
//! Where there is no static C library to be had (or a cross build, or another libc), the program is
//! linked as any other: slower to start, otherwise the same.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What rustc asks the linker for, and the archive that satisfies it.
const ARCHIVES: [(&str, &str); 7] = [
    ("libgcc_s.a", "libgcc_eh.a"),
    ("libc.a", "libc.a"),
    ("libm.a", "libm.a"),
    ("libdl.a", "libdl.a"),
    ("librt.a", "librt.a"),
    ("libpthread.a", "libpthread.a"),
    ("libutil.a", "libutil.a"),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Some(directory) = env::var_os("OUT_DIR").map(|out| PathBuf::from(out).join("static")) else {
        return;
    };
    if is_native_glibc() && collect_archives(&directory).is_some() {
        for argument in ["-static", "-no-pie", &format!("-L{}", directory.display())] {
            println!("cargo:rustc-link-arg-bin=reference-daemon={argument}");
        }
    }
}

fn is_native_glibc() -> bool {
    let of_target = |name| env::var(name).unwrap_or_default();
    env::var("TARGET") == env::var("HOST")
        && of_target("CARGO_CFG_TARGET_OS") == "linux"
        && of_target("CARGO_CFG_TARGET_ENV") == "gnu"
}

/// Fills the directory with links to the compiler's static archives; `None` where one is missing.
fn collect_archives(directory: &Path) -> Option<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).ok()?;
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    for (wanted, archive) in ARCHIVES {
        let answer = Command::new(&linker).arg(format!("-print-file-name={archive}")).output().ok()?;
        let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
        // A compiler that has no such file answers with the bare name.
        if !path.is_absolute() || !path.is_file() {
            return None;
        }
        symlink(path, directory.join(wanted)).ok()?;
    }
    Some(())
}
