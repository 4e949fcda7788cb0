//! Keeping the parts alive: tasks, backoff, signals, readiness.

pub mod backoff;
pub mod clock;
pub mod health;
pub mod pace;
pub mod reload;
pub mod signals;
pub mod supervise;
pub mod trigger;
