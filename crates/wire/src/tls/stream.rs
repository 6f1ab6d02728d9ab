//! A connection whose other side is known.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::Peer;
use super::leash::Leash;
use super::wiretap::{Tap, Wiretap};

/// The inside of a TLS stream; what passes through it is in clear.
pub(super) struct PeerStream<S> {
    stream: S,
    peer: Peer,
    tap: Option<Tap>,
    /// `None` once it has ended.
    leash: Option<Leash>,
}

impl<S> PeerStream<S> {
    /// A stream to `peer` until its leash ends, tapped if there is a wiretap. **Errors**: the wiretap's files cannot be
    /// made.
    pub(super) fn new(stream: S, peer: Peer, wiretap: Option<&Wiretap>, leash: Leash) -> io::Result<Self> {
        let tap = wiretap.map(|wiretap| wiretap.tap(&peer)).transpose()?;
        Ok(Self { stream, peer, tap, leash: Some(leash) })
    }

    /// Whether the stream may go on. Reading asks, and an HTTP/2 connection always reads.
    fn pulled(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(leash) = &mut self.leash else { return Err(io::ErrorKind::NotConnected.into()) };
        let Poll::Ready(error) = leash.as_mut().poll(cx) else { return Ok(()) };
        tracing::info!(peer = %self.peer, %error, "connection ended");
        self.leash = None;
        Err(error)
    }
}

impl<S> Connected for PeerStream<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PeerStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pulled(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if let Some(tap) = &mut this.tap {
            tap.received(&buf.filled()[before..])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PeerStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leash.is_none() {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        if let Some(tap) = &mut this.tap {
            let mut left = written;
            for buf in bufs {
                let (sent, _) = buf.split_at(left.min(buf.len()));
                tap.sent(sent)?;
                left -= sent.len();
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use symphony_types::id::NodeId;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::tls::NodeRole;

    fn stream(inner: DuplexStream, wiretap: Option<&Wiretap>) -> PeerStream<DuplexStream> {
        let peer = Peer { role: NodeRole::Master, node: NodeId::new("master-1").unwrap() };
        PeerStream::new(inner, peer, wiretap, Box::pin(std::future::pending())).unwrap()
    }

    /// R002: what the taint test searches is what passed, in order, and all of it.
    #[tokio::test]
    async fn a_tap_has_every_byte_of_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let wiretap = Wiretap::open(&folder.path().join("messages")).unwrap();
        // Too narrow for a write of three bytes: the rest is written, and noted, later.
        let (inner, mut other) = tokio::io::duplex(2);
        let mut tapped = stream(inner, Some(&wiretap));
        let answer = async {
            let mut asked = [0; 12];
            other.read_exact(&mut asked).await.unwrap();
            other.write_all(b"an answer").await.unwrap();
            drop(other);
            asked
        };
        let ask = async {
            tapped.write_all(b"a qu").await.unwrap();
            let parts = [IoSlice::new(b"e"), IoSlice::new(b"stion")];
            let written = tapped.write_vectored(&parts).await.unwrap();
            tapped.write_all(&b"estion!!"[written..]).await.unwrap();
            let mut answered = Vec::new();
            tapped.read_to_end(&mut answered).await.unwrap();
            answered
        };
        let (answered, asked) = tokio::join!(ask, answer);
        assert_eq!((&asked[..], &answered[..]), (&b"a question!!"[..], &b"an answer"[..]));
        let mut taps: Vec<_> = fs::read_dir(folder.path().join("messages"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| (path.extension().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect();
        taps.sort();
        assert_eq!(taps[0], ("received".to_owned(), answered));
        assert_eq!(taps[1], ("sent".to_owned(), asked.to_vec()));
        assert_eq!(taps.len(), 2);
    }
}
