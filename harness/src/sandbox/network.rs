//! The sandbox's network: loopback up, and one more interface with an address.
//!
//! With loopback alone, getaddrinfo(3) under AI_ADDRCONFIG refuses even 127.0.0.1, and daemons fail to start that would
//! start anywhere else. A veth pair is in every kernel; its addresses are those that RFC 5737 and RFC 3849 set aside
//! for documentation. There is no route out: a connection elsewhere fails at once instead of hanging.

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::os::fd::AsRawFd;

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Usable at once: no duplicate address detection.
const IFA_F_NODAD: u8 = 0x02;
const LOOPBACK: i32 = 1;
/// Above what tunnel modules create by themselves in a new namespace.
const PAIR: [i32; 2] = [1001, 1002];

/// One rtnetlink message under construction (rtnetlink(7)).
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST | ACK).to_ne_bytes());
        bytes.extend_from_slice(header);
        Message(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.0.len();
        self.attribute(kind, &[]);
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// struct ifinfomsg: the interface `index`, brought up, or left as it is.
fn interface(index: i32, up: bool) -> [u8; 16] {
    let flags = if up { (libc::IFF_UP as u32).to_ne_bytes() } else { [0; 4] };
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags);
    header[12..16].copy_from_slice(&flags);
    header
}

fn veth_pair() -> Message {
    // Neither end can be brought up before the other is there.
    let mut message = Message::new(NEWLINK, CREATE_EXCLUSIVE, &interface(PAIR[0], false));
    message.attribute(IFLA_IFNAME, b"eth0\0");
    message.nested(IFLA_LINKINFO, |info| {
        info.attribute(IFLA_INFO_KIND, b"veth");
        info.nested(IFLA_INFO_DATA, |data| {
            data.nested(VETH_INFO_PEER, |peer| {
                peer.0.extend_from_slice(&interface(PAIR[1], false));
                peer.attribute(IFLA_IFNAME, b"eth1\0");
            });
        });
    });
    message
}

/// struct ifaddrmsg and the address, on the pair's near end.
fn address(family: i32, prefix: u8, bytes: &[u8]) -> Message {
    let mut header = [0; 8];
    header[0] = u8::try_from(family).unwrap_or_default();
    header[1] = prefix;
    header[2] = IFA_F_NODAD;
    header[4..8].copy_from_slice(&PAIR[0].to_ne_bytes());
    let mut message = Message::new(NEWADDR, CREATE_EXCLUSIVE, &header);
    message.attribute(IFA_LOCAL, bytes);
    message.attribute(IFA_ADDRESS, bytes);
    message
}

/// Sends one message and reads the kernel's answer: 0, or minus an errno (netlink(7), NLMSG_ERROR).
fn ask(socket: i32, message: Message) -> nix::Result<()> {
    use nix::sys::socket::{MsgFlags, recv, send};
    send(socket, &message.finish(), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let got = recv(socket, &mut answer, MsgFlags::empty())?;
    let code: [u8; 4] = answer.get(16..20).filter(|_| got >= 20).and_then(|b| b.try_into().ok()).unwrap_or_default();
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(nix::errno::Errno::from_raw(-code)),
    }
}

/// Brings the network of the caller's namespace up; returns what of it is missing, for a warning.
///
/// # Errors
/// When loopback cannot be brought up.
pub(crate) fn bring_up() -> nix::Result<Vec<String>> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let fd = socket.as_raw_fd();
    let up = |index| Message::new(NEWLINK, 0, &interface(index, true));
    ask(fd, up(LOOPBACK))?;
    let second = ask(fd, veth_pair())
        .and_then(|()| ask(fd, up(PAIR[0])))
        .and_then(|()| ask(fd, up(PAIR[1])))
        .and_then(|()| ask(fd, address(libc::AF_INET, 24, &[192, 0, 2, 1])));
    let Err(error) = second else {
        // A kernel without IPv6 goes without.
        let documentation = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let _ = ask(fd, address(libc::AF_INET6, 64, &documentation));
        return Ok(Vec::new());
    };
    Ok(vec![format!("a second network interface ({error}), without which some programs find no address for localhost")])
}
