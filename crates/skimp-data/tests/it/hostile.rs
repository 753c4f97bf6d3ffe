//! Damaged files: always an error that names the file, never a panic or a huge allocation.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use skimp_data::{Dataset, Split, npy};

use crate::support::{open, open_error, preprocess};

fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|extent| bytes.extend_from_slice(&extent.to_be_bytes()));
    bytes.extend_from_slice(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write_idx(folder: &Path, images: &[u8], labels: &[u8]) {
    fs::write(folder.join("t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.join("t10k-labels-idx1-ubyte"), labels).unwrap();
}

#[test]
fn idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("mnist:{}", folder.path().display());
    let good_images = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let good_labels = idx(&[2], &[9, 0]);
    assert!(open_error(&location).contains(
        "no file t10k-images-idx3-ubyte or t10k-images.idx3-ubyte or t10k-images-idx3-ubyte.gz or t10k-images.idx3-ubyte.gz"
    ));
    write_idx(folder.path(), &good_images, &good_labels);
    assert_eq!(open(&location).labels(), [9, 0]);
    let error = Dataset::open(&location, Split::Train).unwrap_err().to_string();
    assert!(error.contains("no file train-images-idx3-ubyte"), "{error}");

    let cases: &[(&[u8], &[u8], &str)] = &[
        (&good_images[..21], &good_labels, "file is truncated, expected 22 bytes, found 21"),
        (&good_images[..9], &good_labels, "file is truncated, expected 16 bytes, found 9"),
        (&[], &good_labels, "file is truncated, expected 4 bytes, found 0"),
        (&[&good_images[..], &[7]].concat(), &good_labels, "expected 22 bytes, found more"),
        (&good_labels, &good_labels, "bad magic number, expected [0, 0, 8, 3], found [0, 0, 8, 1]"),
        (b"\x1f\x8b\x08\x00etc", &good_labels, "bad magic number, expected [0, 0, 8, 3], found [31, 139, 8, 0]"),
        (&good_images, &idx(&[2], &[9, 10]), "record 1: label 10 is out of range, expected 0 to 9"),
        (&good_images, &idx(&[3], &[1, 2, 3]), "holds 2 images, but"),
        (&idx(&[0, 1, 3], &[]), &idx(&[0], &[]), "no images, expected at least one"),
        (&idx(&[2, 0, 3], &[]), &good_labels, "expected image extents from 1 to 16777216, found [1, 0, 3]"),
        (&idx(&[u32::MAX; 3], &[]), &good_labels, "does not fit into memory"),
        (&idx(&[u32::MAX, 28, 28], &[]), &good_labels, "t10k-images-idx3-ubyte needs 3.1 TiB, the memory budget is"),
    ];
    for (images, labels, expected) in cases {
        write_idx(folder.path(), images, labels);
        let error = open_error(&location);
        assert!(error.contains(expected) && error.contains("t10k-"), "expected {expected}: {error}");
    }
}

#[test]
fn packed_idx_files_equal_plain_ones() {
    let plain = tempfile::tempdir().unwrap();
    let packed = tempfile::tempdir().unwrap();
    let (images, labels) = (idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]), idx(&[2], &[9, 0]));
    write_idx(plain.path(), &images, &labels);
    fs::write(packed.path().join("t10k-images.idx3-ubyte.gz"), gzip(&images)).unwrap();
    fs::write(packed.path().join("t10k-labels.idx1-ubyte"), &labels).unwrap();
    let open_at = |folder: &Path| open(&format!("fashion-mnist:{}", folder.display()));
    let (a, b) = (open_at(plain.path()), open_at(packed.path()));
    assert_eq!(a.digest().unwrap(), b.digest().unwrap());
    let batch = |d: &Dataset| d.batch(0..2, &preprocess("raw"), [1, 1, 3]).unwrap();
    assert_eq!(batch(&a), batch(&b));

    let whole = gzip(&idx(&[100, 10, 10], &[77; 10_000]));
    fs::write(packed.path().join("t10k-images.idx3-ubyte.gz"), &whole[..whole.len() - 20]).unwrap();
    let error = open_error(&format!("mnist:{}", packed.path().display()));
    assert!(error.contains("t10k-images.idx3-ubyte.gz: file is truncated, expected 10016 bytes"), "{error}");
}

