//! When the pipelines' state is saved: at intervals, before it is exported, and at our end.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::State;
use crate::pipeline::saved::RestoreError;
use crate::pipeline::{Pipeline, services::Pipelines};
use crate::state::codec::DecodeError;
use crate::state::store::{OpenError, Outlives, Store};
use crate::telemetry::state::{LoadReason, StateTelemetry};

/// How long an answer waits for its state to be saved; then it has what was saved before.
/// Prometheus waits 10 s.
const EXPORT_DEADLINE: Duration = Duration::from_secs(2);

/// How long our end waits for the last save.
const LAST_DEADLINE: Duration = Duration::from_secs(2);

/// Keeps the state of all services in one directory.
#[derive(Debug)]
pub struct Keeper {
    directory: PathBuf,
    interval: Duration,
    pipelines: Pipelines,
    telemetry: StateTelemetry,
    /// None while the directory cannot be had.
    store: Mutex<Option<Store>>,
    /// One save at a time: a disk that hangs holds one thread, not one for each that waits.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    /// Takes the directory and restores every service, before anything is read.
    ///
    /// # Errors
    /// Another exporter has it: two that count the same would both be wrong. Any other failure is
    /// told, and tried again at each save.
    pub fn open(
        state: &State,
        pipelines: Pipelines,
        telemetry: StateTelemetry,
    ) -> Result<Arc<Self>, OpenError> {
        let store = match Store::open(&state.directory) {
            Ok(store) => Some(store),
            Err(error @ OpenError::InUse { .. }) => return Err(error),
            Err(error) => {
                telemetry.save_failed(&state.directory, &into_io(error));
                None
            }
        };
        let this = Self {
            directory: state.directory.clone(),
            interval: state.interval,
            pipelines,
            telemetry,
            store: Mutex::new(store),
            turn: Arc::default(),
        };
        this.pipelines.all().iter().for_each(|service| this.restore(service));
        Ok(Arc::new(this))
    }

    /// Restores one service; before anything of it is read or saved.
    pub fn restore(&self, service: &Pipeline) {
        if let Some(store) = &*self.store() {
            restore(store, service, &self.telemetry);
            service.keep();
        }
    }

    /// Forgets a file that is gone.
    pub fn forget(&self, service: &Pipeline) {
        if let Some(store) = &*self.store() {
            // At worst a small file stays.
            let _gone = store.remove(service.name());
        }
    }

    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves at intervals until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.save(Outlives::TheMachine).await,
            }
        }
    }

    /// Saves what is about to be exported.
    pub async fn before_export(self: &Arc<Self>) {
        // If it takes longer, what was saved before is exported.
        let _late = tokio::time::timeout(EXPORT_DEADLINE, self.save(Outlives::Us)).await;
    }

    /// Saves for the last time.
    pub async fn last(self: &Arc<Self>) {
        let saved = tokio::time::timeout(LAST_DEADLINE, self.save(Outlives::TheMachine)).await;
        if saved.is_err() {
            self.telemetry.save_failed(&self.directory, &io::ErrorKind::TimedOut.into());
        }
    }

    async fn save(self: &Arc<Self>, outlives: Outlives) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let this = Arc::clone(self);
        let pass = move || {
            this.pass(outlives);
            drop(turn);
        };
        if let Err(error) = tokio::task::spawn_blocking(pass).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Writes what has changed; blocks.
    fn pass(&self, outlives: Outlives) {
        let mut slot = self.store();
        let services = self.pipelines.all();
        let opened = slot.take().map_or_else(|| Store::open(&self.directory), Ok);
        let works = match opened {
            Ok(store) => {
                // Each gets its turn, whatever became of the one before.
                let fails = |service: &&Arc<Pipeline>| !self.save_one(&store, service, outlives);
                let works = services.iter().filter(fails).count() == 0;
                if self.directory.is_dir() {
                    *slot = Some(store);
                }
                works
            }
            Err(error) => {
                self.telemetry.save_failed(&self.directory, &into_io(error));
                services.iter().for_each(|service| service.save_failed());
                false
            }
        };
        if works {
            self.telemetry.works();
        }
    }

    fn save_one(&self, store: &Store, service: &Pipeline, outlives: Outlives) -> bool {
        let saving = match service.save(outlives) {
            Ok(None) => return true,
            Ok(Some(saving)) => saving,
            Err(error) => {
                self.telemetry.encode_failed(service.name(), &error);
                service.save_failed();
                return false;
            }
        };
        match store.save(service.name(), &saving.bytes, outlives) {
            Ok(()) => {
                service.saved(saving);
                self.telemetry.saved();
                true
            }
            Err(error) => {
                self.telemetry.save_failed(&store.path(service.name()), &error);
                service.save_failed();
                if !service.replays() {
                    // It will be behind what is exported from here on, and nothing can bring it
                    // there: to begin anew at 0 is right, to go back is not.
                    let _stays = store.remove(service.name());
                }
                false
            }
        }
    }
}

/// Restores one service if there is something to restore.
fn restore(store: &Store, service: &Pipeline, telemetry: &StateTelemetry) {
    let (name, path) = (service.name(), store.path(service.name()));
    let bytes = match store.load(name) {
        Ok(None) => return,
        Ok(Some(bytes)) => bytes,
        Err(error) => {
            return telemetry.not_restored(name, &path, LoadReason::Io, &error, None);
        }
    };
    if !service.replays()
        && let Err(error) = store.save(name, &bytes, Outlives::Us)
    {
        // What is counted from now on could not be saved, and would come back as less.
        return telemetry.not_restored(name, &path, LoadReason::Unwritable, &error, None);
    }
    if let Err(error) = service.restore(&bytes) {
        let reason = match &error {
            RestoreError::OtherService(_) | RestoreError::Decode(DecodeError::Foreign) => {
                LoadReason::Foreign
            }
            RestoreError::Decode(DecodeError::Newer(_)) => LoadReason::Newer,
            RestoreError::Decode(DecodeError::Damaged | DecodeError::Content(_)) => {
                LoadReason::Damaged
            }
        };
        // Not left in its place: what is counted from now on begins at 0, and a later release that
        // found the old counters there would jump.
        let aside = store.set_aside(name).ok();
        return telemetry.not_restored(name, &path, reason, &error, aside.as_deref());
    }
    telemetry.restored(name, &path);
}

fn into_io(error: OpenError) -> io::Error {
    match error {
        OpenError::Make { source, .. } | OpenError::Lock { source, .. } => source,
        in_use @ OpenError::InUse { .. } => io::Error::other(in_use),
    }
}
