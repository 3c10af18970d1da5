//! Binding ports: the addresses of a host, all with one port number.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Interface;

/// Number of attempts to bind the same free port on all addresses.
const ATTEMPTS: usize = 16;

/// Binds every address of an interface; port 0 becomes the same free port on all of them.
pub fn bind(host: &Interface, port: u16, backlog: i32) -> io::Result<Vec<TcpListener>> {
    let both = |v4: Ipv4Addr, v6: Ipv6Addr| vec![(v4, port).into(), (v6, port).into()];
    // A machine without IPv6 still has a loopback.
    let (addresses, all) = match host {
        Interface::Named(host) => (addresses(host, port)?, true),
        Interface::Loopback => (both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST), false),
        Interface::Every => (both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED), false),
    };
    let attempts = if port == 0 { ATTEMPTS } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..attempts {
        match bind_all(&addresses, all, backlog) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = (host, port).to_socket_addrs();
    // The resolver has words of its own for each way in which there is none.
    let none = |error| io::Error::new(io::ErrorKind::NotFound, error);
    Ok(found.map_err(none)?.collect())
}

fn bind_all(addresses: &[SocketAddr], all: bool, backlog: i32) -> io::Result<Vec<TcpListener>> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let mut address = *address;
        if let Some(first) = sockets.first() {
            address.set_port(first.local_addr()?.port());
        }
        match bind_one(address, backlog) {
            Ok(socket) => sockets.push(socket),
            Err(error)
                if !all
                    && address.is_ipv6()
                    && !sockets.is_empty()
                    && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() {
        Err(io::ErrorKind::AddrNotAvailable.into())
    } else {
        Ok(sockets)
    }
}

fn bind_one(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}
