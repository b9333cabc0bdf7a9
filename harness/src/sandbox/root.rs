//! The sandbox's file system: the machine's own, seen through overlays whose upper layer is one tmpfs.
//!
//! Whatever the subject writes lands in that tmpfs, where the harness can list it, and is gone with the namespace. Root
//! overlays `/` and each file system mounted below it. An ordinary user may not overlay a directory with (locked) mounts
//! below it, so there each directory free of them is overlaid on its own, and the others are made afresh around it.

use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use procfs_core::FromBufRead;
use procfs_core::process::{MountInfo, MountInfos};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// The most that a subject may write, in bytes: memory, after all.
const WRITABLE: u64 = 1 << 30;
/// Where the launch directory is mounted when the caller's own cannot serve (it is `/`, or the daemon's documented one).
const SPARE_LAUNCH_DIRECTORY: &str = "/launch-directory";
/// After which process ids inside begin; init itself is 1.
const FIRST_PID: &str = "1000";
/// The directory that `{dir}` stands for.
pub(crate) const PRIVATE_DIRECTORY: &str = "/daemonspec";
/// Regular files bound one by one in a directory that could not be overlaid (ordinary users only).
const MOST_FILES_BOUND: usize = 512;

/// The finished root.
pub(crate) struct Root {
    /// The tmpfs that holds everything written.
    pub written: OwnedFd,
    /// The launch directory, on a mount of its own.
    pub launch_directory: PathBuf,
    /// What of the machine could not be shown, for a warning.
    pub missing: Vec<String>,
}

/// What was being done when an error came, and whether it says that this machine does not allow that at all (rather than
/// that something ran out).
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) forbidden: bool,
}

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// An error that comes from an errno, or from none.
pub(crate) trait Cause: std::fmt::Display {
    fn errno(&self) -> Option<i32>;
}

impl Cause for Errno {
    fn errno(&self) -> Option<i32> {
        Some(*self as i32)
    }
}

impl Cause for io::Error {
    fn errno(&self) -> Option<i32> {
        self.raw_os_error()
    }
}

impl Refusal {
    pub(crate) fn new(what: impl std::fmt::Display, cause: &impl Cause) -> Self {
        const FORBIDDEN: [i32; 7] =
            [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EINVAL, libc::ENODEV, libc::ENOSPC, libc::EUSERS];
        let forbidden = cause.errno().is_some_and(|errno| FORBIDDEN.contains(&errno));
        Refusal { why: format!("{what}: {cause}"), forbidden }
    }

    fn forbidden(why: impl Into<String>) -> Self {
        Refusal { why: why.into(), forbidden: true }
    }
}

fn at<T>(what: impl std::fmt::Display, result: std::result::Result<T, impl Cause>) -> Result<T> {
    result.map_err(|cause| Refusal::new(what, &cause))
}

struct Builder {
    /// Where the tmpfs is mounted while the root is put together.
    stage: PathBuf,
    user: bool,
    overlays: usize,
    missing: Vec<String>,
    mounts: Vec<MountInfo>,
}

/// Puts the root together and enters it. The caller is alone in a fresh mount namespace.
///
/// `user`: in a user namespace of an ordinary user.
pub(crate) fn enter(user: bool, request: &super::Request) -> Result<Root> {
    match make_private() {
        // Not the root of any mount: a chroot(2).
        Err(Errno::EINVAL) => mount_root()?,
        done => at("making mounts private", done)?,
    }
    let mounts = mounts_below("/")?;
    // Taken before anything is covered: the lower layers are named through these.
    let lowers: Vec<(MountInfo, OwnedFd)> = mounts
        .iter()
        .filter(|m| !user && holds_files(m))
        .filter_map(|m| Some((m.clone(), open(&m.mount_point, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?)))
        .collect();

    let stage = ["/tmp", "/var/tmp", "/run", "/mnt", "/media"].into_iter().map(PathBuf::from).find(|p| p.is_dir());
    let stage =
        stage.ok_or_else(|| Refusal::forbidden("no directory to mount a tmpfs on: none of /tmp, /run, /mnt"))?;
    let mut builder = Builder { stage, user, overlays: 0, missing: Vec::new(), mounts };
    let top = if user { Some(fs::read_dir("/").and_then(Iterator::collect::<io::Result<Vec<_>>>)) } else { None };
    // An ordinary user's directories are overlaid by path, so the one that the stage covers is kept reachable first.
    let covered = at(builder.stage.display(), open(&builder.stage, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()))?;
    let options = format!("mode=755,size={WRITABLE}");
    at(
        "mounting a tmpfs",
        mount(Some("tmpfs"), &builder.stage, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())),
    )?;
    let written = at("opening the tmpfs", open(&builder.stage, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))?;
    let root = builder.stage.join("root");
    for name in ["root", "written", "work"] {
        at("preparing the tmpfs", fs::create_dir(builder.stage.join(name)))?;
    }
    if let Some(top) = top {
        at("binding the new root", bind(&root, &root, false))?;
        builder.assemble_directory(&root, at("reading /", top)?, &covered)?;
        builder.open_up(&request.writable, &root, &covered);
    } else {
        for (info, lower) in &lowers {
            builder.overlay_mount(info, lower, &root)?;
        }
        if !lowers.iter().any(|(info, _)| info.mount_point == Path::new("/")) {
            return Err(Refusal::forbidden("the machine's root file system is of a kind that cannot be overlaid"));
        }
    }
    builder.system_directories(&root)?;
    let private = below(&root, Path::new(PRIVATE_DIRECTORY));
    at("making the private directory", fs::create_dir(&private).or_else(exists))?;
    let launch_directory = builder.launch_directory(&root, &request.directory, &request.documented)?;

    // pivot_root(2): new root and old root may be the same place; the old one then lies on top and is let go.
    at("entering the new root", nix::unistd::chdir(&root))?;
    at("pivot_root", nix::unistd::pivot_root(".", "."))?;
    at("letting go of the old root", umount2(".", MntFlags::MNT_DETACH))?;
    at("entering /", nix::unistd::chdir("/"))?;
    Ok(Root { written, launch_directory, missing: builder.missing })
}

