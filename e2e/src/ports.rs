//! Ports for servers that come back on the port they had.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{IoContext, Result};

/// The ports that were given away. An operator that still polls a server of before must never find another one's repository under
/// the same address: it would take the new server's for the one that it knows.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// Binds a free port of the loopback interface that this process did not have before. It lies below the range from
/// which the kernel takes ports of outgoing connections, so that it is still
/// free when a server that was stopped binds it again.
pub(crate) fn bind() -> Result<TcpListener> {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 8_000;
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.subsec_micros());
    for attempt in 0..200 {
        let offset = seed
            .wrapping_add(std::process::id())
            .wrapping_add(attempt * 97)
            % COUNT;
        let Ok(port) = u16::try_from(FIRST + offset) else {
            continue;
        };
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            && is_new(port)
        {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("binding a port of", "127.0.0.1")
}

/// An address that [`bind`] could have had, for a program that binds it itself.
pub(crate) fn free() -> Result<SocketAddr> {
    bind()?.local_addr().doing("binding a port of", "127.0.0.1")
}

fn is_new(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    given.get_or_insert_default().insert(port)
}
