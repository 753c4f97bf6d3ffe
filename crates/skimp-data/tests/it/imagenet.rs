//! Folders of image files, made up for each test.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};
use skimp_data::{Dataset, InputSpec, Split};

use crate::support::{open, open_error, preprocess};

const TINY: InputSpec = InputSpec { channels: 3, height: 2, width: 2 };

/// A 2x2 PNG of one color.
fn save(path: &Path, color: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    ImageBuffer::from_pixel(2, 2, Rgb(color)).save(path).unwrap();
}

fn location(folder: &Path) -> String {
    format!("imagenet:{}", folder.display())
}

#[test]
fn class_folders_by_wordnet_id() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("n02124075/b.PNG"), [3, 0, 0]);
    save(&folder.path().join("n02124075/a.png"), [2, 0, 0]);
    save(&folder.path().join("n01440764/z.png"), [1, 0, 0]);
    fs::write(folder.path().join("n01440764/notes.txt"), "not an image").unwrap();
    fs::write(folder.path().join("n01440764/.hidden.png"), "not an image").unwrap();
    let dataset = open(&location(folder.path()));
    assert_eq!((dataset.len(), dataset.n_classes(), dataset.image_shape()), (3, 1000, None));
    let batch = dataset.batch(0..3, &preprocess("raw"), TINY).unwrap();
    assert_eq!(batch.labels, [0, 285, 285]);
    assert_eq!([batch.images[0], batch.images[12], batch.images[24]], [1.0, 2.0, 3.0]);
}

#[test]
fn splits_may_lie_apart() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("train/cat/a.png"), [1, 0, 0]);
    save(&folder.path().join("train/dog/b.png"), [1, 0, 0]);
    let error = open_error(&location(folder.path()));
    assert!(error.ends_with("no test split, expected a folder val, validation, valid, test, testing"), "{error}");
    save(&folder.path().join("val/dog/a.png"), [1, 0, 0]);
    fs::create_dir(folder.path().join("val/cat")).unwrap();
    let test = open(&location(folder.path()));
    assert_eq!((test.labels(), test.n_classes()), (&[1][..], 2));
    let train = Dataset::open(&location(folder.path()), Split::Train).unwrap();
    assert_eq!((train.labels(), train.n_classes()), (&[0, 1][..], 2));
}

#[test]
fn labels_csv() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("images/a.png"), [1, 2, 3]);
    save(&folder.path().join("b.png"), [4, 5, 6]);
    let csv = folder.path().join("labels.csv");
    fs::write(&csv, "wnid,class,file\nn1,7,b.png\nn2,999,\"a.png\"\n").unwrap();
    let dataset = open(&location(folder.path()));
    assert_eq!((dataset.labels(), dataset.n_classes()), (&[7, 999][..], 1000));
    let batch = dataset.batch(0..2, &preprocess("raw,order=bgr"), TINY).unwrap();
    assert_eq!([batch.images[0], batch.images[4], batch.images[12]], [6.0, 5.0, 3.0]);
    let digest = dataset.digest().unwrap().to_owned();

    let cases = [
        ("file,class\nb.png,1000\n", "record 0: label 1000 is out of range, expected 0 to 999"),
        ("file,class\nb.png,1\na.png,-1\n", "record 1: label -1 is out of range, expected 0 to 999"),
        ("file,class\nb.png,1\na.png,cat\n", "record 1: expected an integer class, found \"cat\""),
        ("file,class\nb.png,1\nb.png,1\n", "records 0 and 1 name the same file"),
        ("file,class\n../x.png,1\n", "record 0: expected a file below the folder, found \"../x.png\""),
        ("file,class\n/etc/passwd,1\n", "expected a file below the folder, found \"/etc/passwd\""),
        ("file,class\n,1\n", "expected a file below the folder, found \"\""),
        ("file,class\nc.png,1\n", "no file c.png or images/c.png, named by labels.csv"),
        ("file,kind\nb.png,1\n", "expected a column \"class\", found the header \"file,kind\""),
        ("file,class\nb.png\n", "labels.csv: CSV error"),
        ("file,class\n", "no images, expected class folders with pictures, or pictures and labels.csv"),
        ("", "expected a column \"file\""),
        ("file,class\n\u{0}\u{1}", "labels.csv: "),
    ];
    for (text, expected) in cases {
        fs::write(&csv, text).unwrap();
        let error = open_error(&location(folder.path()));
        assert!(error.contains(expected), "{text:?}: {error}");
    }

    // The same images elsewhere have the same digest; another label has not.
    fs::rename(folder.path().join("b.png"), folder.path().join("images/b.png")).unwrap();
    fs::write(&csv, "file,class\nb.png,7\na.png,999\n").unwrap();
    assert_eq!(open(&location(folder.path())).digest().unwrap(), digest);
    fs::write(&csv, "file,class\nb.png,7\na.png,998\n").unwrap();
    assert_ne!(open(&location(folder.path())).digest().unwrap(), digest);
}

#[test]
fn every_color_type_becomes_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("0");
    fs::create_dir(&class).unwrap();
    ImageBuffer::from_pixel(2, 2, Luma([7u8])).save(class.join("a.png")).unwrap();
    ImageBuffer::from_pixel(2, 2, LumaA([8u8, 0])).save(class.join("b.png")).unwrap();
    ImageBuffer::from_pixel(2, 2, Rgba([1u8, 2, 3, 4])).save(class.join("c.png")).unwrap();
    ImageBuffer::from_pixel(2, 2, Rgb([257u16 * 9, 257 * 10, 257 * 11])).save(class.join("d.png")).unwrap();
    ImageBuffer::from_pixel(2, 2, Luma([200u8])).save(class.join("e.jpg")).unwrap();
    let batch = open(&location(folder.path())).batch(0..5, &preprocess("raw"), TINY).unwrap();
    let first_pixels: Vec<[f32; 3]> = batch.images.chunks(12).map(|i| [i[0], i[4], i[8]]).collect();
    assert_eq!(first_pixels, [[7.0; 3], [8.0; 3], [1.0, 2.0, 3.0], [9.0, 10.0, 11.0], [200.0; 3]]);
}

#[test]
fn bad_folders_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(open_error(&location(&at("missing"))).ends_with("missing: no such folder"));
    assert!(open_error(&location(folder.path())).contains("no images, expected class folders"));
    fs::create_dir(at("1")).unwrap();
    assert!(open_error(&location(folder.path())).contains("no images, expected class folders"));

    fs::create_dir(at("0")).unwrap();
    save(&at("1/a.png"), [1, 2, 3]);
    fs::write(at("0/x.png"), fs::read(at("1/a.png")).unwrap()).unwrap();
    let whole = fs::read(at("1/a.png")).unwrap();
    fs::write(at("1/b.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("1/c.png"), "").unwrap();
    fs::write(at("1/d.jpg"), "no JPEG at all").unwrap();
    let dataset = open(&location(folder.path()));
    assert_eq!((dataset.len(), dataset.n_classes()), (5, 2));
    assert!(dataset.batch(0..2, &preprocess("raw"), TINY).is_ok());
    let truncated = "the file is truncated";
    let undecodable = "cannot decode the image";
    for (range, name, cause) in [
        (0..5, "b.png", truncated),
        (2..5, "b.png", truncated),
        (3..5, "c.png", undecodable),
        (4..5, "d.jpg", undecodable),
    ] {
        let error = dataset.batch(range, &preprocess("raw"), TINY).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(cause), "{error}");
    }
}
