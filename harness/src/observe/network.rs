//! Whether something listens at an address, read from /proc and not by connecting: a connection would be the first thing
//! the daemon serves.

use super::read_proc;
use std::net::SocketAddr;

/// State 0A of /proc/net/tcp (proc_net_tcp(5)).
const LISTEN: &str = "0A";

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
    fn sees_a_socket_of_its_own() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listens(socket.local_addr().unwrap()));
    }
}