fn make_private() -> nix::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}

/// Makes a root directory that is only a directory, as within a chroot, the root of a mount, which pivot_root(2) and private
/// mounts need. The caller is alone in a fresh mount namespace, of which it covers the root.
fn mount_root() -> Result<()> {
    let root = at("copying the mounts below / (open_tree)", sys::clone_mounts(c"/"))?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let namespace = at("/proc/self/ns/mnt", open("/proc/self/ns/mnt", flags, Mode::empty()))?;
    // Whoever enters a mount namespace, if only the one that it is in, has that one's root: setns(2).
    at("leaving the chroot (setns)", nix::sched::setns(namespace, CloneFlags::CLONE_NEWNS))?;
    at("making mounts private", make_private())?;
    at("mounting / (move_mount)", sys::attach_mounts(&root, c"/"))?;
    at("entering /", nix::unistd::fchdir(&root))?;
    at("entering / (chroot)", nix::unistd::chroot("."))?;
    at("making mounts private", make_private())
}

/// The topmost mount at each mount point below `top`, parents before children.
fn mounts_below(top: &str) -> Result<Vec<MountInfo>> {
    let bytes = at("/proc/self/mountinfo", fs::read("/proc/self/mountinfo"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let MountInfos(all) = MountInfos::from_buf_read(text.as_bytes())
        .map_err(|error| Refusal::forbidden(format!("/proc/self/mountinfo: {error}")))?;
    let mut kept: Vec<MountInfo> = Vec::new();
    for info in all {
        if info.mount_point.starts_with(top) {
            kept.retain(|other| other.mount_point != info.mount_point);
            kept.push(info);
        }
    }
    kept.sort_by_key(|info| info.mount_point.components().count());
    Ok(kept)
}

/// Whether a mount is part of what a subject may want to read or write, and not one of the kernel's faces.
fn holds_files(info: &MountInfo) -> bool {
    const FACES: &[&str] = &[
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup",
        "cgroup2",
        "securityfs",
        "debugfs",
        "tracefs",
        "pstore",
        "bpf",
        "configfs",
        "mqueue",
        "hugetlbfs",
        "autofs",
        "fusectl",
        "binfmt_misc",
        "rpc_pipefs",
        "nsfs",
        "efivarfs",
        "selinuxfs",
    ];
    !FACES.contains(&info.fs_type.as_str())
        && !["/proc", "/sys", "/dev"].iter().any(|face| info.mount_point.starts_with(face))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn bind(from: &Path, to: &Path, recursive: bool) -> nix::Result<()> {
    let flags = if recursive { MsFlags::MS_BIND | MsFlags::MS_REC } else { MsFlags::MS_BIND };
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
}

/// Makes `directory` read-only, inside the sandbox.
pub(crate) fn make_read_only(directory: &Path) -> nix::Result<()> {
    bind_read_only(directory, directory)
}

/// Gives the calling process, the first of a new pid namespace, a mount namespace with a /proc that shows that.
pub(crate) fn fresh_proc() -> nix::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    make_private()?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), quiet, None::<&str>)?;
    if nix::unistd::geteuid().is_root() { cover_knobs(Path::new("/proc")) } else { Ok(()) }
}

