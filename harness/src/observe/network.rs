//! Whether something listens at an address, asked of the kernel and not by connecting: a connection would be the first
//! thing the daemon serves.

use super::{read_proc, sockets};
use crate::observation::{Endpoint, FileKind, Listener, Process, Text};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Flag of /proc/net/unix: the socket listens (__SO_ACCEPTCON).
const ACCEPTS: u32 = 0x1_0000;

/// Where the processes listen, each socket once.
pub(crate) fn listeners(members: &[Process]) -> Vec<Listener> {
    let tcp = sockets::listening().into_iter().map(|(inode, address)| (inode, Endpoint::Tcp(address)));
    let mut open: BTreeMap<u64, Endpoint> = tcp.collect();
    let lines = read_proc("/proc/self/net/unix").unwrap_or_default();
    open.extend(lines.split(|b| *b == b'\n').filter_map(unix_listener));
    let sockets = members.iter().flat_map(|p| p.descriptors.iter().flatten().map(|d| (p.pid, d)));
    let mut found: Vec<Listener> = sockets
        .filter(|(_, d)| d.kind == FileKind::Socket)
        .filter_map(|(pid, d)| Some(Listener { pid, fd: d.fd, at: open.remove(&d.inode)? }))
        .collect();
    found.sort_by(|a, b| a.at.cmp(&b.at));
    found
}

/// The inode and name of a listening socket, from a line of /proc/net/unix: seven words, one blank, the name.
fn unix_listener(line: &[u8]) -> Option<(u64, Endpoint)> {
    let mut rest = line;
    let mut words = [""; 7];
    for word in &mut words {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (found, after) = rest.split_at(end);
        (*word, rest) = (std::str::from_utf8(found).ok()?, after);
    }
    let [_, _, _, flags, _, _, inode] = words;
    let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty())?;
    let listens = u32::from_str_radix(flags, 16).ok()? & ACCEPTS != 0;
    listens.then_some((inode.parse().ok()?, Endpoint::Unix(Text::new(name))))
}

/// Whether a TCP socket of this network namespace listens at `address`, or at that port of every address.
pub(crate) fn listens(address: SocketAddr) -> bool {
    sockets::listening().iter().any(|(_, at)| serves(*at, address))
}

fn serves(listening: SocketAddr, address: SocketAddr) -> bool {
    // A socket of IPv6 may have an address of IPv4.
    let at = listening.ip().to_canonical();
    listening.port() == address.port() && (at.is_unspecified() || at == address.ip().to_canonical())
}

/// Whether the socket with that inode is a connected stream socket of the UNIX domain (proc_net_unix(5)).
pub(crate) fn is_local_stream(inode: u64) -> bool {
    let inode = inode.to_string();
    read_proc("/proc/self/net/unix").is_ok_and(|bytes| {
        String::from_utf8_lossy(&bytes).lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words.as_slice(), [_, _, _, _, "0001", "03", found, ..] if *found == inode)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_address_of_a_port_serves_each() {
        let at = |address: &str| address.parse::<SocketAddr>().unwrap();
        assert!(serves(at("127.0.0.1:80"), at("127.0.0.1:80")));
        assert!(serves(at("0.0.0.0:80"), at("127.0.0.1:80")) && serves(at("[::]:80"), at("[::1]:80")));
        assert!(serves(at("[::ffff:127.0.0.1]:80"), at("127.0.0.1:80")));
        assert!(!serves(at("127.0.0.1:81"), at("127.0.0.1:80")) && !serves(at("127.0.0.2:80"), at("127.0.0.1:80")));
    }

    #[test]
    fn reads_where_a_socket_listens() {
        let unix = b"0000000000000000: 00000002 00000000 00010000 0001 01  1234 /run/a b.sock";
        assert_eq!(unix_listener(unix), Some((1234, Endpoint::Unix(Text::new(b"/run/a b.sock")))));
        assert_eq!(unix_listener(b"0000000000000000: 00000003 00000000 00000000 0001 03  1234 /run/x"), None);
        assert_eq!(unix_listener(b"Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }

    #[test]
    fn finds_the_sockets_of_a_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let tcp =
            std::net::TcpListener::bind("[::1]:0").or_else(|_| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let me = super::super::process(nix::unistd::getpid().as_raw()).unwrap();
        let found: Vec<Endpoint> = listeners(&[me.clone(), me]).into_iter().map(|l| l.at).collect();
        let wanted = [
            Endpoint::Tcp(tcp.local_addr().unwrap()),
            Endpoint::Unix(Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))),
        ];
        for endpoint in wanted {
            assert_eq!(found.iter().filter(|f| **f == endpoint).count(), 1, "{endpoint:?} in {found:?}");
        }
    }

    #[test]
    fn sees_a_socket_of_its_own() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listens(socket.local_addr().unwrap()));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unix_listener(&line);
        }
    }
}
