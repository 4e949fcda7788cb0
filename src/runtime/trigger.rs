//! Asking a task to do its work now.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::IntCounter;
use tokio::sync::{Notify, watch};

/// An endpoint that is read when we are.
#[derive(Debug, Clone)]
pub struct OnScrape {
    /// Asks for a read.
    pub trigger: Arc<Trigger>,
    /// Counts pages that could not wait for it.
    pub late: IntCounter,
}

/// All of them; clones share them.
#[derive(Debug, Clone, Default)]
pub struct OnScrapes(Arc<RwLock<Vec<OnScrape>>>);

impl OnScrapes {
    /// Those of now.
    #[must_use]
    pub fn all(&self) -> Vec<OnScrape> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are they.
    pub fn replace(&self, all: Vec<OnScrape>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

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
