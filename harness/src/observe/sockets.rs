//! The TCP sockets that listen, as the kernel tells them by sock_diag(7).
//!
//! /proc/net/tcp says the same, and behind the listening sockets it goes through the whole machine's table of connections, whoever
//! they belong to: on a machine with much memory that takes milliseconds each time. It is read where there is no sock_diag.

use super::read_proc;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use procfs_core::net::{TcpNetEntries, TcpState};
use procfs_core::{ExplicitSystemInfo, FromBufReadSI};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// The listening sockets of this network namespace: inode and address.
pub(super) fn listening() -> Vec<(u64, SocketAddr)> {
    let families = [(AF_INET, "/proc/self/net/tcp"), (AF_INET6, "/proc/self/net/tcp6")];
    families.iter().flat_map(|(family, table)| asked(*family).or_else(|| read(table)).unwrap_or_default()).collect()
}

/// Those of one address family; `None` where the kernel does not tell, or not all.
fn asked(family: u8) -> Option<Vec<(u64, SocketAddr)>> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag).ok()?;
    send(netlink.as_raw_fd(), &request(family), MsgFlags::empty()).ok()?;
    let mut found = Vec::new();
    // The kernel writes no more than this at a time (netlink(7)).
    let mut answer = [0; 32768];
    loop {
        let got = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let mut rest = answer.get(..got).filter(|answer| !answer.is_empty())?;
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).ok()?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    let id = &response.header.socket_id;
                    let address = SocketAddr::new(id.source_address, id.source_port);
                    found.push((u64::from(response.header.inode), address));
                }
                NetlinkPayload::Done(_) => return Some(found),
                _ => return None,
            }
            // The next one begins at a multiple of four.
            rest = rest.get((message.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The same from a table of /proc (proc_net_tcp(5)).
fn read(table: &str) -> Option<Vec<(u64, SocketAddr)>> {
    // Of the machine that is all that counts for a table of sockets.
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 0,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let entries = TcpNetEntries::from_buf_read(read_proc(table).ok()?.as_slice(), &system).ok()?;
    let listening = entries.0.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Some(listening.map(|entry| (entry.inode, entry.local_address)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn both_ways_find_a_socket() {
        for (address, family, table) in
            [("127.0.0.1:0", AF_INET, "/proc/self/net/tcp"), ("[::1]:0", AF_INET6, "/proc/self/net/tcp6")]
        {
            // A kernel without IPv6 has nothing to find.
            let Ok(socket) = TcpListener::bind(address) else { continue };
            let address = socket.local_addr().unwrap();
            for found in [asked(family), read(table)] {
                let found = found.unwrap_or_else(|| panic!("{address}: not told"));
                assert_eq!(found.iter().filter(|(_, at)| *at == address).count(), 1, "{address} in {found:?}");
            }
        }
    }

    #[test]
    fn a_socket_that_is_connected_does_not_listen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = connected.local_addr().unwrap();
        for found in [asked(AF_INET), read("/proc/self/net/tcp")] {
            assert!(found.unwrap().iter().all(|(_, at)| *at != own));
        }
    }
}
