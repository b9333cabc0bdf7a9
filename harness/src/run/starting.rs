//! Why a program did not start, in words that name the remedy.

use crate::observation::Text;
use nix::errno::Errno;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where daemons live, and ordinary users do not look.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// The kernel reads no more of a script's first line (BINPRM_BUF_SIZE).
const FIRST_LINE: u64 = 256;

/// Why execve(2) of `program`, started from `directory`, gave that error. What is looked at is the machine's, and only
/// helps to say more.
pub(super) fn why_not(errno: Errno, program: &OsStr, directory: &Path) -> String {
    let path = directory.join(program);
    let is_named = !program.is_empty() && !program.as_bytes().contains(&b'/');
    match errno {
        Errno::ENOENT if is_named => {
            let elsewhere = SBIN.iter().map(|sbin| Path::new(sbin).join(program)).find(|path| path.is_file());
            let hint = match elsewhere {
                Some(path) => format!("; {} is there, give that path", shown(&path)),
                None if path.is_file() => format!("; there is one here, write ./{}", shown(Path::new(program))),
                None => String::new(),
            };
            format!("no such command on PATH{hint}")
        }
        Errno::ENOENT if program.is_empty() => "no such command on PATH".to_owned(),
        Errno::ENOENT if path.is_file() => match interpreter(&path) {
            Some(interpreter) if interpreter.ends_with(b"\r") => {
                "its lines end with CR and LF, as no interpreter's name does; save it with LF alone".to_owned()
            }
            Some(interpreter) => {
                format!("its first line names {}, which is not there", Text::new(&interpreter).short(80))
            }
            None => "it is there, but not the loader or interpreter that it needs".to_owned(),
        },
        Errno::EACCES if path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 == 0) => {
            "permission denied; it is not executable (chmod +x), unless a program that runs it comes first".to_owned()
        }
        errno => errno.desc().to_lowercase(),
    }
}

/// What a script's first line says that runs it, up to the first blank.
fn interpreter(path: &PathBuf) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut bytes).ok()?;
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    line.split(blank).find(|word| !word.is_empty()).map(<[u8]>::to_vec)
}

fn shown(path: &Path) -> String {
    Text::new(path.as_os_str().as_bytes()).short(200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_remedy_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let why = |errno, program: &str| why_not(errno, OsStr::new(program), directory.path());
        let script = |name: &str, text: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        script("d", "#!/bin/sh\n", 0o644);
        script("gone", "#! /no/such/python -u\n", 0o755);
        script("dos", "#!/bin/sh\r\n", 0o755);
        script("elf", "\x7fELF", 0o755);
        assert_eq!(why(Errno::ENOENT, "d"), "no such command on PATH; there is one here, write ./d");
        assert_eq!(why(Errno::ENOENT, "no-such-d"), "no such command on PATH");
        assert_eq!(why(Errno::ENOENT, ""), "no such command on PATH");
        assert_eq!(why(Errno::ENOENT, "./no-such-d"), "no such file or directory");
        assert_eq!(why(Errno::ENOENT, "./gone"), "its first line names /no/such/python, which is not there");
        assert!(why(Errno::ENOENT, "./dos").starts_with("its lines end with CR and LF"));
        assert!(why(Errno::ENOENT, "./elf").starts_with("it is there, but not the loader"));
        assert!(why(Errno::EACCES, "./d").contains("chmod +x"));
        assert_eq!(why(Errno::EACCES, "./elf"), "permission denied");
    }
}
