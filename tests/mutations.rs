//! Part files changed at random and listed with the digest that they then have.
//!
//! `EPSILOSCOPE_MUTATIONS=1000000 cargo test -p epsiloscope --test integration mutations -- --nocapture` tries a million.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use epsiloscope_format::{FormatError, Run, Table};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use peak_alloc::PeakAlloc;

use crate::resealed::{overwrite, replace_part};
use crate::synthetic::Synthetic;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
/// More than any file may take.
const MAX_BYTES: usize = 1 << 30;

const SEED: u64 = 20_231_121;
const MUTATIONS: usize = 20_000;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let state = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn within(&mut self, range: &Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A part file and where in it its footer and the headers of its pages are.
struct Part {
    table: Table,
    path: String,
    bytes: Vec<u8>,
    headers: Vec<Range<usize>>,
    footer: Range<usize>,
}

impl Part {
    fn read(run: &Path, table: Table, path: String) -> Self {
        let bytes = fs::read(run.join(&path)).unwrap();
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        reader.try_parse(&bytes::Bytes::from(bytes.clone())).unwrap();
        let metadata = reader.finish().unwrap();
        let chunks = metadata.row_group(0).columns().iter().map(|chunk| chunk.byte_range().0 as usize);
        let pages = metadata.offset_index().unwrap()[0].iter().flat_map(OffsetIndexMetaData::page_locations);
        let starts = chunks.chain(pages.map(|page| page.offset as usize));
        let headers = starts.map(|start| start..start + 24).collect();
        let (end, len) = (bytes.len() - 8, u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()));
        Self { table, path, headers, footer: end - len as usize..end, bytes }
    }

    /// Where to change something: mostly where a reader learns what comes.
    fn place(&self, random: &mut Random) -> usize {
        match random.below(10) {
            0..4 => random.within(&self.footer),
            4..7 => {
                let header = random.pick(&self.headers).clone();
                random.within(&header)
            }
            _ => random.below(self.bytes.len()),
        }
    }

    fn mutated(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..=random.below(4) {
            let at = self.place(random).min(bytes.len() - 1);
            match random.below(8) {
                0 | 1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes[at] = random.next() as u8,
                3 => bytes[at] = *random.pick(&[0, 1, 0x0f, 0x7f, 0x80, 0xf1, 0xff]),
                4 => drop(bytes.remove(at)),
                5 => bytes.insert(at, random.next() as u8),
                // A number as large as its type allows.
                6 => drop(
                    bytes.splice(at..(at + 5).min(bytes.len()), *random.pick(&[[0xfe, 0xff, 0xff, 0xff, 0x0f]; 1])),
                ),
                _ => {
                    let from = random.below(bytes.len());
                    let piece = bytes[from..(from + 1 + random.below(16)).min(bytes.len())].to_vec();
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..end, piece);
                }
            }
        }
        // The length that the footer then has, so that it is found.
        let footer_len = (bytes.len().saturating_sub(8 + self.footer.start)) as u32;
        if 8 < bytes.len() && random.below(4) != 0 {
            let at = bytes.len() - 8;
            bytes[at..].copy_from_slice(&[&footer_len.to_le_bytes()[..], b"PAR1"].concat());
        }
        bytes
    }
}

fn read(run: &Path, table: Table) -> Result<(), FormatError> {
    let run = Run::open(run)?;
    match table {
        Table::Magnitudes => run.magnitudes().try_for_each(|batch| batch.map(|_| ())),
        Table::Histograms => run.histograms().try_for_each(|batch| batch.map(|_| ())),
        Table::Tensors => run.tensors().try_for_each(|batch| batch.map(|_| ())),
        Table::Scalars => run.scalars().try_for_each(|batch| batch.map(|_| ())),
        Table::Steps => run.steps().try_for_each(|batch| batch.map(|_| ())),
    }
}

fn parts(run: &Path) -> Vec<Part> {
    let opened = Run::open(run).unwrap();
    let path = |part: &epsiloscope_format::PartEntry| part.relative_path().display().to_string();
    Table::ALL
        .iter()
        .flat_map(|&table| opened.parts(table).map(move |part| Part::read(run, table, path(part))))
        .collect()
}

/// What mutated files led to.
#[derive(Debug, Default)]
struct Tally {
    decoded: usize,
    refused: usize,
    failed: usize,
    panicked: usize,
    slowest: Duration,
}

impl Tally {
    fn count(&mut self, outcome: &Result<(), FormatError>, took: Duration) {
        let counter = match outcome {
            Ok(()) => &mut self.decoded,
            Err(FormatError::Refused { .. } | FormatError::Column { .. }) => &mut self.refused,
            Err(fault) if fault.to_string().contains("cannot be decoded") => &mut self.panicked,
            Err(_fault) => &mut self.failed,
        };
        *counter += 1;
        self.slowest = self.slowest.max(took);
    }
}

/// Panics of the libraries are expected and contained; of others the message is wanted.
fn silence_libraries() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic
            .location()
            .is_some_and(|place| ["/parquet-", "/arrow-"].iter().any(|name| place.file().contains(name)))
        {
            hook(panic);
        }
    }));
}

/// A panic that gets out, an abort or a gigabyte fails this test; so does a file that is never done with.
#[test]
fn no_mutated_part_panics_aborts_or_exhausts() {
    let n_mutations = std::env::var("EPSILOSCOPE_MUTATIONS").map_or(MUTATIONS, |n| n.parse().unwrap());
    silence_libraries();
    let dir = tempfile::tempdir().unwrap();
    let run: PathBuf =
        Synthetic { steps: 3, snapshots: vec![2], ..Synthetic::default() }.write(&dir.path().join("r-1"));
    let list = fs::read(run.join("parts-r000.jsonl")).unwrap();
    let parts = parts(&run);
    let mut random = Random(SEED);
    let mut tally = Tally::default();
    for n in 0..n_mutations {
        let part = &parts[n % parts.len()];
        let mutated = part.mutated(&mut random);
        replace_part(&run, &part.path, &mutated);
        let begun = Instant::now();
        let outcome = read(&run, part.table);
        tally.count(&outcome, begun.elapsed());
        if let Err(fault) = outcome {
            assert!(fault.to_string().contains(&part.path), "mutation {n}: {fault}");
        }
        overwrite(&run.join(&part.path), &part.bytes);
        overwrite(&run.join("parts-r000.jsonl"), &list);
    }
    let peak = ALLOCATOR.peak_usage();
    assert!(peak < MAX_BYTES, "{peak} bytes");
    assert!(n_mutations / 4 < tally.refused, "most mutations hit what the guard looks at: {tally:?}");
    eprintln!("{n_mutations} mutated files: {tally:?}, at most {peak} bytes allocated");
}
