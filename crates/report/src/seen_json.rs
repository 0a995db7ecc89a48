//! JSON whose every character is seen.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};

use epsiloscope_format::is_hidden;

/// Writes JSON on, what is hidden in its texts as `\uXXXX`: whoever parses it reads the same, and a terminal acts upon nothing.
///
/// Outside of texts JSON has no such characters, and inside one every character may stand so.
pub(crate) struct SeenJson<W> {
    out: W,
    /// The beginning of a character whose end has not come.
    rest: Vec<u8>,
}

impl<W: Write> SeenJson<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }
}

impl<W: Write> Write for SeenJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.rest.is_empty() && bytes.iter().all(|&byte| byte < 0x7f) {
            return self.out.write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let n_whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(fault) if fault.error_len().is_none() => fault.valid_up_to(),
            Err(fault) => return Err(io::Error::new(ErrorKind::InvalidData, fault)),
        };
        let whole: Vec<u8> = self.rest.drain(..n_whole).collect();
        let text = std::str::from_utf8(&whole).map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))?;
        self.out.write_all(seen(text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Line breaks between rows stay.
fn seen(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes everything.
                let _ = write!(seen, "\\u{unit:04x}");
            }
        } else {
            seen.push(character);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a\u{7f}\u{9b}31m\u{202e}gnp\u{e0041}ε\u{1f468}\u{200d}\u{1f469}";

    fn written(json: &str, n_at_a_time: usize) -> String {
        let mut writer = SeenJson::new(Vec::new());
        for some in json.as_bytes().chunks(n_at_a_time) {
            writer.write_all(some).unwrap();
        }
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn texts_are_the_same_and_seen() {
        let json = format!("[\"{NAME}\",\n\"b\"]");
        let seen = written(&json, json.len());
        assert_eq!(seen, "[\"a\\u007f\\u009b31m\\u202egnp\\udb40\\udc41ε\u{1f468}\\u200d\u{1f469}\",\n\"b\"]");
    }

    #[test]
    fn characters_may_come_in_pieces() {
        let json = format!("[\"{NAME}\"]");
        for n_at_a_time in 1..5 {
            assert_eq!(written(&json, n_at_a_time), written(&json, json.len()));
        }
        assert!(SeenJson::new(Vec::new()).write(b"\xff").is_err());
    }
}
