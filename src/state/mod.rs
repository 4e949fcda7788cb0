//! What outlives us: one file a service, with everything that made its counters.
//!
//! `codec` is pure and knows nothing of files: what it makes can go anywhere. `store` is the
//! directory. The pipelines say what is saved, and `keeper` when.

pub mod codec;
pub mod store;