/// A root subject may set the sandbox's network knobs, and no others of this kernel.
fn cover_knobs(proc: &Path) -> nix::Result<()> {
    let knobs = proc.join("sys");
    bind_read_only(&knobs, &knobs)?;
    let net = knobs.join("net");
    let rw = MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    let _ = bind(&net, &net, false).and_then(|()| mount(None::<&str>, &net, None::<&str>, rw, None::<&str>));
    let _ = bind(Path::new("/dev/null"), &proc.join("sysrq-trigger"), false);
    Ok(())
}

/// A bind of what may be read but not written.
fn bind_read_only(from: &Path, to: &Path) -> nix::Result<()> {
    bind(from, to, false)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, to, None::<&str>, flags, None::<&str>).or_else(|_| {
        mount(None::<&str>, to, None::<&str>, flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV, None::<&str>)
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape or_else asks for")]
fn exists(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

impl Builder {
    /// Overlays `lower` at `target`. Its upper layer starts with the lower one's owner and mode, which an overlay shows.
    fn overlay(&mut self, lower: &Path, name: &Path, target: &Path) -> io::Result<()> {
        self.overlays += 1;
        let upper = self.stage.join("written").join(format!(
            "{}:{}",
            self.overlays,
            name.display().to_string().replace('/', "|")
        ));
        let work = self.stage.join("work").join(self.overlays.to_string());
        fs::create_dir(&upper)?;
        fs::create_dir(&work)?;
        let meta = fs::metadata(lower)?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        let _ = chown(&upper, Some(meta.uid()), Some(meta.gid()));
        let number = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        let (lower, upper, work) = (number(lower)?, number(&upper)?, number(&work)?);
        let extra = if self.user { ",userxattr" } else { "" };
        let options = format!(
            "lowerdir=/proc/self/fd/{},upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}{extra}",
            lower.as_raw_fd(),
            upper.as_raw_fd(),
            work.as_raw_fd()
        );
        mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        Ok(())
    }

    /// One of the machine's mounts, for root.
    fn overlay_mount(&mut self, info: &MountInfo, lower: &OwnedFd, root: &Path) -> Result<()> {
        let target = if info.mount_point == Path::new("/") { root.to_owned() } else { below(root, &info.mount_point) };
        let source = PathBuf::from(format!("/proc/self/fd/{}", lower.as_raw_fd()));
        let Ok(meta) = fs::metadata(&source) else { return Ok(()) };
        if meta.is_dir() {
            match self.overlay(&source, &info.mount_point, &target) {
                Ok(()) => return Ok(()),
                Err(error) if info.mount_point == Path::new("/") => return Err(Refusal::new("overlaying /", &error)),
                Err(_) => {}
            }
        }
        // A mount point that another mount has hidden is no loss.
        if target.symlink_metadata().is_ok() && bind_read_only(&source, &target).is_err() {
            self.missing.push(info.mount_point.display().to_string());
        }
        Ok(())
    }

    /// A directory that has mounts below it, made afresh from its entries (ordinary users).
    fn assemble_directory(&mut self, target: &Path, entries: Vec<fs::DirEntry>, covered: &OwnedFd) -> Result<()> {
        let mut files = 0;
        for entry in entries {
            let (source, place) = (entry.path(), target.join(entry.file_name()));
            if ["/proc", "/sys", "/dev"].iter().any(|face| source == Path::new(face)) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let reach = self.reach(&source, covered);
            let done = if kind.is_symlink() {
                fs::read_link(&reach).and_then(|to| symlink(to, &place))
            } else if kind.is_dir() {
                fs::create_dir(&place).and_then(|()| {
                    let mode = reach.metadata()?.mode() & 0o7777;
                    fs::set_permissions(&place, fs::Permissions::from_mode(mode))
                })
            } else if kind.is_file() && files < MOST_FILES_BOUND {
                files += 1;
                fs::write(&place, "").and_then(|()| Ok(bind_read_only(&reach, &place)?))
            } else {
                continue;
            };
            if done.is_err() {
                self.missing.push(source.display().to_string());
            } else if kind.is_dir() {
                self.directory_of_user(&source, &reach, &place, covered)?;
            }
        }
        Ok(())
    }

    /// Gives directories overlays of their own: an overlay cannot copy up a directory whose owner the namespace does not
    /// know, and so nothing could be written anywhere below one.
    fn open_up(&mut self, directories: &[PathBuf], root: &Path, covered: &OwnedFd) {
        for directory in directories {
            let mounts_inside =
                self.mounts.iter().any(|m| m.mount_point != *directory && m.mount_point.starts_with(directory));
            let place = below(root, directory);
            let face = ["/proc", "/sys", "/dev"].iter().any(|face| directory.starts_with(face));
            if mounts_inside || face || directory == Path::new("/") || !place.is_dir() {
                continue;
            }
            let reach = self.reach(directory, covered);
            if self.overlay(&reach, directory, &place).is_err() {
                self.missing.push(format!("a writable {}", directory.display()));
            }
        }
    }

    fn directory_of_user(&mut self, source: &Path, reach: &Path, place: &Path, covered: &OwnedFd) -> Result<()> {
        let mounts_inside = self.mounts.iter().any(|m| m.mount_point != *source && m.mount_point.starts_with(source));
        if !mounts_inside && self.overlay(reach, source, place).is_ok() {
            return Ok(());
        }
        match fs::read_dir(reach).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) if mounts_inside => self.assemble_directory(place, entries, covered),
            _ => {
                self.missing.push(source.display().to_string());
                Ok(())
            }
        }
    }

    /// The path under which `source` can still be reached although the stage covers its own.
    fn reach(&self, source: &Path, covered: &OwnedFd) -> PathBuf {
        match source.strip_prefix(&self.stage) {
            Ok(rest) => PathBuf::from(format!("/proc/self/fd/{}", covered.as_raw_fd())).join(rest),
            Err(_) => source.to_owned(),
        }
    }

    /// /proc, /sys and /dev: fresh where they show processes, terminals and shared memory; else no more than needed.
    fn system_directories(&mut self, root: &Path) -> Result<()> {
        for name in ["proc", "sys", "dev"] {
            at(name, fs::create_dir(root.join(name)).or_else(exists))?;
        }
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let proc = root.join("proc");
        at("mounting /proc", mount(Some("proc"), &proc, Some("proc"), quiet, None::<&str>))?;
        // A small file with a small number in it is not a PID file by chance: ids begin where such numbers are rare.
        let _ = fs::write(proc.join("sys/kernel/ns_last_pid"), FIRST_PID);
        if !self.user {
            at("covering /proc/sys", cover_knobs(&proc))?;
        }
        let sys = root.join("sys");
        let path = CString::new(sys.as_os_str().as_bytes()).map_err(|e| Refusal::forbidden(format!("/sys: {e}")))?;
        let shown = bind(Path::new("/sys"), &sys, true).is_ok() && sys::set_mounts_read_only(&path).is_ok();
        // Before Linux 5.12 mounts are made read-only one by one; the ones below are then left out.
        if !shown {
            let _ = umount2(&sys, MntFlags::MNT_DETACH);
            if bind_read_only(Path::new("/sys"), &sys).is_err() {
                self.missing.push("/sys".to_owned());
            }
        }
        self.devices(&root.join("dev"))
    }

    fn devices(&mut self, dev: &Path) -> Result<()> {
        at("mounting /dev", mount(Some("tmpfs"), dev, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755,size=1m")))?;
        for name in ["null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"] {
            let (source, place) = (Path::new("/dev").join(name), dev.join(name));
            if !source.exists() {
                continue;
            }
            if let Some(parent) = place.parent() {
                at("making /dev", fs::create_dir_all(parent))?;
            }
            at("making /dev", fs::write(&place, ""))?;
            at(format_args!("binding /dev/{name}"), bind(&source, &place, false))?;
        }
        for (name, to) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            at("making /dev", symlink(to, dev.join(name)))?;
        }
        for name in ["pts", "shm", "mqueue"] {
            at("making /dev", fs::create_dir(dev.join(name)))?;
        }
        let noexec = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let options = "newinstance,ptmxmode=0666,mode=620";
        at("mounting /dev/pts", mount(Some("devpts"), &dev.join("pts"), Some("devpts"), noexec, Some(options)))?;
        let shm = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        at(
            "mounting /dev/shm",
            mount(Some("tmpfs"), &dev.join("shm"), Some("tmpfs"), shm, Some("mode=1777,size=256m")),
        )?;
        let _ = mount(Some("mqueue"), &dev.join("mqueue"), Some("mqueue"), noexec, None::<&str>);
        Ok(())
    }

    /// Puts the launch directory on a mount of its own, so that it can be taken away.
    fn launch_directory(&mut self, root: &Path, directory: &Path, documented: &Path) -> Result<PathBuf> {
        let source = below(root, directory);
        let face = ["/proc", "/sys", "/dev"].iter().any(|face| directory.starts_with(face));
        let usable = directory != Path::new("/") && directory != documented && !face && source.is_dir();
        let place = if usable { directory.to_owned() } else { PathBuf::from(SPARE_LAUNCH_DIRECTORY) };
        let target = below(root, &place);
        if !usable {
            at("making a launch directory", fs::create_dir(&target).or_else(exists))?;
        }
        let from = if source.is_dir() { source } else { target.clone() };
        // "/" holds the kernel's faces; below a launch directory of one's own nothing else is mounted without reason.
        at("mounting the launch directory", bind(&from, &target, directory != Path::new("/")))?;
        Ok(place)
    }
}
