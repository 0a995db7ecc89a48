//! The magnitudes of a part straight from its pages, without the elements and signs they belong to.
//!
//! Step, tensor and quantity stand in the file as runs of thousands of rows. They stay runs here: a key per row would cost
//! more than counting the values does.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::columns::Segment;
use crate::error::FormatError;
use crate::hybrid::for_each_run;
use crate::manifest::Manifest;
use crate::part_decoder::{check_rows, contained, content, open};
use crate::parts::PartEntry;

/// Magnitudes alone, segment by segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// All rows, in order.
    pub segments: Vec<Segment>,
    /// Absolute value; NaN where the file has null.
    pub magnitude: Vec<f32>,
}

/// The magnitudes of a listed part up to a step; its digest was checked before.
///
/// # Errors
/// [`FormatError`], naming `path`.
pub(crate) fn read_values(
    part: &PartEntry,
    path: &Path,
    bytes: Bytes,
    manifest: &Manifest,
    last_step: i64,
) -> Result<Values, FormatError> {
    contained(path, || {
        let metadata = open(part, path, &bytes)?;
        let bytes = Arc::new(bytes);
        let mut values = Values::default();
        for group in metadata.row_groups() {
            let chunks = Chunks { bytes: &bytes, group, manifest };
            chunks.read(&mut values).map_err(|Fault(reason)| content(path, reason))?;
        }
        check_rows(part, path, values.magnitude.len() as u64, " decoded")?;
        // Rows are sorted by step, so those of earlier steps come first.
        let n_segments = values.segments.partition_point(|segment| segment.step <= last_step);
        values.segments.truncate(n_segments);
        Ok(values)
    })
}

/// Why pages are not those of a part.
struct Fault(String);

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<ParquetError> for Fault {
    fn from(source: ParquetError) -> Self {
        Self(source.to_string())
    }
}

/// The column chunks of a row group.
struct Chunks<'a> {
    bytes: &'a Arc<Bytes>,
    group: &'a RowGroupMetaData,
    manifest: &'a Manifest,
}

impl Chunks<'_> {
    fn read(&self, values: &mut Values) -> Result<(), Fault> {
        let tensor = |name: &str| self.manifest.tensor_index(name);
        let quantity = |name: &str| self.manifest.quantity_index(name);
        let steps = self.runs("step", numbers)?;
        let tensors = self.runs("tensor", |plain, n| names("tensor", plain, n, tensor))?;
        let quantities = self.runs("quantity", |plain, n| names("quantity", plain, n, quantity))?;
        add_segments(&steps, &tensors, &quantities, values.magnitude.len(), &mut values.segments);
        values.magnitude.reserve(self.group.num_rows() as usize);
        self.for_each_page("magnitude", |page| add_magnitudes(&page, &mut values.magnitude))
    }

    /// A column of keys, which `decode` takes from plain values.
    fn runs<K: Copy + PartialEq>(
        &self,
        column: &str,
        decode: impl Fn(&[u8], usize) -> Result<Vec<K>, Fault>,
    ) -> Result<Runs<K>, Fault> {
        let (mut runs, mut dictionary) = (Runs { runs: Vec::new() }, Vec::new());
        self.for_each_page(column, |page| {
            let (buffer, n) = (page.buffer(), page.num_values() as usize);
            match (&page, page.encoding()) {
                (Page::DictionaryPage { .. }, _) => dictionary = decode(buffer, n)?,
                (_, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY) => {
                    let (&width, encoded) = buffer.split_first().ok_or("a page without any byte")?;
                    for_each_run(encoded, width, n, |index, n_rows| {
                        let key = dictionary.get(index as usize).ok_or("a number beyond its dictionary")?;
                        runs.push(*key, n_rows);
                        Ok::<(), Fault>(())
                    })?;
                }
                // What a dictionary has no room for.
                (_, Encoding::PLAIN) => decode(buffer, n)?.into_iter().for_each(|key| runs.push(key, 1)),
                (_, encoding) => return Err(Fault(format!("column {column} is encoded by {encoding}"))),
            }
            Ok(())
        })?;
        Ok(runs)
    }

    fn for_each_page(&self, column: &str, mut each: impl FnMut(Page) -> Result<(), Fault>) -> Result<(), Fault> {
        let is_column = |chunk: &&ColumnChunkMetaData| chunk.column_path().string() == column;
        let chunk = self.group.columns().iter().find(is_column).ok_or("a column is missing")?;
        let n_rows = self.group.num_rows() as usize;
        let mut pages = SerializedPageReader::new(Arc::clone(self.bytes), chunk, n_rows, None)?;
        while let Some(page) = pages.get_next_page()? {
            each(page)?;
        }
        Ok(())
    }
}