#[test]
fn cifar10_files() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("cifar10:{}", folder.path().display());
    let mut record = vec![3u8];
    record.extend((0..3072).map(|i| (i % 251) as u8));
    let mut bad_label = record.clone();
    bad_label[0] = 10;
    let cases: &[(&[u8], &str)] = &[
        (&[], "test_batch.bin: no images, expected records of 3073 bytes"),
        (&record[..3072], "test_batch.bin: file is truncated, expected 3073 bytes, found 3072"),
        (&[&record[..], &record[..5]].concat(), "file is truncated, expected 6146 bytes, found 3078"),
        (&[record.clone(), bad_label].concat(), "test_batch.bin: record 1: label 10 is out of range, expected 0 to 9"),
    ];
    assert!(open_error(&location).contains("no file test_batch.bin"));
    for (bytes, expected) in cases {
        fs::write(folder.path().join("test_batch.bin"), bytes).unwrap();
        let error = open_error(&location);
        assert!(error.contains(expected), "expected {expected}: {error}");
    }
    let archive = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("test_batch.bin"), [&record[..], &record[..]].concat()).unwrap();
    let dataset = open(&location);
    assert_eq!((dataset.labels(), dataset.image_shape()), (&[3, 3][..], Some([3, 32, 32])));
    assert_eq!(
        dataset.layout().partial_text().unwrap(),
        "a part of the data set, or files that were cut short: test_batch.bin has 2 images, as distributed 10000"
    );
    // A file that was cut at the end of a record, and whole ones.
    for (n, expected) in [(9_999, Some("test_batch.bin has 9999 images")), (10_000, None)] {
        fs::write(archive.join("test_batch.bin"), record.repeat(n)).unwrap();
        let partial = open(&location).layout().partial_text();
        assert_eq!(partial.is_some(), expected.is_some(), "{n}: {partial:?}");
        assert!(expected.is_none_or(|expected| partial.unwrap().contains(expected)));
    }
    fs::write(archive.join("test_batch.bin"), [&record[..], &record[..]].concat()).unwrap();
    let batch = dataset.batch(1..2, &preprocess("raw"), [3, 32, 32]).unwrap();
    assert!(batch.images.iter().zip(&record[1..]).all(|(&value, &byte)| value as u8 == byte));
    assert!(Dataset::open(&location, Split::Train).unwrap_err().to_string().contains("no file data_batch_1.bin"));
}

#[test]
fn npy_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    npy::write(&path, &[2, 3], &[1i32, 2, 3, 4, 5, 6]).unwrap();
    let good = fs::read(&path).unwrap();
    let with_header =
        |header: &str| [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
    let cases: &[(&[u8], &str)] = &[
        (&good[..good.len() - 1], "file is truncated, expected 152 bytes, found 151"),
        (&good[..64], "file is truncated, expected 128 bytes, found 64"),
        (&good[..3], "file is truncated, expected 8 bytes, found 3"),
        (&[&good[..], &[0]].concat(), "expected 152 bytes, found more"),
        (b"PK\x03\x04 some zip archive", "bad magic number, expected \\x93NUMPY, found PK\\x03\\x04 s"),
        (b"\x93NUMPY\x09\x00\x00\x00", "unsupported: format version 9"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "expected a header of at most 65536 bytes, found 4294967295"),
        (&with_header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}"), "unsupported: type \">f4\""),
        (&with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "unsupported: type \"|O\""),
        (&with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}"), "unsupported: Fortran order"),
        (&with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999)}"), "does not fit"),
        (&with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999,)}"), "file is truncated"),
        (
            &with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}"),
            "needs 727.6 TiB, the memory", // bytes and values
        ),
        (&with_header("nonsense"), "expected '{' in the header, found \"nonsense\""),
    ];
    for (bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let error = npy::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("array.npy"), "expected {expected}: {error}");
    }
    // 1, -2 and the smallest number of half precision.
    let half = with_header("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}");
    fs::write(&path, [&half[..], &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00]].concat()).unwrap();
    assert_eq!(npy::read(&path).unwrap().data, npy::Data::F32(vec![1.0, -2.0, 2.0_f32.powi(-24)]));
}

