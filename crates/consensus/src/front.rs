//! The thread that writes a journal, and what everybody else sees of it: the last durable state, what was ordered, its
//! end (R035, R211).

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{broadcast, watch};

use crate::entry::Head;
use crate::machine::Machine;
use crate::orderer::{Failure, Ordered, STREAM_LEN_MAX};

/// The last durable state and where it stands.
pub(crate) struct Published<M: Machine> {
    pub(crate) head: Head,
    pub(crate) state: Arc<M::State>,
}

/// The thread's own end.
pub(crate) struct Back<M: Machine> {
    pub(crate) publish: watch::Sender<Published<M>>,
    pub(crate) stream: broadcast::Sender<Arc<Ordered<M>>>,
}

/// Everybody else's end. Dropping it waits for the thread, which must have been told to end, so that the file is free for
/// the next opener.
pub(crate) struct Front<M: Machine> {
    published: watch::Receiver<Published<M>>,
    stream: broadcast::WeakSender<Arc<Ordered<M>>>,
    ended: watch::Receiver<Option<Result<(), Failure>>>,
    thread: Option<JoinHandle<()>>,
}

impl<M: Machine> Front<M> {
    /// Starts the thread on a durable state. **Errors**: the system has no thread to give.
    pub(crate) fn spawn<R>(
        name: &str,
        published: Published<M>,
        run: impl FnOnce(Back<M>) -> R,
    ) -> io::Result<Self>
    where
        R: FnOnce() -> Result<(), Failure> + Send + 'static,
    {
        let (publish, published) = watch::channel(published);
        let (stream, _) = broadcast::channel(STREAM_LEN_MAX);
        let (end, ended) = watch::channel(None);
        let weak_stream = stream.downgrade();
        let run = run(Back { publish, stream });
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = run();
            if let Err(failure) = &outcome {
                let code = failure.code();
                tracing::error!(%code, error = failure as &dyn std::error::Error, "ordering stops");
            }
            end.send_replace(Some(outcome));
        })?;
        Ok(Self { published, stream: weak_stream, ended, thread: Some(thread) })
    }

    pub(crate) fn state(&self) -> Arc<M::State> {
        Arc::clone(&self.published.borrow().state)
    }

    pub(crate) fn head(&self) -> Head {
        self.published.borrow().head
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Ordered<M>>> {
        match self.stream.upgrade() {
            Some(stream) => stream.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    pub(crate) async fn ended(&self) -> Result<(), Failure> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Failure::Panicked)),
            Err(_) => Err(Failure::Panicked),
        }
    }
}

impl<M: Machine> Drop for Front<M> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic was reported by the thread itself and by `ended`.
            let _ = thread.join();
        }
    }
}
