//! The records of an event file: framing and checksums.
//!
//! ```text
//! record = length u64 · masked CRC of those 8 bytes u32 · data · masked CRC of the data u32      little-endian
//! masked CRC = rotate(crc32c, right by 15) + 0xa282ead8
//! ```
//!
//! A file that ends inside a record was not closed; its whole records count. After one whose checksum does not match, the next
//! offset at which a length matches its own is looked for.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use fs_err::File;

use crate::error::ImportError;

/// Longer records, pictures or graphs perhaps, are passed over: the histograms of a step take some kilobytes each.
const MAX_RECORD_BYTES: u64 = 64 << 20;
const HEADER_BYTES: u64 = 12;
const CHECKSUM_BYTES: u64 = 4;
/// Bytes that are looked through at once for the next record.
const CHUNK: usize = 1 << 16;

/// Where a record's data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What comes next in an event file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Data that match their checksum.
    Record(Location, Vec<u8>),
    /// Something that is none, at this offset.
    Damaged { offset: u64, what: String },
    /// The file ends inside the record at this offset.
    Unfinished { offset: u64 },
}

/// An event file, read from front to back or by location.
pub(crate) struct EventFile {
    file: File,
    len: u64,
    /// Where the next record begins.
    offset: u64,
    /// What is read ahead, and where it begins.
    ahead: (u64, Vec<u8>),
}

impl EventFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let found = "not a regular file".to_owned();
            return Err(ImportError::Nothing { path: path.to_owned(), found, expected: "an event file".to_owned() });
        }
        Ok(Self { file, len: metadata.len(), offset: 0, ahead: (0, Vec::new()) })
    }

    /// The next record, or what is there in place of one; `None` at the end.
    ///
    /// # Errors
    /// [`ImportError::Io`] if the file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, ImportError> {
        let start = self.offset;
        if start == self.len {
            return Ok(None);
        }
        let Some(header) = self.header(start)? else {
            self.offset = self.len;
            return Ok(Some(Found::Unfinished { offset: start }));
        };
        let Some(len) = header.length() else {
            return self.damaged(start, start + 1, "the length of a record does not match its checksum").map(Some);
        };
        let end = (start + HEADER_BYTES).checked_add(len).and_then(|end| end.checked_add(CHECKSUM_BYTES));
        let Some(end) = end.filter(|&end| end <= self.len) else {
            self.offset = self.len;
            return Ok(Some(Found::Unfinished { offset: start }));
        };
        self.offset = end;
        if MAX_RECORD_BYTES < len {
            let what = format!("a record of {len} bytes: expected at most {MAX_RECORD_BYTES}; it is passed over");
            return Ok(Some(Found::Damaged { offset: start, what }));
        }
        let location = Location { offset: start + HEADER_BYTES, len };
        match self.data(location)? {
            Some(data) => Ok(Some(Found::Record(location, data))),
            // Bytes may have gone or come, and then the next record is not where this one's length says.
            None => self.damaged(start, location.offset, "a record does not match its checksum").map(Some),
        }
    }

    /// Goes on where the next record begins, `from` on.
    fn damaged(&mut self, start: u64, from: u64, what: &str) -> Result<Found, ImportError> {
        self.offset = self.next_header(from)?.unwrap_or(self.len);
        Ok(Found::Damaged { offset: start, what: format!("{what}; {} bytes are lost", self.offset - start) })
    }

    /// The data at a location; `None` if they do not match their checksum.
    ///
    /// # Errors
    /// [`ImportError::Io`] if the file cannot be read.
    pub(crate) fn data(&mut self, location: Location) -> Result<Option<Vec<u8>>, ImportError> {
        let Location { offset, len } = location;
        let mut data = self.bytes(offset, (len + CHECKSUM_BYTES) as usize)?;
        let checksum = u32::from_le_bytes(data[len as usize..].try_into().expect("a checksum has four bytes"));
        data.truncate(len as usize);
        Ok((masked_crc(&data) == checksum).then_some(data))
    }

    fn header(&mut self, offset: u64) -> Result<Option<Header>, ImportError> {
        if self.len - offset < HEADER_BYTES {
            return Ok(None);
        }
        let bytes = self.bytes(offset, HEADER_BYTES as usize)?;
        Ok(Some(Header(bytes.try_into().expect("a header has twelve bytes"))))
    }

    /// The first offset from `start` on at which a length matches its checksum.
    fn next_header(&mut self, start: u64) -> Result<Option<u64>, ImportError> {
        let mut start = start;
        while HEADER_BYTES <= self.len - start {
            let bytes = self.bytes(start, (self.len - start).min(CHUNK as u64) as usize)?;
            let headers = bytes.windows(HEADER_BYTES as usize);
            let is_header = |window: &[u8]| Header(window.try_into().expect("twelve bytes")).length().is_some();
            if let Some(index) = headers.clone().position(is_header) {
                return Ok(Some(start + index as u64));
            }
            start += headers.len() as u64;
        }
        Ok(None)
    }

    /// Bytes of the file, which has them.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImportError> {
        let (begin, ahead) = &self.ahead;
        let within = offset.checked_sub(*begin).and_then(|start| ahead.get(start as usize..)?.get(..len));
        if let Some(bytes) = within {
            return Ok(bytes.to_vec());
        }
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; len.max(CHUNK).min((self.len - offset) as usize)];
        self.file.read_exact(&mut bytes)?;
        let wanted = bytes[..len].to_vec();
        self.ahead = (offset, bytes);
        Ok(wanted)
    }
}

