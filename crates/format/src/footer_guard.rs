//! Looks through what a part file says of itself before anything is decoded or allocated by it.
//!
//! A few bytes can make a Parquet reader run for hours, overflow its stack or reserve gigabytes, and a digest only says that
//! the bytes are those that were written. So the footer and every page's header are first followed along the grammar
//! of those that are written here, then held against limits far above anything that is written here.

use std::fmt::Display;
use std::path::Path;

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use crate::error::FormatError;
use crate::parts::MAX_PART_ROWS;
use crate::thrift::Grammar::{self, Binary, Bool, Byte, Int, List, Struct};
use crate::thrift::follow;

/// A footer takes a few KiB.
const MAX_FOOTER_BYTES: usize = 16 << 20;
/// A part is one row group.
const MAX_ROW_GROUPS: i64 = 4096;
/// Pages end at 20,000 rows, and dictionaries hold a run's names or steps.
pub(crate) const MAX_PAGE_BYTES: usize = 8 << 20;
/// All pages of a part, decompressed: what the most rows take in the widest table.
const MAX_PAGES_BYTES: usize = 256 << 20;

/// Before and after everything else in a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";

const I32: Grammar = Int(32);
const I64: Grammar = Int(64);
const EMPTY: Grammar = Struct(&[]);

const FOOTER: Grammar = Struct(&[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY)]))),
]);
/// Where the footer says how many columns and row groups there are, and how many children a schema element has.
const SCHEMA: &[u8] = &[2];
const CHILDREN: &[u8] = &[2, 5];
const ROW_GROUPS: &[u8] = &[4];

const SCHEMA_ELEMENT: Grammar = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const LOGICAL_TYPE: Grammar =
    Struct(&[(1, EMPTY), (8, Struct(&[(1, Bool), (2, TIME_UNIT)])), (10, Struct(&[(1, Byte), (2, Bool)]))]);
const TIME_UNIT: Grammar = Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
const KEY_VALUE: Grammar = Struct(&[(1, Binary), (2, Binary)]);
const ROW_GROUP: Grammar = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, Int(16)),
]);
const COLUMN_CHUNK: Grammar = Struct(&[(2, I64), (3, COLUMN), (4, I64), (5, I32), (6, I64), (7, I32)]);
const COLUMN: Grammar = Struct(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (9, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
]);
const STATISTICS: Grammar =
    Struct(&[(1, Binary), (2, Binary), (3, I64), (4, I64), (5, Binary), (6, Binary), (7, Bool), (8, Bool)]);
const PAGE: Grammar = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
]);

/// What a file says that no part does.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) what: &'static str,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl Refusal {
    /// The fault of the file at `path`.
    pub(crate) fn at(self, path: &Path) -> FormatError {
        let Self { what, found, expected } = self;
        FormatError::Refused { path: path.to_owned(), what, found, expected }
    }
}

fn refuse<T>(what: &'static str, found: impl Display, expected: impl Display) -> Result<T, Refusal> {
    Err(Refusal { what, found: format!("{found}"), expected: format!("{expected}") })
}

/// How much a file may hold.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    rows: u64,
    /// All pages decompressed.
    bytes: usize,
}

/// What the largest part holds.
pub(crate) const PART: Limits = Limits { rows: MAX_PART_ROWS, bytes: MAX_PAGES_BYTES };
/// A table of results is one file, however many runs it is about.
pub(crate) const RESULTS: Limits = Limits { rows: 16 * MAX_PART_ROWS, bytes: 16 * MAX_PAGES_BYTES };

/// A file's metadata, decoded from its footer after that and every page's header were looked through.
///
/// # Errors
/// [`Refusal`]: what is not as in the files that are written here.
pub(crate) fn metadata(bytes: &[u8], limits: Limits) -> Result<ParquetMetaData, Refusal> {
    let (body, footer) = split(bytes)?;
    check_footer(footer)?;
    let metadata = match ParquetMetaDataReader::decode_metadata(footer) {
        Ok(metadata) => metadata,
        Err(fault) => return refuse("its footer", fault, "one of a Parquet file"),
    };
    check_rows(&metadata, limits.rows)?;
    let mut pages = Pages { body, limit: limits.bytes, n_stored: 0, n_decompressed: 0 };
    for group in metadata.row_groups() {
        group.columns().iter().try_for_each(|chunk| pages.check(group, chunk))?;
    }
    Ok(metadata)
}

