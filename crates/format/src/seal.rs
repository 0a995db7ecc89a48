//! The last field of `run.json`: the digest of everything that stands before it.
//!
//! ```text
//! {
//!   "format": "epsiloscope-run",
//!   …
//!   "digest": "d8cbc7186ba13533…"
//! }
//! ```
//!
//! So the file stays one document that anything reads, and no byte of it can change unnoticed: those before the digest
//! by the digest, those around it because they are always the same.

use crate::parts::digest;

const BEFORE: &[u8] = b",\n  \"digest\": \"";
const AFTER: &[u8] = b"\"\n}\n";
/// How an object ends that is not sealed.
const END: &[u8] = b"\n}";

/// What is wrong with a seal.
pub(crate) struct Broken {
    /// The digest in the file.
    pub(crate) found: String,
    /// What it should be.
    pub(crate) expected: String,
}

/// An object, as pretty-printed JSON, with its digest.
pub(crate) fn seal(object: &[u8]) -> Vec<u8> {
    let fields = object.strip_suffix(END).unwrap_or(object);
    [fields, BEFORE, digest(fields).as_bytes(), AFTER].concat()
}

/// The object that was sealed.
///
/// # Errors
/// [`Broken`] if it is not what it was, or has no seal.
pub(crate) fn unseal(text: &[u8]) -> Result<Vec<u8>, Broken> {
    let sealed = text.strip_suffix(AFTER).and_then(<[u8]>::split_last_chunk::<32>);
    let Some((fields, found)) = sealed.and_then(|(fields, found)| Some((fields.strip_suffix(BEFORE)?, found))) else {
        return Err(Broken { found: "not at its end".to_owned(), expected: "the last field, as written".to_owned() });
    };
    let expected = digest(fields);
    if expected.as_bytes() != found {
        let found = String::from_utf8_lossy(found).into_owned();
        return Err(Broken { found, expected: format!("{expected}, that of the text before it") });
    }
    Ok([fields, END].concat())
}
