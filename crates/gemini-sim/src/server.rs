//! The HTTP server: HTTP/1.1 and h2c on one loopback port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service as _;

use crate::SimService;
use crate::body::ConnectionReset;

/// How long open responses may take when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A running server. It stops at once when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, service: SimService) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, service, stopped));
        Ok(Self { address, stop: Some(stop), task })
    }

    /// Waits for open responses, for at most two seconds, and closes the server.
    pub(crate) async fn shutdown(mut self) {
        drop(self.stop.take());
        // The task ends by itself. Only a drop aborts it.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, service: SimService, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely out of file descriptors: wait until some are closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let Ok(reset) = ConnectionReset::of(&stream) else { continue };
        let service = service.clone();
        let answer = service_fn(move |mut request: Request<Incoming>| {
            // With HTTP/2, hyper resets only the stream, since the connection has others.
            let whole_connection = request.version() < Version::HTTP_2;
            if whole_connection {
                request.extensions_mut().insert(reset.clone());
            }
            let (mut service, reset) = (service.clone(), reset.clone());
            async move {
                let result = service.call(request).await;
                if result.is_err() && whole_connection {
                    reset.request();
                }
                result
            }
        });
        let builder = Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).into_owned();
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}