/// What comes before the footer, and the footer.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let no_file = || refuse("its end", "no footer", "a Parquet file's");
    let Some((rest, len)) = bytes.strip_suffix(MAGIC).and_then(<[u8]>::split_last_chunk::<4>) else {
        return no_file();
    };
    let len = u32::from_le_bytes(*len) as usize;
    if MAX_FOOTER_BYTES < len {
        return refuse("its footer", format!("{len} bytes"), "at most 16 MiB");
    }
    match rest.len().checked_sub(len) {
        Some(at) if bytes.starts_with(MAGIC) && MAGIC.len() <= at => Ok(rest.split_at(at)),
        _ => no_file(),
    }
}

/// Along the grammar; then a schema that is a list of columns, and not too many row groups.
fn check_footer(footer: &[u8]) -> Result<(), Refusal> {
    let (mut n_elements, mut n_groups, mut children) = (0, 0, Vec::new());
    let followed = follow(footer, &FOOTER, |path, value| match path {
        SCHEMA => n_elements = value,
        CHILDREN if value != 0 => children.push(value),
        ROW_GROUPS => n_groups = value,
        _ => {}
    });
    match followed {
        Err(malformed) => return refuse("its footer", malformed, "that of a part file"),
        Ok(rest) if !rest.is_empty() => return refuse("its footer", "followed by something", "that of a part file"),
        Ok(_nothing) => {}
    }
    if children != [n_elements - 1] {
        return refuse("its schema", "nested", "a list of columns");
    }
    if MAX_ROW_GROUPS < n_groups {
        return refuse("its footer", format!("{n_groups} row groups"), format!("at most {MAX_ROW_GROUPS}"));
    }
    Ok(())
}

/// Rows of all row groups are those of the file, and every column has them.
fn check_rows(metadata: &ParquetMetaData, limit: u64) -> Result<(), Refusal> {
    let n_rows = metadata.file_metadata().num_rows();
    if !(0..=limit as i64).contains(&n_rows) {
        return refuse("its number of rows", n_rows, format!("0 to {limit}"));
    }
    let mut n_found = 0i64;
    for group in metadata.row_groups() {
        let n_values = group.columns().iter().map(ColumnChunkMetaData::num_values);
        for n in [group.num_rows()].into_iter().chain(n_values) {
            if n < 0 || n != group.num_rows() {
                return refuse("a column of a row group", format!("{n} rows"), group.num_rows());
            }
        }
        n_found = n_found.saturating_add(group.num_rows());
    }
    if n_found == n_rows { Ok(()) } else { refuse("its number of rows", n_rows, format!("the row groups' {n_found}")) }
}

/// What the pages looked at so far add up to.
struct Pages<'a> {
    body: &'a [u8],
    limit: usize,
    n_stored: usize,
    n_decompressed: usize,
}

/// The header of a page, 0 where something is not said.
#[derive(Default)]
struct PageHeader {
    kind: i64,
    n_decompressed: i64,
    n_stored: i64,
    data: Values,
    dictionary: Values,
}

#[derive(Default)]
struct Values {
    n: i64,
    encoding: i64,
}

/// Numbers by which page headers call things.
const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const PLAIN: i64 = 0;
const DICTIONARIES: [i64; 2] = [2, 8];
const DELTA_BINARY_PACKED: i64 = 5;

impl PageHeader {
    /// The header at the start of `bytes`, and what follows it.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Refusal> {
        let mut header = Self::default();
        let followed = follow(bytes, &PAGE, |path, value| match path {
            [1] => header.kind = value,
            [2] => header.n_decompressed = value,
            [3] => header.n_stored = value,
            [5, 1] => header.data.n = value,
            [5, 2] => header.data.encoding = value,
            [7, 1] => header.dictionary.n = value,
            [7, 2] => header.dictionary.encoding = value,
            _ => {}
        });
        match followed {
            Ok(rest) => Ok((header, rest)),
            Err(malformed) => refuse("a page's header", malformed, "that of a part file"),
        }
    }
}

