//! IDX, the file format of MNIST and its successors: big-endian header words, then bytes; gzipped or not.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
/// Ten times the size of MNIST: a larger header is more likely to be damaged than true.
const MAX_BYTES: u64 = 1 << 29;

/// What is wrong with a file of images or labels.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdxError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// Nothing there.
    #[error("{}: no such directory: expected one with IDX files", path.display())]
    NoDirectory { path: PathBuf },

    /// Neither `name` nor `name.gz` is there.
    #[error("{}: no such file, gzipped or not: expected an IDX file", path.display())]
    Missing { path: PathBuf },

    /// Not gzip, or damaged.
    #[error("{}: expected a gzip file", path.display())]
    Gzip { path: PathBuf, source: std::io::Error },

    /// Something else than the IDX file that was wanted.
    #[error("{}: bad magic number: found 0x{found:08x}, expected 0x{expected:08x} ({what})", path.display())]
    Magic { path: PathBuf, found: u32, expected: u32, what: &'static str },

    /// Shorter or longer than its header says.
    #[error("{}: {found} bytes, unpacked: expected {expected}, as its header says", path.display())]
    Length { path: PathBuf, found: u64, expected: u64 },

    /// A header that no data set has.
    #[error("{}: its header promises {found} bytes: expected 1 to {MAX_BYTES}", path.display())]
    Size { path: PathBuf, found: u128 },

    /// A label of no class.
    #[error("{}: label {found} of item {index}: expected 0 to {}", path.display(), N_CLASSES - 1)]
    Label { path: PathBuf, found: u8, index: usize },

    /// Images and labels of different data sets.
    #[error("{}: {found} labels: expected {expected}, one per image", path.display())]
    Mismatch { path: PathBuf, found: usize, expected: usize },
}

/// Classes that a label tells apart.
pub(crate) const N_CLASSES: u8 = 10;

/// Images with their labels.
#[derive(Debug, PartialEq)]
pub(crate) struct Labelled {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Grey values, image by image, row by row.
    pub(crate) pixels: Vec<u8>,
    /// One per image, below [`N_CLASSES`].
    pub(crate) labels: Vec<u8>,
}

/// Reads `{split}-images-idx3-ubyte` and `{split}-labels-idx1-ubyte`, each with or without `.gz`.
pub(crate) fn read_labelled(dir: &Path, split: &str) -> Result<Labelled, IdxError> {
    let (_, [n_images, rows, columns], pixels) =
        read(dir, &format!("{split}-images-idx3-ubyte"), IMAGES_MAGIC, "images")?;
    let (path, [n_labels], labels) = read(dir, &format!("{split}-labels-idx1-ubyte"), LABELS_MAGIC, "labels")?;
    if n_labels != n_images {
        return Err(IdxError::Mismatch { path, found: n_labels, expected: n_images });
    }
    if let Some(index) = labels.iter().position(|&label| label >= N_CLASSES) {
        return Err(IdxError::Label { path, found: labels[index], index });
    }
    Ok(Labelled { rows, columns, pixels, labels })
}

/// The path, sizes along `D` axes and bytes of a file.
fn read<const D: usize>(
    dir: &Path,
    name: &str,
    magic: u32,
    what: &'static str,
) -> Result<(PathBuf, [usize; D], Vec<u8>), IdxError> {
    let path = find(dir, name)?;
    let bytes = unpack(&path)?;
    let (header, header_len) = (header_words(&bytes), 4 * (1 + D));
    if let Some(&found) = header.first().filter(|&&found| found != magic) {
        return Err(IdxError::Magic { path, found, expected: magic, what });
    }
    let length = |expected| IdxError::Length { path: path.clone(), found: bytes.len() as u64, expected };
    let sizes = header.get(1..=D).ok_or_else(|| length(header_len as u64))?;
    let promised = sizes.iter().map(|&size| u128::from(size)).product::<u128>();
    if !(1..=u128::from(MAX_BYTES)).contains(&promised) {
        return Err(IdxError::Size { path, found: promised });
    }
    let expected = header_len as u64 + promised as u64;
    if bytes.len() as u64 != expected {
        return Err(length(expected));
    }
    let sizes = std::array::from_fn(|axis| sizes[axis] as usize);
    Ok((path, sizes, bytes[header_len..].to_vec()))
}

/// The big-endian words that may be a header: as many as the longest one has, fewer if the file ends before.
fn header_words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().take(4).map(|&word| u32::from_be_bytes(word)).collect()
}

fn find(dir: &Path, name: &str) -> Result<PathBuf, IdxError> {
    if !dir.is_dir() {
        return Err(IdxError::NoDirectory { path: dir.to_owned() });
    }
    let names = [name.to_owned(), format!("{name}.gz")];
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| IdxError::Missing { path: dir.join(name) })
}

