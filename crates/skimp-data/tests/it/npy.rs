//! NumPy files: what is written is read back, and the data set made of two of them.

use std::fs;

use skimp_data::npy::{self, Data};
use skimp_data::{DataError, InputSpec};

use crate::support::{batch_of, open, open_error, preprocess};

#[test]
fn every_type_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    macro_rules! check {
        ($($type:ty, $variant:ident);*) => {$(
            let values: Vec<$type> = [0u8, 1, 2, 77, 126, 127].map(|v| v as $type).to_vec();
            npy::write(&path, &[2, 3], &values).unwrap();
            let array = npy::read(&path).unwrap();
            assert_eq!((array.shape, array.data), (vec![2, 3], Data::$variant(values)));
        )*};
    }
    check!(i8, I8; u8, U8; i16, I16; u16, U16; i32, I32; u32, U32; i64, I64; u64, U64; f32, F32; f64, F64);
    let extremes = [i64::MIN, -1, i64::MAX];
    npy::write(&path, &[3], &extremes).unwrap();
    assert_eq!(npy::read(&path).unwrap().data.to_integers().unwrap(), extremes.map(i128::from));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no unfinished file is left");
}

#[test]
fn odd_shapes_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    for (shape, len) in [(&[][..], 1), (&[0], 0), (&[1], 1), (&[3, 0, 2], 0), (&[70_000], 70_000)] {
        let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
        npy::write(&path, shape, &values).unwrap();
        let array = npy::read(&path).unwrap();
        assert_eq!((&array.shape[..], array.data), (shape, Data::F32(values)));
    }
}

/// `numpy.save` of `numpy.arange(3, dtype="<i2")`, byte for byte.
#[test]
fn the_file_is_what_numpy_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    npy::write(&path, &[3], &[0i16, 1, 2]).unwrap();
    let mut expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }".to_vec();
    expected.resize(127, b' ');
    expected.extend_from_slice(b"\n\x00\x00\x01\x00\x02\x00");
    assert_eq!(fs::read(&path).unwrap(), expected);
}

#[test]
fn writing_fails_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    let error = npy::write(&path, &[2, 2], &[1u8]).unwrap_err();
    assert!(matches!(error, DataError::ArrayShape { len: 1, .. }), "{error}");
    assert!(npy::write(&path, &[usize::MAX, 4], &[1u8]).is_err());
    assert!(npy::write(folder.path().join("no/such/folder.npy"), &[1], &[1u8]).is_err());
    // The target is a folder: renaming fails and the unfinished file goes.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("occupied"), "").unwrap();
    assert!(npy::write(&path, &[1], &[1u8]).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn types_of_images_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let text = |x: &str, y: &str| format!("npy:{},{}", place(x).display(), place(y).display());
    npy::write(place("x.npy"), &[2, 1, 1, 2], &[0.5f64, -3.0, 1e300, 7.25]).unwrap();
    npy::write(place("y.npy"), &[2, 1], &[3u16, 1]).unwrap();
    let dataset = open(&text("x.npy", "y.npy"));
    assert_eq!((dataset.len(), dataset.n_classes(), dataset.image_shape()), (2, 4, Some([1, 1, 2])));
    let batch = dataset.gather(&[1, 0, 1], &preprocess("raw"), InputSpec::from([1, 1, 2])).unwrap();
    assert_eq!(batch.images, [f32::INFINITY, 7.25, 0.5, -3.0, f32::INFINITY, 7.25]);
    assert_eq!(batch.labels, [1, 3, 1]);

    npy::write(place("float.npy"), &[2], &[0.0f32, 1.0]).unwrap();
    npy::write(place("negative.npy"), &[2], &[0i32, -1]).unwrap();
    npy::write(place("three.npy"), &[3], &[0u8, 0, 0]).unwrap();
    npy::write(place("none.npy"), &[0, 1, 1, 2], &[0u8; 0]).unwrap();
    npy::write(place("no-labels.npy"), &[0], &[0u8; 0]).unwrap();
    let cases = [
        ("x.npy", "float.npy", "expected integer labels, found float32"),
        ("x.npy", "negative.npy", "record 1: label -1 is out of range, expected 0 to 99999"),
        ("x.npy", "three.npy", "x.npy holds 2 images, but"),
        ("x.npy", "x.npy", "expected labels of shape [n], found [2, 1, 1, 2]"),
        ("y.npy", "y.npy", "expected images of shape [n, c, h, w] or [n, h, w], found [2, 1]"),
        ("none.npy", "no-labels.npy", "none.npy: no images"),
        ("x.npy", "missing.npy", "missing.npy: "),
    ];
    for (x, y, expected) in cases {
        let error = open_error(&text(x, y));
        assert!(error.contains(expected), "{x} {y}: {error}");
    }
    for location in ["npy:x.npy", "npy:x.npy,", "npy:,y.npy", "npy:a,b,c"] {
        assert!(open_error(location).contains("expected npy:X.npy,Y.npy"), "{location}");
    }
}

#[test]
fn floats_on_the_unit_range_take_max_1() {
    let batch = batch_of([1, 1, 3], &[0.0f32, 0.5, 1.0], "max=1,mean=0.5,std=0.25", [1, 1, 3]);
    assert_eq!(batch.images, [-2.0, 0.0, 2.0]);
}