impl<'a> Pages<'a> {
    /// Goes through the pages of a column chunk, from header to header.
    fn check(&mut self, group: &RowGroupMetaData, chunk: &ColumnChunkMetaData) -> Result<(), Refusal> {
        let mut rest = self.chunk(chunk)?;
        let (mut n_rows, mut has_dictionary, mut is_first) = (0, false, true);
        while !rest.is_empty() {
            let (header, after) = PageHeader::read(rest)?;
            let n_stored = self.check_sizes(&header, chunk.compression(), after.len())?;
            match header.kind {
                DATA_PAGE if 0 <= header.data.n && is_encoded(chunk.column_type(), has_dictionary, &header.data) => {
                    n_rows += header.data.n;
                }
                // Every value takes a length or a number of four bytes at least.
                DICTIONARY_PAGE if is_first && (0..=header.n_decompressed / 4).contains(&header.dictionary.n) => {
                    has_dictionary = true;
                }
                kind => {
                    return refuse("a page", format!("of kind {kind}, not as written here"), "a dictionary, or rows");
                }
            }
            is_first = false;
            rest = &after[n_stored..];
        }
        let expected = group.num_rows();
        if n_rows == expected { Ok(()) } else { refuse("a column's pages", format!("{n_rows} rows"), expected) }
    }

    /// A chunk's bytes, which no other chunk has.
    fn chunk(&mut self, chunk: &ColumnChunkMetaData) -> Result<&'a [u8], Refusal> {
        let start = usize::try_from(chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()));
        let place = start.ok().zip(usize::try_from(chunk.compressed_size()).ok());
        let bytes = place.and_then(|(start, len)| self.body.get(start..)?.get(..len));
        self.n_stored = self.n_stored.saturating_add(bytes.map_or(usize::MAX, <[u8]>::len));
        match bytes {
            Some(bytes) if self.n_stored <= self.body.len() => Ok(bytes),
            _ => refuse("a column's place", "beyond the file or another's", "one of its own"),
        }
    }

    /// How many bytes a page takes of those that are left.
    fn check_sizes(&mut self, header: &PageHeader, codec: Compression, n_left: usize) -> Result<usize, Refusal> {
        let n_stored = usize::try_from(header.n_stored).ok().filter(|&n_stored| n_stored <= n_left);
        let n_decompressed = usize::try_from(header.n_decompressed).ok().filter(|&n| n <= MAX_PAGE_BYTES);
        let Some((n_stored, n_decompressed)) = n_stored.zip(n_decompressed) else {
            let found = format!("{} bytes, {} decompressed", header.n_stored, header.n_decompressed);
            return refuse("a page", found, format!("at most {n_left}, and 8 MiB"));
        };
        match codec {
            Compression::UNCOMPRESSED if n_stored == n_decompressed => {}
            Compression::ZSTD(_) => {}
            codec => return refuse("a page's codec", codec, "ZSTD, or none and no other size"),
        }
        self.n_decompressed += n_decompressed;
        if self.n_decompressed <= self.limit {
            Ok(n_stored)
        } else {
            refuse("its pages", format!("more than {} MiB decompressed", self.limit >> 20), "less")
        }
    }
}

/// Whether values are encoded as here. Text beside a dictionary would be spelled out row by row.
fn is_encoded(column: Type, has_dictionary: bool, values: &Values) -> bool {
    let is_plain = values.encoding == PLAIN;
    match column {
        _ if DICTIONARIES.contains(&values.encoding) => has_dictionary,
        Type::BYTE_ARRAY => is_plain && !has_dictionary,
        Type::INT32 | Type::INT64 => is_plain || values.encoding == DELTA_BINARY_PACKED,
        _ => is_plain,
    }
}
