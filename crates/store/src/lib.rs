//! Where runs are: found under paths, patterns and URLs, read from this machine or from object stores.
//!
//! - [`discover()`] turns what was typed into runs: run directories, folders that contain some at any depth, patterns,
//!   and the same under `s3://`, `gs://`, `az://` and `https://`. What it finds is a [`Storage`] each, for
//!   [`Run::open_in`](epsiloscope_format::Run::open_in).
//! - [`Objects`]: a run in an object store, read by as few requests as there are files: none is ever listed or looked at
//!   before it is read.
//!
//! # Object stores
//!
//! Requests, retries and timeouts are the `object_store` crate's, credentials come from the environment as its users know
//! it: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`, `AWS_SKIP_SIGNATURE`,
//! `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and so on; else the machine's own role. A plain web server
//! (`http://`, `https://`) cannot be asked what it holds, so there a URL names a run itself.
//!
//! Reading waits for the network, not for the processor. Each thread that works on a run holds one part at a time, at
//! most 64 MiB, so what many runs take is bounded by the threads; folders are listed 64 at a time.
//!
//! This crate writes nothing, and knows nothing of what runs hold.

mod discover;
mod error;
mod folders;
mod objects;
mod pattern;
mod stores;

pub use discover::{Found, MAX_DEPTH, MAX_ENTRIES, discover};
pub use epsiloscope_format::Storage;
pub use error::StoreError;
pub use objects::Objects;
pub use stores::Stores;
