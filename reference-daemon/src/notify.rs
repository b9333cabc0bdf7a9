//! What a daemon that stays in the foreground says to its supervisor: sd_notify(3).

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// The supervisor's socket, where there is one.
#[derive(Debug)]
pub struct Supervisor(Option<(UnixDatagram, SocketAddr)>);

impl Supervisor {
    /// Takes the socket's name out of the environment, so that no child speaks for the daemon.
    ///
    /// *Source:* sd_notify(3), daemon(7) "New-Style Daemons": "notify the init system about service startup
    /// completion". A name that begins with `@` is an abstract one.
    ///
    /// A supervisor that cannot be reached does not keep the daemon from running.
    ///
    /// # Safety
    ///
    /// No other thread may exist: the environment has no lock that all of a C library heeds.
    pub unsafe fn from_environment() -> Self {
        let Some(name) = env::var_os(VARIABLE) else {
            return Self(None);
        };
        // SAFETY: the caller's promise.
        unsafe { env::remove_var(VARIABLE) };
        Self(address(&name).and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    /// Initialisation, or a reload, is complete.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// A reload begins.
    pub fn reloading(&self) {
        let now =
            clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The end begins.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, message: &str) {
        if let Some((socket, address)) = &self.0 {
            // It has gone, or does not listen: then it does not need to know.
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn address(name: &OsString) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;

    fn heard_at(name: &str, socket: &UnixDatagram) {
        // SAFETY: the process is the test's own, and its other thread only waits.
        let supervisor = unsafe {
            env::set_var(VARIABLE, name);
            Supervisor::from_environment()
        };
        assert_eq!(env::var_os(VARIABLE), None);
        let mut text = [0; 100];
        supervisor.ready();
        let length = socket.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
        supervisor.reloading();
        let length = socket.recv(&mut text).unwrap();
        assert!(text[..length].starts_with(b"RELOADING=1\nMONOTONIC_USEC="));
    }

    rusty_fork_test! {
        #[test]
        fn a_socket_in_the_file_system_is_spoken_to() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            heard_at(path.to_str().unwrap(), &UnixDatagram::bind(&path).unwrap());
        }

        #[test]
        fn an_abstract_socket_is_spoken_to() {
            let name = format!("reference-daemon-{}", std::process::id());
            let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
            heard_at(&format!("@{name}"), &socket);
        }

        #[test]
        fn without_one_nothing_is_said() {
            // SAFETY: as above.
            unsafe { Supervisor::from_environment() }.ready();
        }
    }
}
