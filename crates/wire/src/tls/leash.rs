//! How long a connection may go on: not past the revocation or the end of the other side's certificate, and for a while
//! past the exchange of the own one (R206).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout_at};

use super::Credentials;

/// What a connection of a retired certificate gets for the calls that are under way. No call between nodes takes longer.
const DRAIN: Duration = Duration::from_secs(300);
/// How often an open connection's certificate is looked at when nothing has changed: it may have expired.
const LOOK: Duration = Duration::from_secs(60);

/// Ends with the reason for which a connection must end.
pub(super) type Leash = Pin<Box<dyn Future<Output = io::Error> + Send>>;

/// The leash of a connection that was made with the own certificate of that generation, to a node with certificate
/// `peer`.
pub(super) fn leash(credentials: Credentials, generation: u64, peer: CertificateDer<'static>) -> Leash {
    hold(credentials, generation, peer, DRAIN)
}

/// The same with another time for what is under way.
pub(super) fn hold(
    credentials: Credentials,
    generation: u64,
    peer: CertificateDer<'static>,
    drain: Duration,
) -> Leash {
    Box::pin(async move {
        let mut changes = credentials.changes();
        let mut retired = None;
        loop {
            let now = Instant::now();
            let (judged, current) = {
                let material = changes.borrow_and_update();
                (material.judge(&peer), material.generation)
            };
            if let Err(reason) = judged {
                return io::Error::new(io::ErrorKind::PermissionDenied, reason);
            }
            if current != generation {
                let end = *retired.get_or_insert(now + drain);
                if end <= now {
                    return io::Error::new(io::ErrorKind::TimedOut, "the own certificate was replaced");
                }
            }
            let next = retired.map_or(now + LOOK, |end| end.min(now + LOOK));
            // Whether something changed or it is time to look: the loop looks.
            let _ = timeout_at(next, changes.changed()).await;
        }
    })
}
