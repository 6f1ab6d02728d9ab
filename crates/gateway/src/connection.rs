//! Connections before HTTP: how many there are, and that each says something soon (R204).
//!
//! The HTTP timers start with the first byte; a connection that never sends one is closed here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Accepts TLS connections while there is a place.
#[derive(Clone)]
pub(crate) struct Guarded {
    tls: RustlsAcceptor,
    places: Arc<Semaphore>,
    first_byte: Duration,
}

impl Guarded {
    pub(crate) fn new(tls: RustlsAcceptor, places: Arc<Semaphore>, first_byte: Duration) -> Self {
        Self { tls, places, first_byte }
    }
}

type Tls<S> = <RustlsAcceptor as Accept<TcpStream, S>>::Stream;

impl<S: Send + 'static> Accept<TcpStream, S> for Guarded {
    type Stream = GuardedStream<Tls<S>>;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let first_byte = self.first_byte;
        let handshake = self.tls.accept(stream, service);
        Box::pin(async move {
            let place = place.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let (inner, service) = handshake.await?;
            let deadline = Some(Box::pin(tokio::time::sleep(first_byte)));
            Ok((GuardedStream { inner, deadline, _place: place }, service))
        })
    }
}

/// A connection that holds its place and must speak first.
pub(crate) struct GuardedStream<T> {
    inner: T,
    deadline: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, buf) {
            self.deadline = None;
            return Poll::Ready(read);
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
