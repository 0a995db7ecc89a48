//! Files made to exhaust whoever reads them, listed with their right digests: each is refused for what it says of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use epsiloscope_format::{Cadence, FormatError, Run, Table};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};

use crate::many_damaged::cpu_bomb;
use crate::resealed::{digest, edit_manifest, relist, replace_part};
use crate::synthetic::Synthetic;

const PART: &str = "magnitudes/part-r000-00000.parquet";
/// Columns of `magnitudes`.
const TENSOR: usize = 1;
const ELEMENT: usize = 3;
const MIB: usize = 1 << 20;
const ZSTD: fn() -> Compression = || Compression::ZSTD(ZstdLevel::default());

fn run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { steps: 2, snapshots: vec![2], ..Synthetic::default() }.write(&dir.path().join("r-1"));
    (dir, run)
}

fn read(run: &Path) -> Result<(), FormatError> {
    let run = Run::open(run)?;
    run.magnitudes().try_for_each(|batch| batch.map(|_| ()))?;
    run.scalars().try_for_each(|batch| batch.map(|_| ()))
}

/// Puts a file in the place of the run's magnitudes, and gives what the reader says.
fn said_of(crafted: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let (_dir, run) = run();
    let crafted = crafted(&fs::read(run.join(PART)).unwrap());
    replace_part(&run, PART, &crafted);
    let fault = read(&run).expect_err("a crafted file is refused").to_string();
    assert!(fault.contains(PART), "{fault}");
    fault
}

fn assert_says(words: &str, crafted: impl FnOnce(&[u8]) -> Vec<u8>) {
    let fault = said_of(crafted);
    assert!(fault.contains(words), "no {words:?} in {fault}");
}