/// Keys, each with the row at which its run ends.
struct Runs<K> {
    runs: Vec<(K, usize)>,
}

impl<K: Copy + PartialEq> Runs<K> {
    fn push(&mut self, key: K, n_rows: usize) {
        match self.runs.last_mut() {
            Some((last, end)) if *last == key => *end += n_rows,
            last => {
                let start = last.map_or(0, |&mut (_, end)| end);
                self.runs.push((key, start + n_rows));
            }
        }
    }
}

/// Adds the rows at which none of three keys changes, `first_row` being the first.
fn add_segments(
    steps: &Runs<i64>,
    tensors: &Runs<u32>,
    quantities: &Runs<u32>,
    first_row: usize,
    segments: &mut Vec<Segment>,
) {
    let (mut tensors, mut quantities) = (tensors.runs.as_slice(), quantities.runs.as_slice());
    let mut start = 0;
    for &(step, step_end) in &steps.runs {
        while start < step_end
            && let ([(tensor, tensor_end), after_tensor @ ..], [(quantity, quantity_end), after_quantity @ ..]) =
                (tensors, quantities)
        {
            let end = step_end.min(*tensor_end).min(*quantity_end);
            let rows: Range<usize> = first_row + start..first_row + end;
            segments.push(Segment { step, tensor: *tensor, quantity: *quantity, rows });
            tensors = if end == *tensor_end { after_tensor } else { tensors };
            quantities = if end == *quantity_end { after_quantity } else { quantities };
            start = end;
        }
    }
}

/// Plain 64-bit integers.
fn numbers(plain: &[u8], n: usize) -> Result<Vec<i64>, Fault> {
    let (numbers, _) = plain.as_chunks();
    let numbers = numbers.get(..n).ok_or("fewer numbers than the page says")?;
    Ok(numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
}

/// Plain text, as the indices that `find` knows it by.
fn names(column: &str, mut plain: &[u8], n: usize, find: impl Fn(&str) -> Option<usize>) -> Result<Vec<u32>, Fault> {
    let mut found = Vec::new();
    for _ in 0..n {
        let name = prefixed(&mut plain).ok_or("fewer names than the page says")?;
        let name = str::from_utf8(name).ok().ok_or("a name that is no text")?;
        let index = find(name).ok_or_else(|| Fault(format!("{column} {name:?} is not in the manifest")))?;
        found.push(index as u32);
    }
    Ok(found)
}

/// Takes bytes that their number precedes, in four bytes.
fn prefixed<'a>(plain: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = plain.split_off(..4)?.try_into().ok().map(u32::from_le_bytes)?;
    plain.split_off(..len as usize)
}

