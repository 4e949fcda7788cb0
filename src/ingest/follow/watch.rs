//! Being told by the kernel when a file changes (inotify(7)). Never the only way: who follows a
//! file looks now and then all the same.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::warn;

/// Room for events read at once.
const EVENTS_BYTES: usize = 16 * 1024;

/// Adds watches; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Watches {
    fd: Arc<OwnedFd>,
    told: Arc<AtomicBool>,
}

/// Gives what the watches see.
pub(super) struct Events(AsyncFd<Arc<OwnedFd>>);

/// Something changed.
#[derive(Debug)]
pub(super) enum Event {
    /// The file or folder of a watch; in a folder, what has this name.
    Of(i32, Option<Vec<u8>>),
    /// There were more than the kernel keeps: anything may have changed.
    Overflow,
}

/// Starts to watch nothing yet.
#[expect(unsafe_code, reason = "AsyncFd has no safe constructor")]
pub(super) fn start() -> io::Result<(Watches, Events)> {
    let fd = Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
    // SAFETY: the descriptor is owned, and stays open and the same as long as a clone of `fd` lives,
    // one of which is in the AsyncFd.
    let events = Events(unsafe { AsyncFd::register(Arc::clone(&fd)) }?);
    Ok((Watches { fd, told: Arc::default() }, events))
}

impl Watches {
    /// Watches an open file, whatever its name is.
    pub(super) fn file(&self, file: &File) -> Option<i32> {
        let flags = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        self.add(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), flags)
    }

    /// Watches what comes into a folder.
    pub(super) fn folder(&self, folder: &Path) -> Option<i32> {
        self.add(folder, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)
    }

    pub(super) fn remove(&self, watch: i32) {
        // It may be gone with its file.
        let _gone = inotify::remove_watch(self.fd.as_fd(), watch);
    }

    fn add(&self, path: &Path, flags: WatchFlags) -> Option<i32> {
        match inotify::add_watch(self.fd.as_fd(), path, flags) {
            Ok(watch) => Some(watch),
            Err(error @ (Errno::NOSPC | Errno::MFILE | Errno::NOMEM)) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    warn!(%error, "no more inotify watches, looking at files every 250 ms instead; fs.inotify.max_user_watches sets how many there are");
                }
                None
            }
            Err(_not_there) => None,
        }
    }
}

impl Events {
    /// Waits for events, and gives all that there are.
    pub(super) async fn next(&self) -> Vec<Event> {
        let Ok(mut ready) = self.0.readable().await else { return vec![Event::Overflow] };
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut events = Vec::new();
        let mut reader = inotify::Reader::new(self.0.get_ref().as_fd(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    events.push(Event::Overflow);
                }
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes().to_vec());
                    events.push(Event::Of(event.wd(), name));
                }
                Err(_none_left) => break,
            }
        }
        ready.clear_ready();
        events
    }
}
