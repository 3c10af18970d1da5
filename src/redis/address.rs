//! From the URL of an engine to a client that finds it.

use ::redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::config::{EngineUrl, Place};

/// A client for this address, which has not connected yet.
pub fn client(url: &EngineUrl) -> Result<Client, ::redis::RedisError> {
    let address = match &url.place {
        Place::Tcp(host, port, false) => ConnectionAddr::Tcp(host.clone(), *port),
        Place::Tcp(host, port, true) => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
        Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    // RESP3 has messages and answers on one connection, so that a silent one can be pinged.
    let mut settings = RedisConnectionInfo::default()
        .set_db(url.database.into())
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("wsh-server", env!("CARGO_PKG_VERSION"));
    if let Some(user) = &url.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &url.password {
        settings = settings.set_password(password);
    }
    Client::open(address.into_connection_info()?.set_redis_settings(settings))
}