/// A Parquet file of some pages and a footer.
pub(crate) fn file(pages: &[u8], footer: &[u8]) -> Vec<u8> {
    [b"PAR1", pages, footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// Seven bits a byte, the lowest first.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while 0x7f < number {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of 32 bits whose number is one more than that before.
fn int(number: i32) -> Vec<u8> {
    [&[0x15][..], &varint(((i64::from(number) << 1) ^ (i64::from(number) >> 63)) as u64)].concat()
}

/// A footer with a schema of these elements, no rows and some row groups' count.
fn footer(elements: &[Vec<u8>], groups: &[u8]) -> Vec<u8> {
    let count = [&[0x19, 0xfc][..], &varint(elements.len() as u64)].concat();
    [int(1), count, elements.concat(), vec![0x16, 0x00], groups.to_vec(), vec![0x00]].concat()
}

/// A group of the schema, with a repetition and a name.
fn group(n_children: i32) -> Vec<u8> {
    [&[0x35, 0x00, 0x18, 0x01, b's'][..], &int(n_children), &[0x00]].concat()
}

/// The header of a page of rows.
fn data_page(n_decompressed: usize, n_stored: usize, n_rows: i64, encoding: i32) -> Vec<u8> {
    let sizes = [int(0), int(n_decompressed as i32), int(n_stored as i32), vec![0x2c]].concat();
    [sizes, int(n_rows as i32), int(encoding), int(3), int(3), vec![0x00, 0x00]].concat()
}

/// The header of a dictionary.
fn dictionary_page(n_decompressed: usize, n_stored: usize, n_values: i32) -> Vec<u8> {
    let sizes = [int(2), int(n_decompressed as i32), int(n_stored as i32), vec![0x4c]].concat();
    [sizes, int(n_values), int(0), vec![0x00, 0x00]].concat()
}

/// A ZSTD frame of zeros: four bytes for every 128 KiB.
fn zstd_zeros(n: usize) -> Vec<u8> {
    let n_blocks = n.div_ceil(MIB / 8);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 1..=n_blocks {
        let header = (MIB / 8) << 3 | 1 << 1 | usize::from(block == n_blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// The same file with another footer, after more pages.
fn with_footer(part: &[u8], pages: &[u8], change: impl FnOnce(ParquetMetaData, i64) -> ParquetMetaData) -> Vec<u8> {
    let len = u32::from_le_bytes(part[part.len() - 8..][..4].try_into().unwrap()) as usize;
    let (body, footer) = part[..part.len() - 8].split_at(part.len() - 8 - len);
    let metadata = change(ParquetMetaDataReader::decode_metadata(footer).unwrap(), body.len() as i64);
    let mut file = [body, pages].concat();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    file.extend(footer);
    file
}

fn with_column(
    metadata: ParquetMetaData,
    column: usize,
    change: impl FnOnce(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder,
) -> ParquetMetaData {
    let group = metadata.row_group(0).clone();
    let mut columns = group.columns().to_vec();
    columns[column] = change(columns[column].clone().into_builder()).build().unwrap();
    let group = group.into_builder().set_column_metadata(columns).build().unwrap();
    metadata.into_builder().set_row_groups(vec![group]).build()
}

/// The same file with other pages for a column.
fn with_pages(part: &[u8], column: usize, codec: Compression, pages: impl FnOnce(i64) -> Vec<u8>) -> Vec<u8> {
    let n_rows = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(part.to_vec())).unwrap();
    let pages = pages(n_rows.file_metadata().num_rows());
    with_footer(part, &pages, |metadata, start| {
        with_column(metadata, column, |chunk| {
            chunk
                .set_compression(codec)
                .set_dictionary_page_offset(None)
                .set_data_page_offset(start)
                .set_total_compressed_size(pages.len() as i64)
        })
    })
}

#[test]
fn lists_of_elements_without_size_that_take_hours() {
    assert_says("its footer is a field that no part has", |_part| cpu_bomb());
    let many = [[0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07].repeat(1000), vec![0x00]].concat();
    assert_says("its footer is a field that no part has", |_part| file(&[], &many));
}

#[test]
fn schemas_that_overflow_the_stack_or_reserve_gigabytes() {
    let nested = footer(&vec![group(1); 400], &[0x19, 0x0c]);
    assert_says("its schema is nested: expected a list of columns", |_part| file(&[], &nested));
    let wide = footer(&[group(i32::MAX)], &[0x19, 0x0c]);
    assert_says("its schema is nested: expected a list of columns", |_part| file(&[], &wide));
}

#[test]
fn footers_that_count_more_than_they_hold() {
    let groups = [&[0x19, 0xfc][..], &varint(i32::MAX as u64)].concat();
    assert_says("its footer is a length beyond its end", |_part| file(&[], &footer(&[group(0)], &groups)));
    let name = [&[0x48][..], &varint(u64::MAX >> 1)].concat();
    assert_says("its footer is a length beyond its end", |_part| file(&[], &footer(&[name], &groups)));
    assert_says("its footer is a number beyond its type", |_part| {
        file(&[], &[&[0x15][..], &varint(1 << 40), &[0x00]].concat())
    });
    assert_says("at most 16 MiB", |_part| file(&[], &vec![0; 17 * MIB]));
    assert_says("its end is no footer", |part| [&part[..part.len() - 1], b"E"].concat());
    assert_says("its end is no footer", |_part| [b"PAR1", &[0xff, 0, 0, 0][..], b"PAR1"].concat());
}

#[test]
fn more_row_groups_than_any_part_has() {
    assert_says("5000 row groups: expected at most 4096", |part| {
        with_footer(part, &[], |metadata, _start| {
            let group: RowGroupMetaData = metadata.row_group(0).clone();
            metadata.into_builder().set_row_groups(vec![group; 5000]).build()
        })
    });
}

#[test]
fn impossible_numbers_of_rows() {
    for n_rows in [1 << 62, -5, i64::MIN, 5 << 20] {
        assert_says(&format!("its number of rows is {n_rows}: expected 0 to 4194304"), |part| {
            with_footer(part, &[], |metadata, _start| {
                let group = metadata.row_group(0).clone().into_builder().set_num_rows(n_rows).build().unwrap();
                metadata.into_builder().set_row_groups(vec![group]).build()
            })
        });
    }
    assert_says("a column of a row group is", |part| {
        with_footer(part, &[], |metadata, _start| with_column(metadata, ELEMENT, |chunk| chunk.set_num_values(1 << 40)))
    });
}

#[test]
fn columns_beyond_the_file_or_in_another_s_place() {
    let misplaced = |part: &[u8], start: i64, len: i64| {
        with_footer(part, &[], |metadata, _start| {
            with_column(metadata, ELEMENT, |chunk| {
                chunk.set_dictionary_page_offset(None).set_data_page_offset(start).set_total_compressed_size(len)
            })
        })
    };
    let words = "a column's place is beyond the file or another's";
    for (start, len) in [(4, 1 << 40), (1 << 40, 1)] {
        assert_says(words, |part| misplaced(part, start, len));
    }
    assert_says(words, |part| misplaced(part, 4, part.len() as i64 - 8000));
    // In zigzag a number is below zero if its last bit is set.
    let odd: i64 = 0x1234_5678;
    for (start, len) in [(odd, 10), (4, odd)] {
        assert_says(words, |part| {
            let mut file = misplaced(part, start, len);
            let number = varint(2 * odd as u64);
            let at = file.windows(number.len()).rposition(|bytes| bytes == number).unwrap();
            file[at] |= 1;
            file
        });
    }
}

#[test]
fn pages_that_decompress_to_gigabytes() {
    let frame = zstd_zeros(1 << 30);
    let bomb = |declared: usize| {
        let frame = frame.clone();
        said_of(|part| {
            with_pages(part, ELEMENT, ZSTD(), |n_rows| [data_page(declared, frame.len(), n_rows, 0), frame].concat())
        })
    };
    assert!(bomb(1 << 30).contains("1073741824 decompressed: expected at most"));
    assert!(bomb(i32::MAX as usize).contains("2147483647 decompressed: expected at most"));
    assert!(bomb(100).contains("Destination buffer is too small"), "{}", bomb(100));
    assert_says("its pages is more than 256 MiB decompressed", |part| {
        let frame = zstd_zeros(8 * MIB);
        with_pages(part, ELEMENT, ZSTD(), |_| [data_page(8 * MIB, frame.len(), 0, 0), frame].concat().repeat(40))
    });
}

#[test]
fn pages_that_hold_something_else() {
    let page = |n_decompressed, n_rows, encoding, len| {
        said_of(|part| {
            with_pages(part, ELEMENT, Compression::UNCOMPRESSED, |_| {
                [data_page(n_decompressed, len, n_rows, encoding), vec![0; len]].concat()
            })
        })
    };
    assert!(page(64, 8, 0, 64).contains("a column's pages is 8 rows: expected"));
    assert!(page(64, -8, 0, 64).contains("a page is of kind 0"));
    assert!(page(64, 8, 9, 64).contains("a page is of kind 0"));
    assert!(page(128, 8, 0, 64).contains("a page's codec is UNCOMPRESSED"));
    assert_says("a page is of kind 2", |part| {
        with_pages(part, ELEMENT, ZSTD(), |_| [dictionary_page(64, 64, i32::MAX), vec![0; 64]].concat())
    });
    let gzip = Compression::GZIP(GzipLevel::default());
    assert_says("a page's codec is GZIP", |part| {
        with_pages(part, ELEMENT, gzip, |n_rows| [data_page(64, 64, n_rows, 0), vec![0; 64]].concat())
    });
    assert_says("a page's header is a field that no part has", |part| {
        with_pages(part, ELEMENT, ZSTD(), |_| vec![0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00])
    });
}

/// One long text, referred to by every row, takes as much as all rows together once it is spelled out.
#[test]
fn texts_that_are_spelled_out_for_every_row() {
    let text = [&(MIB as u32).to_le_bytes()[..], &vec![b'x'; MIB]].concat();
    let dictionary = [dictionary_page(text.len(), text.len(), 1), text].concat();
    let runs = |n_rows: i64| [vec![1], varint(2 * n_rows as u64), vec![0]].concat();
    let by_number = |n_rows| [data_page(runs(n_rows).len(), runs(n_rows).len(), n_rows, 8), runs(n_rows)].concat();
    let plain = [data_page(5, 5, 1, 0), vec![1, 0, 0, 0, b'x']].concat();
    assert_says("a page is of kind 0", |part| {
        with_pages(part, TENSOR, Compression::UNCOMPRESSED, |n_rows| {
            [dictionary.clone(), by_number(n_rows - 1), plain].concat()
        })
    });
    // DELTA_BYTE_ARRAY: every text is the one before, and more.
    assert_says("a page is of kind 0", |part| {
        with_pages(part, TENSOR, Compression::UNCOMPRESSED, |n_rows| data_page(0, 0, n_rows, 7))
    });
    // By number alone it is one text, and no tensor's name.
    assert_says("is not in the manifest", |part| {
        with_pages(part, TENSOR, Compression::UNCOMPRESSED, |n_rows| [dictionary, by_number(n_rows)].concat())
    });
}

#[test]
fn scalars_whose_names_are_books() {
    let (_dir, run) = run();
    let scalars = Run::open(&run).unwrap().parts(Table::Scalars).next().unwrap().clone();
    let field = |name, data_type, nullable| Field::new(name, data_type, nullable);
    let schema = Arc::new(Schema::new(vec![
        field("step", DataType::Int64, false),
        field("name", DataType::Utf8, false),
        field("value", DataType::Float64, true),
    ]));
    let n_rows = scalars.rows as usize;
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1; n_rows])),
        Arc::new(StringArray::from(vec!["x".repeat(600); n_rows])),
        Arc::new(Float64Array::from(vec![0.0; n_rows])),
    ];
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    replace_part(&run, &scalars.relative_path().display().to_string(), &writer.into_inner().unwrap());
    let fault = read(&run).unwrap_err().to_string();
    assert!(fault.contains(&scalars.file) && fault.contains("a name of 600 bytes: expected at most 512"), "{fault}");
}

#[test]
fn a_table_in_the_place_of_another() {
    let (_dir, run) = run();
    let other = Run::open(&run).unwrap().parts(Table::Tensors).next().unwrap().relative_path();
    let tensors = fs::read(run.join(other)).unwrap();
    replace_part(&run, PART, &tensors);
    assert!(read(&run).unwrap_err().to_string().contains("column element: expected Int64, found nothing in its place"));
}

#[test]
fn lists_of_parts_larger_than_any_part() {
    for (field, words) in [("bytes", "larger than 64 MiB"), ("rows", "at most 4194304 are in a part")] {
        let (_dir, run) = run();
        relist(&run, |part| part[field] = (1u64 << 60).into());
        assert!(read(&run).unwrap_err().to_string().contains(words));
    }
}

/// Of a thinned recording every absent step could be one to tell.
#[test]
fn a_run_of_more_steps_than_can_be_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cadence = Cadence { every: 2, ranges: Vec::new() };
    let run = Synthetic { steps: 3, cadence, ..Synthetic::default() }.write(&dir.path().join("r-1"));
    let list = run.join("parts-r000.jsonl");
    let line: serde_json::Value = serde_json::from_str(&fs::read_to_string(&list).unwrap()).unwrap();
    let commit = line["commit"].to_string().replace("\"through\":3", &format!("\"through\":{}", 1i64 << 62));
    fs::write(&list, format!("{{\"commit\":{commit},\"digest\":\"{}\"}}\n", digest(commit.as_bytes()))).unwrap();
    let run = Run::open(&run).unwrap();
    assert_eq!(run.last_step(), 1 << 62);
    let missing = run.missing_steps().unwrap();
    assert_eq!((missing[0], missing.len()), ((5, 5), 1 << 20));
}

#[test]
fn more_ranks_than_there_are_processes() {
    let (_dir, run) = run();
    edit_manifest(&run, "\"world_size\": 1", "\"world_size\": 4294967295");
    assert!(read(&run).unwrap_err().to_string().contains("world_size is 4294967295: expected at most 65536"));
}
