//! Station 5: a snapshot → bytes. Pure.
//!
//! `page` walks over what there is (`variables` and `own` over their parts) and gives it, in the terms
//! of `family`, to one of the formats: `text`, `protobuf`. `accept` knows which a client wants,
//! `escape` has the escaping of names and texts.

pub mod accept;
pub mod escape;
pub mod family;
pub mod otlp;
pub mod own;
pub mod page;
pub mod protobuf;
pub mod text;
pub mod variables;
