//! The way to a server: TCP, TLS over it, or a socket of this machine.

use std::{io, sync::Arc};

use redis::ConnectionAddr;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{address::Address, failure::RedisError};

/// Bytes there and back.
pub(super) trait Way: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Way for S {}

/// What TLS needs; nothing where there is none.
#[cfg(feature = "redis-tls")]
pub(super) type Trust = Option<Arc<rustls::ClientConfig>>;
#[cfg(not(feature = "redis-tls"))]
pub(super) type Trust = Option<Arc<std::convert::Infallible>>;

pub(super) async fn connect(address: &Address, trust: &Trust) -> Result<Box<dyn Way>, RedisError> {
    let failed = |error: io::Error| RedisError::unreachable(format!("{address} cannot be reached")).because(error);
    match &address.place {
        ConnectionAddr::Tcp(host, port) => {
            let stream = TcpStream::connect((&**host, *port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            secure(address, host, stream, trust).await
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(failed)?)),
        _ => Err(RedisError::invalid(format!("{address} is of a kind that this system has not"))),
    }
}

#[cfg(feature = "redis-tls")]
async fn secure(address: &Address, host: &str, stream: TcpStream, trust: &Trust) -> Result<Box<dyn Way>, RedisError> {
    let Some(trust) = trust else { return Ok(Box::new(stream)) };
    super::tls::secure(address, host, stream, Arc::clone(trust)).await
}

#[cfg(not(feature = "redis-tls"))]
#[expect(clippy::unused_async, reason = "with TLS there is something to wait for")]
async fn secure(_: &Address, _: &str, stream: TcpStream, _: &Trust) -> Result<Box<dyn Way>, RedisError> {
    Ok(Box::new(stream))
}
