//! Asking a task to do its work now.

use std::future::Future;

use tokio::sync::{Notify, watch};

/// Lets others ask for a read; however many ask at once, there is one.
#[derive(Debug)]
pub struct Trigger {
    ask: Notify,
    done: watch::Sender<u64>,
}

impl Default for Trigger {
    fn default() -> Self {
        Self { ask: Notify::new(), done: watch::Sender::new(0) }
    }
}

impl Trigger {
    /// Asks for a read; the result waits until one has ended.
    pub fn read_now(&self) -> impl Future<Output = ()> + use<> {
        let mut done = self.done.subscribe();
        self.ask.notify_one();
        async move {
            // An error means that the scraper is gone: then there is nothing to wait for.
            let _gone = done.changed().await;
        }
    }

    /// Asks for a read and does not wait for it.
    pub fn ask(&self) {
        self.ask.notify_one();
    }

    /// Returns when somebody has asked.
    pub async fn asked(&self) {
        self.ask.notified().await;
    }

    /// A read has ended: all who asked meanwhile have its result.
    pub async fn done(&self) {
        tokio::select! {
            biased;
            () = self.ask.notified() => {}
            () = std::future::ready(()) => {}
        }
        self.done.send_modify(|reads| *reads += 1);
    }
}