/// Plain floats that may be null: a length, as many bytes of levels, 1 where there is a value; the values.
fn add_magnitudes(page: &Page, magnitude: &mut Vec<f32>) -> Result<(), Fault> {
    let Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, def_level_encoding: Encoding::RLE, .. } = page
    else {
        return Err("magnitudes that are not plain".into());
    };
    let mut plain = buf.as_ref();
    let levels = prefixed(&mut plain).ok_or("levels beyond their page")?;
    for_each_run(levels, 1, *num_values as usize, |level, n_rows| {
        if level == 0 {
            magnitude.resize(magnitude.len() + n_rows, f32::NAN);
            return Ok(());
        }
        let values = plain.split_off(..n_rows * size_of::<f32>()).ok_or("fewer magnitudes than the page says")?;
        magnitude.extend(values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use proptest::prelude::*;

    use super::*;
    use crate::{Mode, OptimizerSettings, Table, TensorInfo};

    const TENSORS: [&str; 3] = ["a", "b", "c"];
    const QUANTITIES: [&str; 2] = ["gradient", "critical_epsilon.adam"];

    /// Step, tensor, quantity, magnitude.
    type Row = (i64, u32, u32, Option<f32>);

    fn manifest() -> Manifest {
        let optimizer = OptimizerSettings::adam();
        let mut manifest = Manifest::new("run".to_owned(), Mode::Monitoring, optimizer, "test".to_owned());
        let tensor = |name: &&str| TensorInfo { name: (*name).to_owned(), shape: vec![1], recorded_elements: 1 };
        manifest.tensors = TENSORS.iter().map(tensor).collect();
        manifest.quantities = QUANTITIES.map(str::to_owned).to_vec();
        manifest
    }

    /// A row group by the Parquet library's own writer, which packs short runs and gives up dictionaries beyond `limit`.
    fn written(rows: &[Row], limit: usize, page_rows: usize) -> Bytes {
        let columns: [ArrayRef; 6] = [
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| TENSORS[row.1 as usize]))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| QUANTITIES[row.2 as usize]))),
            Arc::new((0..rows.len() as i64).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Float32Array>()),
            Arc::new(rows.iter().map(|_| None).collect::<BooleanArray>()),
        ];
        let schema = Table::Magnitudes.arrow_schema();
        let columns =
            columns.iter().zip(schema.fields()).map(|(column, field)| arrow::compute::cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>().expect("text becomes what the table has");
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of the table");
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_column_dictionary_enabled("magnitude".into(), false)
            .set_column_dictionary_page_size_limit("step".into(), limit)
            .set_data_page_row_count_limit(page_rows)
            .set_write_batch_size(8)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).expect("a writer");
        writer.write(&batch).expect("rows to memory");
        writer.into_inner().expect("a footer").into()
    }

    fn read(bytes: &Bytes) -> Values {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).expect("a Parquet file");
        let (bytes, manifest) = (Arc::new(bytes.clone()), manifest());
        let mut values = Values::default();
        for group in metadata.row_groups() {
            let chunks = Chunks { bytes: &bytes, group, manifest: &manifest };
            chunks.read(&mut values).unwrap_or_else(|Fault(reason)| panic!("{reason}"));
        }
        values
    }

    proptest! {
        #[test]
        fn prop_rows_in_any_encoding_are_read_as_they_are(
            runs in prop::collection::vec((0i64..40, 0u32..3, 0u32..2, 1usize..40, any::<bool>()), 1..60),
            limit in 16usize..2000,
            page_rows in 8usize..400,
        ) {
            let rows = runs.iter().enumerate().flat_map(|(index, &(step, tensor, quantity, n, has_nulls))| {
                let magnitude = move |row: usize| (!has_nulls || !row.is_multiple_of(3)).then_some((index * 40 + row) as f32);
                (0..n).map(move |row| (step, tensor, quantity, magnitude(row)))
            });
            let rows: Vec<Row> = rows.collect();
            let values = read(&written(&rows, limit, page_rows));
            let found: Vec<Row> = values.segments.iter().flat_map(|segment| {
                let magnitudes = values.magnitude[segment.rows.clone()].iter();
                magnitudes.map(|&it| (segment.step, segment.tensor, segment.quantity, (!it.is_nan()).then_some(it)))
            }).collect();
            prop_assert_eq!(found, rows);
        }
    }
}
