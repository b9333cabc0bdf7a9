//! Reads files as they are at one instant: never following a link at the path, never blocking on a FIFO, never more than a
//! bounded part.

use super::kind_of;
use crate::observation::{FileFound, FileKind, FileSeen, Pid, Text};
use crate::sys;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file larger than this holds no PID.
const LARGEST_PIDFILE: u64 = 64;
/// How much of what the subject wrote is searched for PID files.
const MOST_ENTRIES: usize = 20_000;

/// What is at `path` now.
pub(crate) fn seen(path: &Path) -> FileSeen {
    seen_at(AT_FDCWD, path, path)
}

/// The directories above `path`, links followed, the nearest first.
pub(crate) fn directories_above(path: &Path) -> Vec<FileSeen> {
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    parent.iter().flat_map(|parent| parent.ancestors()).map(seen).collect()
}

fn seen_at(dir: BorrowedFd<'_>, relative: &Path, shown: &Path) -> FileSeen {
    let path = Text::new(shown.as_os_str().as_bytes());
    let at = |flags: OFlag| openat(dir, relative, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
    let Some(meta) = at(OFlag::O_PATH).ok().and_then(|fd| fs::File::from(fd).metadata().ok()) else {
        return FileSeen { path, found: None };
    };
    let kind = kind_of(&meta, b"");
    let content = if kind == FileKind::Regular {
        at(OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok().map(|fd| content(fd.into()))
    } else {
        None
    };
    let found = FileFound {
        kind,
        length: meta.len(),
        device: meta.dev(),
        inode: meta.ino(),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        content,
    };
    FileSeen { path, found: Some(found) }
}

fn content(file: fs::File) -> Text {
    let mut bytes = Vec::new();
    let _ = file.take(Text::LIMIT as u64).read_to_end(&mut bytes);
    Text::new(&bytes)
}

/// Whether the file at `path` now names `pid`, read as far as a PID file reaches.
pub(crate) fn number_in(path: &Path) -> Option<Pid> {
    seen(path).number()
}

/// All small regular files below the tmpfs `written` that hold a process id, under the paths the subject sees.
pub(crate) fn that_hold_a_pid(written: BorrowedFd<'_>) -> Vec<FileSeen> {
    let mut found = Vec::new();
    each_written(written, |entry| {
        if entry.meta.is_file() && (1..=LARGEST_PIDFILE).contains(&entry.meta.len()) {
            found.extend(Some(entry.seen()).filter(|file| file.only_number().is_some()));
        }
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// All regular files and directories below the tmpfs `written` that anybody may write and that the machine's own file
/// systems do not have.
pub(crate) fn that_anybody_may_write(written: BorrowedFd<'_>) -> Vec<FileSeen> {
    let mut found = Vec::new();
    each_written(written, |entry| {
        let mode = entry.meta.mode();
        let sticky = entry.meta.is_dir() && mode & 0o1000 != 0;
        let counts = entry.meta.is_file() || entry.meta.is_dir();
        if counts && mode & 0o002 != 0 && !sticky && !entry.is_copied_up() {
            found.push(entry.seen());
        }
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Something that was written to the sandbox.
struct Written<'a> {
    top: &'a OwnedFd,
    relative: &'a Path,
    shown: &'a Path,
    place: PathBuf,
    meta: fs::Metadata,
}

impl Written<'_> {
    fn seen(&self) -> FileSeen {
        seen_at(self.top.as_fd(), self.relative, self.shown)
    }

    /// Whether an overlay has made it of one of the machine's own, to change that (overlayfs: "origin").
    fn is_copied_up(&self) -> bool {
        ["trusted.overlay.origin", "user.overlay.origin"].iter().any(|name| sys::has_attribute(&self.place, name))
    }
}

/// Goes through what is below the tmpfs `written`, as far as [`MOST_ENTRIES`] reach.
///
/// The first directories are the upper layers, named `N:|mount|point` by the sandbox's root.
fn each_written(written: BorrowedFd<'_>, mut act: impl FnMut(&Written<'_>)) {
    let Ok(top) = openat(written, "written", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) else { return };
    // Absolute names are not to be had below a detached mount; /proc leads to it.
    let top_path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&top)));
    let mut open: Vec<(PathBuf, PathBuf)> = Vec::new();
    for layer in names(&top_path) {
        let Some((_, mount)) = layer.to_str().and_then(|name| name.split_once(':')) else { continue };
        open.push((layer.clone(), PathBuf::from(mount.replace('|', "/"))));
    }
    let mut left = MOST_ENTRIES;
    while let Some((relative, shown)) = open.pop() {
        for name in names(&top_path.join(&relative)) {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return,
            };
            let (relative, shown) = (relative.join(&name), shown.join(&name));
            let place = top_path.join(&relative);
            let Ok(meta) = place.symlink_metadata() else { continue };
            let is_dir = meta.is_dir();
            act(&Written { top: &top, relative: &relative, shown: &shown, place, meta });
            if is_dir {
                open.push((relative, shown));
            }
        }
    }
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|e| PathBuf::from(e.file_name())).collect())
        .unwrap_or_default()
}

/// Of the files that hold a process id, the one that is most likely the PID file of `survivors`: it names the `top` of
/// them, is called `*.pid`, and lies in a run directory, in that order of weight.
pub(crate) fn discover(files: &[FileSeen], survivors: &[Pid], top: Option<Pid>) -> Option<PathBuf> {
    files
        .iter()
        .filter(|file| file.only_number().is_some_and(|pid| survivors.contains(&pid)))
        .min_by_key(|file| {
            let path = file.path.as_str();
            let named = Path::new(path).extension().is_some_and(|e| e == "pid");
            let placed = path.starts_with("/run/") || path.starts_with("/var/run/");
            (file.only_number() != top, !named, !placed, path.to_owned())
        })
        .map(|file| PathBuf::from(file.path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_is_seen_as_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("there"), "5\n").unwrap();
        symlink(dir.path().join("there"), dir.path().join("link")).unwrap();
        assert_eq!(seen(&dir.path().join("link")).found.unwrap().kind, FileKind::Link);
        assert_eq!(number_in(&dir.path().join("there")), Some(5));
        assert_eq!(seen(&dir.path().join("nothing")).found, None);
    }

    #[test]
    fn a_fifo_does_not_block_and_a_huge_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(seen(&dir.path().join("fifo")).found.unwrap().content, None);
        let huge = fs::File::create(dir.path().join("huge")).unwrap();
        huge.set_len(1 << 30).unwrap();
        let found = seen(&dir.path().join("huge")).found.unwrap();
        assert_eq!(found.length, 1 << 30);
        assert!(found.content.unwrap().as_str().len() <= Text::LIMIT * 4 + 40);
    }

    #[test]
    fn the_pid_file_is_told_from_other_numbers() {
        let file = |path: &str, content: &str| FileSeen {
            path: Text::new(path.as_bytes()),
            found: Some(FileFound {
                kind: FileKind::Regular,
                length: content.len() as u64,
                device: 1,
                inode: 1,
                mode: 0o644,
                uid: 0,
                gid: 0,
                content: Some(Text::new(content.as_bytes())),
            }),
        };
        let files = [file("/etc/count", "7\n"), file("/var/lib/a.lock", "8\n"), file("/run/a.pid", "8\n")];
        assert_eq!(discover(&files, &[8, 9], Some(8)), Some(PathBuf::from("/run/a.pid")));
        assert_eq!(discover(&files, &[5], Some(5)), None);
    }
}
