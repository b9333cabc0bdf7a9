//! Executes a command, and leaves in a variable when it did. No system call that anybody traces comes between.

use std::error::Error;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use nix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<CString> =
        std::env::args_os().skip(1).map(|word| CString::new(word.into_vec())).collect::<Result<_, _>>()?;
    let mut variables: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| CString::new([name.into_vec(), value.into_vec()].join(&b'=')))
        .collect::<Result<_, _>>()?;
    let program = words.first().ok_or("no command")?;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let nanoseconds = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    variables.push(CString::new(format!("DAEMONSPEC_BENCH_STAMP={nanoseconds}"))?);
    nix::unistd::execve(program, &words, &variables)?;
    Ok(())
}
