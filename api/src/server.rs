//! From the listening socket to the endpoint: our own accept loop, because poem's hides the TCP stream.
//!
//! A WebSocket needs the bare stream: without `TCP_NODELAY` two small writes meet Nagle and delayed acknowledgements,
//! and through poem's wrapper a message cannot leave in one vectored write.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a client may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's way to its TCP stream, put into the request's extensions.
#[derive(Clone)]
pub(crate) struct Upgrade(Arc<Mutex<Option<hyper::upgrade::OnUpgrade>>>);

impl Upgrade {
    /// The stream and what was read of it already, once the 101 has been sent. The first caller gets it.
    pub(crate) async fn stream(self) -> Option<(TcpStream, bytes::Bytes)> {
        let upgrade = self.0.lock().ok()?.take()?;
        let upgraded = upgrade.await.ok()?;
        let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded).ok()?;
        Some((parts.io.into_inner(), parts.read_buf))
    }
}

/// Serves until `stop` says so, then lets requests that are under way finish for a while.
pub(crate) async fn serve(
    listener: TcpListener,
    endpoint: BoxEndpoint<'static, Response>,
    mut stop: watch::Receiver<bool>,
    patience: Duration,
) {
    let endpoint = Arc::new(endpoint);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection went away at once");
                    continue;
                }
                tokio::spawn(connection(stream, peer.into(), endpoint.clone(), &graceful));
            }
            Err(error) => {
                // No file descriptor is free, perhaps: the next moment may be better.
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

/// One connection, kept alive between requests, until it ends, is upgraded, or the server stops.
fn connection(
    stream: TcpStream,
    peer: Addr,
    endpoint: Arc<BoxEndpoint<'static, Response>>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let local = stream.local_addr().map_or_else(|_| Addr::custom("tcp", ""), Addr::from);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let endpoint = endpoint.clone();
        let (local, remote) = (LocalAddr(local.clone()), RemoteAddr(peer.clone()));
        async move {
            let upgrade = hyper::upgrade::on(&mut request);
            request.extensions_mut().insert(Upgrade(Arc::new(Mutex::new(Some(upgrade)))));
            let request = Request::from((request, local, remote, Scheme::HTTP));
            Ok::<http::Response<_>, Infallible>(endpoint.get_response(request).await.into())
        }
    });
    // HTTP/1.1 alone: while it waits to see which version comes, the library has no time limit.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