struct Header([u8; HEADER_BYTES as usize]);

impl Header {
    /// `None` if it does not match its checksum.
    fn length(&self) -> Option<u64> {
        let (length, checksum) = self.0.split_at(8);
        let checksum = u32::from_le_bytes(checksum.try_into().expect("a checksum has four bytes"));
        let length: [u8; 8] = length.try_into().expect("a length has eight bytes");
        (masked_crc(&length) == checksum).then(|| u64::from_le_bytes(length))
    }
}

/// The checksum of event files: a CRC that stays a good one of data that hold CRCs.
pub(crate) fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u64).to_le_bytes();
        [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
    }

    fn found(bytes: &[u8]) -> Vec<Found> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, bytes).unwrap();
        let mut file = EventFile::open(&path).unwrap();
        std::iter::from_fn(|| file.next().unwrap()).collect()
    }

    fn data(found: &[Found]) -> Vec<&[u8]> {
        let data = found.iter().filter_map(|found| match found {
            Found::Record(_, data) => Some(data.as_slice()),
            _ => None,
        });
        data.collect()
    }

    /// The length of the first record of every event file, `brain.Event:2` with its time, as TensorFlow and PyTorch write it.
    #[test]
    fn checksums_are_tensorflows() {
        let length = 24u64.to_le_bytes();
        assert_eq!(masked_crc(&length).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn whole_records_of_a_file_cut_off_anywhere_are_read() {
        let records: Vec<Vec<u8>> = [&b"first"[..], b"", b"the third"].iter().map(|data| record(data)).collect();
        let bytes = records.concat();
        for len in 0..=bytes.len() {
            let found = found(&bytes[..len]);
            let ends: Vec<usize> = (1..=3).map(|n| records[..n].iter().map(Vec::len).sum()).collect();
            let n_whole = ends.iter().filter(|&&end| end <= len).count();
            assert_eq!(data(&found).len(), n_whole, "{len} bytes");
            let is_cut = len != 0 && !ends.contains(&len);
            assert_eq!(
                found.iter().filter(|found| matches!(found, Found::Unfinished { .. })).count(),
                usize::from(is_cut)
            );
        }
    }

    #[test]
    fn one_changed_byte_loses_one_record_and_names_its_offset() {
        let records: Vec<Vec<u8>> = [&b"first"[..], b"second", b"the third"].iter().map(|data| record(data)).collect();
        let bytes = records.concat();
        let (start, end) = (records[0].len(), records[0].len() + records[1].len());
        for index in start..end {
            let mut bytes = bytes.clone();
            bytes[index] ^= 0x40;
            let found = found(&bytes);
            assert_eq!(data(&found), [&b"first"[..], b"the third"], "byte {index}");
            assert!(matches!(found[1], Found::Damaged { offset, .. } if offset == start as u64), "{:?}", found[1]);
        }
    }

    #[test]
    fn lengths_beyond_the_file_ask_for_no_memory() {
        let length = u64::MAX.to_le_bytes();
        let bytes = [&length[..], &masked_crc(&length).to_le_bytes(), b"data"].concat();
        assert_eq!(found(&bytes), [Found::Unfinished { offset: 0 }]);
    }
}
