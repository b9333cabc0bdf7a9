//! Speaking with a supervised subject as a supervisor does: hearing what it says (sd_notify(3)), by whose word and how things
//! stood then, and passing it a socket (sd_listen_fds(3)).

use super::events::is_readable;
use super::{Acted, Start, World, system};
use crate::observation::{Notice, Seen, Text};
use crate::subject::Ready;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, recvmsg,
    setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::fs;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// How many messages are kept; of those above, only the ones that something is judged by.
const MOST_KEPT: usize = 200;
/// How many are taken in before the rest of the world gets its turn.
const TURN: usize = 50;
/// How long something that only looks now and then is given to find a connection.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// The socket that NOTIFY_SOCKET names, and what came there.
pub(super) struct NotifySocket {
    socket: OwnedFd,
    path: OsString,
    heard: Vec<Notice>,
    /// How many of them were heard before the last start.
    earlier: usize,
}

impl NotifySocket {
    /// The variable that tells the subject of it.
    pub(super) fn variable(&self) -> (OsString, OsString) {
        (OsString::from("NOTIFY_SOCKET"), self.path.clone())
    }

    /// A start begins.
    pub(super) fn begin(&mut self) {
        self.earlier = self.heard.len();
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message and who sent it, without waiting. There is no room for descriptors, so that the kernel closes what
    /// comes with a message: that is the answer that sd_notify_barrier(3) waits for.
    fn receive(&self) -> nix::Result<(i32, Text)> {
        let mut bytes = [0; Text::LIMIT];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let length = message.bytes;
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        Ok((sender.unwrap_or_default(), Text::new(&bytes[..length])))
    }
}

impl World<'_> {
    /// Opens the socket that NOTIFY_SOCKET names in every start from now on.
    pub(crate) fn listen_for_notices(&mut self) -> Acted {
        if self.notify_socket.is_some() {
            return Ok(());
        }
        // A path and no abstract name: whoever speaks the protocol by hand may know of no other kind.
        let mut path = self.private.as_os_str().to_owned();
        path.push(".notify");
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = system("notify socket", socket(AddressFamily::Unix, SockType::Datagram, flags, None))?;
        system("notify socket", setsockopt(&socket, sockopt::PassCred, &true))?;
        let address = system("notify socket", UnixAddr::new(path.as_os_str()))?;
        system("notify socket", bind(socket.as_raw_fd(), &address))?;
        // Whatever account the subject assumes.
        system("notify socket", fs::set_permissions(&path, fs::Permissions::from_mode(0o777)))?;
        self.residue.push(path.clone().into());
        self.notify_socket = Some(NotifySocket { socket, path, heard: Vec::new(), earlier: 0 });
        Ok(())
    }

    /// Takes in what the subject has said.
    pub(super) fn hear(&mut self) {
        let Some(socket) = &self.notify_socket else { return };
        let messages: Vec<(i32, Text)> = (0..TURN).map_while(|_| socket.receive().ok()).collect();
        if messages.is_empty() {
            return;
        }
        let ready = self.shows_ready(&self.member_pids());
        let Some(socket) = &mut self.notify_socket else { return };
        for (sender, text) in messages {
            let notice = Notice { sender, text, ready };
            let room = if notice.says("READY=1") || notice.says("STOPPING=1") { 2 * MOST_KEPT } else { MOST_KEPT };
            if socket.heard.len() < room {
                socket.heard.push(notice);
            }
        }
    }

    /// Whether the subject has said that it is ready since it was started; where nobody listens, it need not.
    pub(super) fn has_said_ready(&self) -> bool {
        let declared = self.subject.ready.contains(&Ready::Notify);
        let Some(socket) = self.notify_socket.as_ref().filter(|_| declared) else { return true };
        socket.says_ready()
    }

    /// Waits until the subject has said that it is ready, or cannot be expected to any more.
    pub(crate) fn await_notice(&mut self) -> Acted<bool> {
        let deadline = self.deadline();
        self.await_turns(deadline, |world| Ok(world.notify_socket.as_ref().is_none_or(NotifySocket::says_ready)))
    }

    /// Moves what was heard into the record.
    pub(super) fn record_notices(&mut self) {
        self.hear();
        if let Some(socket) = self.notify_socket.take() {
            self.record("notices", Seen::Notices(socket.heard));
        }
    }

    /// A start with a listening socket at descriptor 3 that is meant for somebody else: for init.
    pub(crate) fn start_with_a_socket_for_another(&self) -> Acted<(Start, TcpListener)> {
        let listener = system("listening", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let mut start = self.start();
        let words = [("LISTEN_FDS", "1".to_owned()), ("LISTEN_PID", self.init.to_string())];
        start.inheritance.variables.extend(words.map(|(name, value)| (name.into(), value.into())));
        start.listener = Some(system("dup", listener.try_clone())?.into());
        Ok((start, listener))
    }

    /// Connects to the listener, and looks whether anybody accepts that. Init's own descriptor keeps the listener there and
    /// the connection waiting, whatever becomes of the subject's.
    pub(crate) fn connect(&mut self, listener: &TcpListener) -> Acted {
        let address = system("listening", listener.local_addr())?;
        let connection = TcpStream::connect_timeout(&address, self.subject.timeout);
        self.record("connected", Seen::Fact(connection.is_ok()));
        let deadline = self.sooner(self.deadline(), LONGEST_LOOK);
        // The queue of connections that nobody has accepted yet is what a listener is readable by.
        let accepted = self.await_turns(deadline, |_| Ok(!is_readable(listener.as_fd())))?;
        self.record("accepted", Seen::Fact(connection.is_ok() && accepted));
        Ok(())
    }
}

impl NotifySocket {
    fn says_ready(&self) -> bool {
        self.heard[self.earlier..].iter().any(|notice| notice.says("READY=1"))
    }
}