/// The bytes of a file, unpacked if its name says so; a little more than [`MAX_BYTES`] at most.
fn unpack(path: &Path) -> Result<Vec<u8>, IdxError> {
    let file = fs_err::File::open(path)?;
    let mut bytes = Vec::new();
    let limit = MAX_BYTES + 64;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let gzip = |source| IdxError::Gzip { path: path.to_owned(), source };
        MultiGzDecoder::new(file).take(limit).read_to_end(&mut bytes).map_err(gzip)?;
    } else {
        file.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const IMAGES: &str = "train-images-idx3-ubyte";
    const LABELS: &str = "train-labels-idx1-ubyte";

    fn idx(magic: u32, sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let words = std::iter::once(&magic).chain(sizes);
        words.flat_map(|word| word.to_be_bytes()).chain(data.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Two images of 2×3 pixels.
    fn images() -> Vec<u8> {
        idx(IMAGES_MAGIC, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    }

    fn labels() -> Vec<u8> {
        idx(LABELS_MAGIC, &[2], &[9, 0])
    }

    fn read_files(files: &[(&str, Vec<u8>)]) -> Result<Labelled, IdxError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs_err::write(dir.path().join(name), bytes).unwrap();
        }
        read_labelled(dir.path(), "train")
    }

    /// The message, from the file's name on.
    fn fault(files: &[(&str, Vec<u8>)]) -> String {
        let message = read_files(files).unwrap_err().to_string();
        let start = message.find("train-").unwrap_or_else(|| panic!("no file named in {message}"));
        message[start..].to_owned()
    }

    #[test]
    fn plain_and_gzipped_files_hold_the_same() {
        let plain = read_files(&[(IMAGES, images()), (LABELS, labels())]).unwrap();
        assert_eq!(
            (plain.rows, plain.columns, &plain.pixels[..3], &plain.labels[..]),
            (2, 3, &[0, 1, 2][..], &[9, 0][..])
        );
        let (gz_images, gz_labels) = (format!("{IMAGES}.gz"), format!("{LABELS}.gz"));
        assert_eq!(plain, read_files(&[(&gz_images, gzip(&images())), (&gz_labels, gzip(&labels()))]).unwrap());
    }

    #[test]
    fn a_bad_magic_number_is_told_with_the_expected_one() {
        assert_eq!(
            fault(&[(IMAGES, labels()), (LABELS, labels())]),
            "train-images-idx3-ubyte: bad magic number: found 0x00000801, expected 0x00000803 (images)"
        );
        assert_eq!(
            fault(&[(IMAGES, images()), (LABELS, images())]),
            "train-labels-idx1-ubyte: bad magic number: found 0x00000803, expected 0x00000801 (labels)"
        );
    }

    #[test]
    fn truncated_and_overlong_files_are_refused() {
        let mut truncated = images();
        truncated.pop();
        assert_eq!(
            fault(&[(IMAGES, truncated), (LABELS, labels())]),
            "train-images-idx3-ubyte: 27 bytes, unpacked: expected 28, as its header says"
        );
        let mut overlong = labels();
        overlong.push(0);
        assert_eq!(
            fault(&[(IMAGES, images()), (LABELS, overlong)]),
            "train-labels-idx1-ubyte: 11 bytes, unpacked: expected 10, as its header says"
        );
        assert!(fault(&[(IMAGES, Vec::new()), (LABELS, labels())]).contains("0 bytes"));
    }

    #[test]
    fn a_damaged_gzip_file_is_refused() {
        let name = format!("{IMAGES}.gz");
        let mut truncated = gzip(&images());
        truncated.truncate(20);
        assert!(
            fault(&[(&name, truncated), (LABELS, labels())])
                .starts_with("train-images-idx3-ubyte.gz: expected a gzip file")
        );
        assert!(
            fault(&[(&name, images()), (LABELS, labels())])
                .starts_with("train-images-idx3-ubyte.gz: expected a gzip file")
        );
    }

    #[test]
    fn headers_beyond_reason_are_refused_before_anything_is_allocated() {
        let huge = idx(IMAGES_MAGIC, &[u32::MAX, u32::MAX, u32::MAX], &[]);
        assert!(fault(&[(IMAGES, huge), (LABELS, labels())]).contains("expected 1 to 536870912"));
        let empty = idx(IMAGES_MAGIC, &[0, 28, 28], &[]);
        assert!(fault(&[(IMAGES, empty), (LABELS, labels())]).contains("promises 0 bytes"));
    }

    #[test]
    fn labels_must_fit_the_images_and_the_classes() {
        let one = idx(LABELS_MAGIC, &[1], &[3]);
        assert_eq!(
            fault(&[(IMAGES, images()), (LABELS, one)]),
            "train-labels-idx1-ubyte: 1 labels: expected 2, one per image"
        );
        let wrong = idx(LABELS_MAGIC, &[2], &[3, 10]);
        assert_eq!(
            fault(&[(IMAGES, images()), (LABELS, wrong)]),
            "train-labels-idx1-ubyte: label 10 of item 1: expected 0 to 9"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(fault(&[(IMAGES, images())]).starts_with("train-labels-idx1-ubyte: no such file, gzipped or not"));
    }
}
