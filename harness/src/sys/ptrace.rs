//! Tracing another thread's system calls (ptrace(2), seccomp(2)).

use crate::observation::Pid;
use nix::errno::Errno;
use std::io;

/// What the tracer is told of, besides the calls that a filter picks: births and executed programs. Tracees end with it.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

/// How a stopped thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// To the next call that the filter picks.
    On,
    /// To the end of the call it is in.
    ToEndOfCall,
    /// It stays stopped, as job control wants it, until SIGCONT.
    Listen,
}

/// Where a stopped thread is in a system call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stopped {
    /// About to make it.
    Entry {
        /// Its number in the table of its architecture.
        number: i64,
        /// Its arguments, as the registers have them.
        arguments: [u64; 6],
    },
    /// Back from it, with what it returned: a negative errno, or the result.
    Exit(i64),
}

/// A stopped thread's call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemCall {
    /// The architecture by which it is made (AUDIT_ARCH_*).
    pub(crate) architecture: u32,
    /// Where in the program.
    pub(crate) instruction: u64,
    /// Which.
    pub(crate) stopped: Stopped,
}

/// Any child or tracee that has changed, and its wait status; `None` where there is none (waitpid(2)).
///
/// The raw status, since a real-time signal has no name.
pub(crate) fn wait_any() -> Option<(Pid, libc::c_int)> {
    wait(libc::WNOHANG)
}

/// The same, once there is one; `None` when a signal has come first ([`super::Lulls`]).
pub(crate) fn await_any() -> Option<(Pid, libc::c_int)> {
    wait(0)
}

fn wait(flags: libc::c_int) -> Option<(Pid, libc::c_int)> {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, flags | libc::__WALL) };
    (pid > 0).then_some((pid, status))
}

/// Whether a child or tracee has changed and has not yet been taken in (waitid(2)).
pub(crate) fn is_any_waiting() -> bool {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all zeroes is a valid siginfo_t, which the kernel fills; it lives through the call.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    // SAFETY: of a child that has changed the field is set, and else still zero.
    done == 0 && unsafe { info.si_pid() } != 0
}

/// Begins to trace a thread and all that comes of it, without stopping it.
pub(crate) fn seize(tid: Pid) -> nix::Result<()> {
    // SAFETY: plain integers.
    let done = unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0 as libc::c_long, OPTIONS as libc::c_long) };
    Errno::result(done).map(drop)
}

/// Lets a stopped thread go on, with a signal or none. One that was killed meanwhile is no matter.
pub(crate) fn resume(tid: Pid, how: Resume, signal: i32) {
    let request = match how {
        Resume::On => libc::PTRACE_CONT,
        Resume::ToEndOfCall => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    // SAFETY: plain integers.
    unsafe { libc::ptrace(request, tid, 0 as libc::c_long, libc::c_long::from(signal)) };
}

/// What a stop's event is about: the new process's id, the former thread's.
pub(crate) fn event_message(tid: Pid) -> nix::Result<Pid> {
    nix::sys::ptrace::getevent(nix::unistd::Pid::from_raw(tid)).map(|number| number as Pid)
}

/// The call that a stopped thread is in (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
pub(crate) fn system_call(tid: Pid) -> nix::Result<SystemCall> {
    let info = nix::sys::ptrace::syscall_info(nix::unistd::Pid::from_raw(tid))?;
    // SAFETY: `op` says which member of the union the kernel has filled.
    let stopped = unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                Stopped::Entry { number: info.u.entry.nr as i64, arguments: info.u.entry.args }
            }
            libc::PTRACE_SYSCALL_INFO_SECCOMP => {
                Stopped::Entry { number: info.u.seccomp.nr as i64, arguments: info.u.seccomp.args }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => Stopped::Exit(info.u.exit.sval),
            _ => return Err(Errno::EINVAL),
        }
    };
    Ok(SystemCall { architecture: info.arch, instruction: info.instruction_pointer, stopped })
}

/// Eight bytes of a stopped thread's memory.
pub(crate) fn word(tid: Pid, address: u64) -> Option<u64> {
    let word = nix::sys::ptrace::read(nix::unistd::Pid::from_raw(tid), address as nix::sys::ptrace::AddressType);
    word.ok().map(|word| word as u64)
}

/// Whether a call can be made to fail here.
pub(crate) const CAN_STEER: bool = cfg!(target_arch = "x86_64");

/// Keeps a thread that is about to make a call from making it: it gets `result` instead (seccomp(2), SECCOMP_RET_TRACE).
pub(crate) fn replace_call(tid: Pid, result: i64) -> nix::Result<()> {
    change(tid, |registers| {
        registers.skip_call();
        registers.set_result(result);
    })
}

/// Has a thread that is back from a call see another result.
pub(crate) fn replace_result(tid: Pid, result: i64) -> nix::Result<()> {
    change(tid, |registers| registers.set_result(result))
}

/// Changes the third argument of a call that a thread is about to make.
pub(crate) fn replace_third_argument(tid: Pid, value: u64) -> nix::Result<()> {
    change(tid, |registers| registers.set_third_argument(value))
}

/// The registers that steer a call.
trait Registers {
    fn skip_call(&mut self);
    fn set_result(&mut self, result: i64);
    fn set_third_argument(&mut self, value: u64);
}

#[cfg(target_arch = "x86_64")]
impl Registers for libc::user_regs_struct {
    fn skip_call(&mut self) {
        self.orig_rax = u64::MAX;
    }

    fn set_result(&mut self, result: i64) {
        self.rax = result as u64;
    }

    fn set_third_argument(&mut self, value: u64) {
        self.rdx = value;
    }
}

#[cfg(target_arch = "x86_64")]
fn change(tid: Pid, how: impl FnOnce(&mut dyn Registers)) -> nix::Result<()> {
    let tid = nix::unistd::Pid::from_raw(tid);
    let mut registers = nix::sys::ptrace::getregs(tid)?;
    how(&mut registers);
    nix::sys::ptrace::setregs(tid, registers)
}

#[cfg(not(target_arch = "x86_64"))]
fn change(_: Pid, _: impl FnOnce(&mut dyn Registers)) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Has the calling process, and all it forks and executes, stop for its tracer at the calls that `filter` picks. Without a
/// tracer they fail.
pub(crate) fn install_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` and the filter it points to live through the call, which only reads them.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the caller may install a filter without giving up what setuid programs give (PR_SET_NO_NEW_PRIVS): that takes
/// CAP_SYS_ADMIN in its user namespace.
pub(crate) fn may_filter() -> bool {
    // SAFETY: a null filter is never read: the answer is EFAULT where all else is in order (seccomp(2)).
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, std::ptr::null::<libc::sock_fprog>())
    };
    done < 0 && Errno::last() == Errno::EFAULT
}
