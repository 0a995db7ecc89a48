//! Columns of long runs of the same value: step, tensor, quantity.
//!
//! They are the same for thousands of rows on end. Handing a Parquet writer a value per row would cost more than all the
//! rest of a part (it hashes every one); here a run costs the same whatever its length. The pages are those of
//! any dictionary column: a dictionary page, then `RLE_DICTIONARY` pages of runs.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, EncodingMask, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::parquet_file::PAGE_ROWS;

/// A value of a key column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Number(i64),
    Name(&'a str),
}

impl Key<'_> {
    /// As in a dictionary page.
    fn plain(self, out: &mut Vec<u8>) {
        if let Key::Name(name) = self {
            out.extend((name.len() as u32).to_le_bytes());
        }
        out.extend(self.bytes());
    }

    /// As in statistics.
    fn bytes(self) -> Vec<u8> {
        match self {
            Key::Number(number) => number.to_le_bytes().to_vec(),
            Key::Name(name) => name.as_bytes().to_vec(),
        }
    }
}

/// Encodes a required column of `(value, rows)` runs; bytes and what the row group's writer wants to know of them.
///
/// # Errors
/// What the Parquet library finds.
pub(crate) fn encode_runs<'a>(
    column: ColumnDescPtr,
    runs: impl Iterator<Item = (Key<'a>, usize)>,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let runs: Vec<(Key<'a>, usize)> = runs.collect();
    let dictionary = Dictionary::of(&runs);
    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = Pages::default();
    let mut writer = SerializedPageWriter::new(&mut sink);
    pages.took(writer.write_page(dictionary.page())?);
    let (mut index, mut offsets) = (ColumnIndexBuilder::new(column.physical_type()), OffsetIndexBuilder::new());
    for page_runs in split_by_rows(&runs, PAGE_ROWS) {
        let n_rows: usize = page_runs.iter().map(|&(_, rows)| rows).sum();
        let spec = writer.write_page(dictionary.data_page(&page_runs, n_rows))?;
        offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        offsets.append_row_count(n_rows as i64);
        let (min, max) = extremes(&page_runs);
        index.append(false, min.bytes(), max.bytes(), 0);
        pages.took(spec);
    }
    writer.close()?;
    let metadata = pages.metadata(column, &runs)?;
    let result = ColumnCloseResult {
        bytes_written: pages.n_bytes,
        rows_written: pages.n_rows,
        metadata,
        bloom_filter: None,
        column_index: Some(index.build()?),
        offset_index: Some(offsets.build()),
    };
    Ok((sink.into_inner()?.into(), result))
}

/// The distinct values, numbered in the order in which they come.
struct Dictionary<'a> {
    numbers: BTreeMap<Key<'a>, u32>,
    plain: Vec<u8>,
    /// Bits that the largest number takes; some readers dislike 0.
    bit_width: u8,
}

impl<'a> Dictionary<'a> {
    fn of(runs: &[(Key<'a>, usize)]) -> Self {
        let (mut numbers, mut plain) = (BTreeMap::new(), Vec::new());
        for &(key, _) in runs {
            let next = numbers.len() as u32;
            numbers.entry(key).or_insert_with(|| {
                key.plain(&mut plain);
                next
            });
        }
        let bit_width = (u32::BITS - (numbers.len() as u32).saturating_sub(1).leading_zeros()).max(1) as u8;
        Self { numbers, plain, bit_width }
    }

    fn page(&self) -> CompressedPage {
        let buf = Bytes::copy_from_slice(&self.plain);
        let num_values = self.numbers.len() as u32;
        let page = Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
        CompressedPage::new(page, self.plain.len())
    }

    /// Runs in the RLE/bit-packing hybrid of the Parquet format: a varint of twice the length, the number.
    fn data_page(&self, runs: &[(Key<'a>, usize)], n_rows: usize) -> CompressedPage {
        let mut encoded = vec![self.bit_width];
        for (key, rows) in runs {
            let mut header = 2 * *rows as u64;
            while header >= 0x80 {
                encoded.push(header as u8 | 0x80);
                header >>= 7;
            }
            encoded.push(header as u8);
            encoded.extend(&self.numbers[key].to_le_bytes()[..usize::from(self.bit_width).div_ceil(8)]);
        }
        let len = encoded.len();
        let page = Page::DataPage {
            buf: encoded.into(),
            num_values: n_rows as u32,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        CompressedPage::new(page, len)
    }
}

/// What pages add up to.
#[derive(Default)]
struct Pages {
    n_bytes: u64,
    n_rows: u64,
    n_data_pages: i32,
    first_data_page: i64,
}

impl Pages {
    fn took(&mut self, spec: PageWriteSpec) {
        self.n_bytes += spec.bytes_written;
        if spec.page_type == PageType::DATA_PAGE {
            if self.n_data_pages == 0 {
                self.first_data_page = spec.offset as i64;
            }
            self.n_data_pages += 1;
            self.n_rows += u64::from(spec.num_values);
        }
    }

    fn metadata(&self, column: ColumnDescPtr, runs: &[(Key<'_>, usize)]) -> Result<ColumnChunkMetaData, ParquetError> {
        let encodings = [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY];
        let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
        ColumnChunkMetaData::builder(column)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(vec![
                stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, self.n_data_pages),
            ])
            .set_total_compressed_size(self.n_bytes as i64)
            .set_total_uncompressed_size(self.n_bytes as i64)
            .set_num_values(self.n_rows as i64)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(self.first_data_page)
            .set_statistics(match extremes(runs) {
                (Key::Number(min), Key::Number(max)) => Statistics::int64(Some(min), Some(max), None, Some(0), false),
                (min, max) => {
                    let bytes = |key: Key<'_>| Some(key.bytes().into());
                    Statistics::byte_array(bytes(min), bytes(max), None, Some(0), false)
                }
            })
            .build()
    }
}

/// The runs of each page, cut where a page is full.
fn split_by_rows<'a>(runs: &[(Key<'a>, usize)], page_rows: usize) -> Vec<Vec<(Key<'a>, usize)>> {
    let mut pages: Vec<Vec<(Key<'a>, usize)>> = Vec::new();
    let mut room = 0;
    for &(key, mut rows) in runs {
        while rows > 0 {
            if room == 0 {
                pages.push(Vec::new());
                room = page_rows;
            }
            let taken = rows.min(room);
            if let Some(page) = pages.last_mut() {
                page.push((key, taken));
            }
            rows -= taken;
            room -= taken;
        }
    }
    pages
}

/// # Panics
/// If there is no run: parts have rows.
fn extremes<'a>(runs: &[(Key<'a>, usize)]) -> (Key<'a>, Key<'a>) {
    let keys = || runs.iter().map(|&(key, _)| key);
    let found = keys().min().zip(keys().max());
    found.expect("a part has rows")
}
