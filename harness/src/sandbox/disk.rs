//! A disk of its own for one directory of the sandbox, small enough to be filled.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

/// Where the disk is put together.
const STAGE: &str = "/daemonspec-disk";
/// What may be copied onto it.
const MOST_BYTES: u64 = 8 << 20;
const MOST_ENTRIES: usize = 2000;
/// Room for what a start writes.
const ROOM: u64 = 4 << 20;
/// The size of a page, in which a tmpfs gives room.
const PAGE: u64 = 4096;
/// What takes the room.
const FILLER: &str = ".filler";

/// Puts `directory`, with all that is in it, on a disk of its own.
///
/// # Errors
/// Also when it holds more than can be copied.
pub(crate) fn small_disk(directory: &Path) -> io::Result<()> {
    let stage = Path::new(STAGE);
    fs::create_dir_all(stage)?;
    let options = format!("size={},mode=755", MOST_BYTES + ROOM);
    mount(Some("tmpfs"), stage, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
    let mut left = (MOST_BYTES, MOST_ENTRIES);
    let done = copy(directory, stage, &mut left)
        .and_then(|()| Ok(mount(Some(stage), directory, None::<&str>, MsFlags::MS_BIND, None::<&str>)?));
    let _ = umount2(stage, MntFlags::MNT_DETACH);
    done
}

/// An empty file system over `directory`.
pub(crate) fn empty(directory: &Path) -> nix::Result<()> {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=755,size=64m"))
}

/// Owners and modes, files, directories and links; what else there is (sockets, FIFOs) is made anew by whoever wants it.
fn copy(from: &Path, to: &Path, left: &mut (u64, usize)) -> io::Result<()> {
    let keep = |meta: &fs::Metadata, path: &Path| {
        chown(path, Some(meta.uid()), Some(meta.gid()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(meta.mode() & 0o7777))
    };
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (meta, place) = (entry.path().symlink_metadata()?, to.join(entry.file_name()));
        left.1 = left.1.checked_sub(1).ok_or_else(too_much)?;
        if meta.is_dir() {
            fs::create_dir(&place)?;
            copy(&entry.path(), &place, left)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
            continue;
        } else if meta.is_file() {
            left.0 = left.0.checked_sub(meta.len().next_multiple_of(PAGE)).ok_or_else(too_much)?;
            fs::copy(entry.path(), &place)?;
        } else {
            continue;
        }
        keep(&meta, &place)?;
    }
    keep(&from.metadata()?, to)
}

fn too_much() -> io::Error {
    io::Error::other("it holds more than can be copied to a small disk")
}

/// Fills the disk that `directory` is on; `growing`, a file on it, has no room left in its last page either.
///
/// # Errors
/// When it could not be filled: then nothing has been proven.
pub(crate) fn fill(directory: &Path, growing: Option<&Path>) -> io::Result<()> {
    if let Some(path) = growing.filter(|path| path.is_file()) {
        let mut file = fs::OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        let rest = length.next_multiple_of(PAGE) - length;
        file.write_all(&vec![b'\n'; usize::try_from(rest).unwrap_or(0)])?;
    }
    let mut filler = fs::File::create(directory.join(FILLER))?;
    for size in [1 << 16, PAGE as usize] {
        let chunk = vec![0; size];
        loop {
            match filler.write(&chunk) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