/// Opens `location` and touches every image; whatever happens, it must not panic.
fn exercise(location: &str) {
    if let Ok(dataset) = Dataset::open(location, Split::Test) {
        let target = [3, 9, 9];
        let _ = dataset.batch(0..dataset.len(), &preprocess("unit"), target);
        let _ = dataset.digest();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Valid files with some bytes overwritten and the end cut off.
    #[test]
    fn damaged_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in 0.0f64..=1.0,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let damage = |mut bytes: Vec<u8>| {
            edits.iter().for_each(|(index, byte)| *index.get_mut(&mut bytes) = *byte);
            bytes.truncate((bytes.len() as f64 * keep) as usize);
            bytes
        };
        let place = folder.path().display().to_string();

        let (images, labels) = (idx(&[2, 2, 3], &[5; 12]), idx(&[2], &[1, 2]));
        write_idx(folder.path(), &damage(images.clone()), &labels);
        exercise(&format!("mnist:{place}"));
        write_idx(folder.path(), &images, &damage(labels));
        exercise(&format!("mnist:{place}"));
        fs::remove_file(at("t10k-images-idx3-ubyte")).unwrap();
        fs::write(at("t10k-images-idx3-ubyte.gz"), damage(gzip(&images))).unwrap();
        exercise(&format!("fashion-mnist:{place}"));

        fs::write(at("test_batch.bin"), damage(vec![4; 2 * 3073])).unwrap();
        exercise(&format!("cifar10:{place}"));

        npy::write(at("x.npy"), &[2, 1, 3, 5], &[9u8; 30]).unwrap();
        npy::write(at("y.npy"), &[2], &[9i64, 3]).unwrap();
        let (x, y) = (at("x.npy"), at("y.npy"));
        let (good_x, good_y) = (fs::read(&x).unwrap(), fs::read(&y).unwrap());
        fs::write(&x, damage(good_x.clone())).unwrap();
        exercise(&format!("npy:{},{}", x.display(), y.display()));
        fs::write(&x, good_x).unwrap();
        fs::write(&y, damage(good_y)).unwrap();
        exercise(&format!("npy:{},{}", x.display(), y.display()));

        fs::create_dir(at("0")).unwrap();
        for name in ["0/a.png", "0/b.jpg", "0/c.webp", "0/d.bmp", "0/e.ppm"] {
            image::ImageBuffer::from_fn(12, 7, |x, y| image::Rgb([(x * 20) as u8, (y * 30) as u8, 9])).save(at(name)).unwrap();
            let good = fs::read(at(name)).unwrap();
            fs::write(at(name), damage(good)).unwrap();
            exercise(&format!("imagenet:{place}"));
        }
        fs::write(at("labels.csv"), damage(b"file,class\n0/a.png,5\n0/b.jpg,7\n".to_vec())).unwrap();
        exercise(&format!("imagenet:{place}"));
    }

    /// Headers and bodies of nothing but noise.
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0usize..8) {
        let folder = tempfile::tempdir().unwrap();
        let starts: [&[u8]; 8] = [
            b"",
            &[0, 0, 8, 3],
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x20\x00\x00\x00WEBPVP8 ",
            b"RIFF\x20\x00\x00\x00WEBPVP8L",
            b"BM\xff\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00",
            b"P6 ",
        ];
        let bytes = [starts[magic], &bytes].concat();
        let at = |name: &str| folder.path().join(name);
        let place = folder.path().display().to_string();
        write_idx(folder.path(), &bytes, &bytes);
        fs::write(at("test_batch.bin"), &bytes).unwrap();
        fs::write(at("x.npy"), &bytes).unwrap();
        fs::create_dir(at("c")).unwrap();
        fs::write(at("c/x.jpg"), &bytes).unwrap();
        for format in ["mnist", "cifar10", "imagenet"] {
            exercise(&format!("{format}:{place}"));
        }
        exercise(&format!("npy:{0},{0}", at("x.npy").display()));
        fs::write(at("labels.csv"), &bytes).unwrap();
        exercise(&format!("imagenet:{place}"));
    }

    #[test]
    fn preprocess_texts_never_panic(text in "[a-z_=,/.0-9-]{0,40}") {
        if let Ok(parsed) = text.parse::<skimp_data::Preprocess>() {
            prop_assert_eq!(parsed.to_string().parse::<skimp_data::Preprocess>().unwrap(), parsed);
        }
    }
}
