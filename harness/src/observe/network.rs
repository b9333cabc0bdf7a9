//! Whether something listens at an address, read from /proc and not by connecting: a connection would be the first thing
//! the daemon serves.

use super::read_proc;
use crate::observation::{Endpoint, FileKind, Listener, Process, Text};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State 0A of /proc/net/tcp (proc_net_tcp(5)).
const LISTEN: &str = "0A";

/// Flag of /proc/net/unix: the socket listens (__SO_ACCEPTCON).
const ACCEPTS: u32 = 0x1_0000;

/// Where the processes listen, each socket once.
pub(crate) fn listeners(members: &[Process]) -> Vec<Listener> {
    let mut open: BTreeMap<u64, Endpoint> = BTreeMap::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let lines = read_proc(table).unwrap_or_default();
        open.extend(String::from_utf8_lossy(&lines).lines().filter_map(tcp_listener));
    }
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

/// The inode and address of a listening socket, from a line of /proc/net/tcp or tcp6.
fn tcp_listener(line: &str) -> Option<(u64, Endpoint)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    let (host, port) = local.split_once(':')?;
    if *state != LISTEN {
        return None;
    }
    // Each group of eight digits is a word in the machine's own byte order.
    let group = |at: usize| u32::from_str_radix(host.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(group(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                place.copy_from_slice(&group(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    let address = SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?);
    Some((inode.parse().ok()?, Endpoint::Tcp(address)))
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
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().any(|table| {
        read_proc(table)
            .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).lines().any(|line| listens_line(line, address)))
    })
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

fn listens_line(line: &str, address: SocketAddr) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else { return false };
    let Some((host, port)) = local.split_once(':') else { return false };
    if state != LISTEN || u16::from_str_radix(port, 16) != Ok(address.port()) {
        return false;
    }
    let wildcard = host.bytes().all(|b| b == b'0');
    let exact = match address {
        SocketAddr::V4(v4) => host == format!("{:08X}", u32::from_ne_bytes(v4.ip().octets())),
        SocketAddr::V6(v6) => {
            let words = v6.ip().octets();
            let shown: String = words
                .chunks_exact(4)
                .filter_map(|w| Some(format!("{:08X}", u32::from_ne_bytes(w.try_into().ok()?))))
                .collect();
            host == shown
        }
    };
    wildcard || exact
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_kernel_s_table() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        assert!(listens_line(line, "127.0.0.1:8080".parse().unwrap()));
        assert!(!listens_line(line, "127.0.0.1:8081".parse().unwrap()));
        assert!(!listens_line(line, "127.0.0.2:8080".parse().unwrap()));
        assert!(!listens_line(&line.replace(" 0A ", " 01 "), "127.0.0.1:8080".parse().unwrap()));
        let any = line.replace("0100007F", "00000000");
        assert!(listens_line(&any, "127.0.0.1:8080".parse().unwrap()));
        assert!(!listens_line("  sl  local_address rem_address   st", "127.0.0.1:8080".parse().unwrap()));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_where_a_socket_listens() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0";
        assert_eq!(tcp_listener(v4), Some((77, Endpoint::Tcp("127.0.0.1:8080".parse().unwrap()))));
        let v6 = v4.replace("0100007F", "B80D0120000000000000000001000000");
        assert_eq!(tcp_listener(&v6), Some((77, Endpoint::Tcp("[2001:db8::1]:8080".parse().unwrap()))));
        assert_eq!(tcp_listener(&v4.replace(" 0A ", " 01 ")), None);
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
            let _ = tcp_listener(&String::from_utf8_lossy(&line));
        }

        #[test]
        fn a_line_with_any_words_is_read_without_panic(host in "[0-9A-Fé]{0,40}", port in "[0-9A-F]{0,6}") {
            let _ = tcp_listener(&format!("0: {host}:{port} 0:0 0A 0 0 0 0 0 5 1"));
        }
    }
}
