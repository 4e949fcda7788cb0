//! Asking for the config to be read again.

use tokio::sync::{mpsc, oneshot};

/// What a reload came to: how many services there are now, or why everything stays as it was.
pub type Reloaded = Result<usize, String>;

/// Asks whoever reads the config; clones ask the same.
#[derive(Debug, Clone)]
pub struct Reload(mpsc::Sender<oneshot::Sender<Reloaded>>);

/// Those who asked.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<oneshot::Sender<Reloaded>>);

/// Who asks, and who is asked.
#[must_use]
pub fn channel() -> (Reload, Asked) {
    // Whoever finds it full waits.
    let (ask, asked) = mpsc::channel(1);
    (Reload(ask), Asked(asked))
}

impl Reload {
    /// Asks, and waits for what it came to. None: nobody reloads any more, we stop.
    pub async fn now(&self) -> Option<Reloaded> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

impl Asked {
    /// The next one who asks. None: nobody can any more.
    pub async fn next(&mut self) -> Option<oneshot::Sender<Reloaded>> {
        self.0.recv().await
    }
}
