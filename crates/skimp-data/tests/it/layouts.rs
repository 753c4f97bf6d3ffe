//! Layouts of image folders: known, or refused with a cause; labels are those of torchvision 0.24's `ImageFolder`.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Rgb};
use skimp_data::{Dataset, InputSpec, Split};
use tempfile::TempDir;

use crate::support::{open, open_error, preprocess};

const TINY: InputSpec = InputSpec { channels: 3, height: 2, width: 2 };

/// A folder with these files; what ends in the name of a picture's format is a 2x2 picture, the rest is text.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|name| put(folder.path(), name));
    folder
}

fn put(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lower = name.to_ascii_lowercase();
    if name.ends_with('/') {
        fs::create_dir_all(path).unwrap();
    } else if let Some(format) = image::ImageFormat::from_path(&lower).ok().filter(|_| !name.contains("._")) {
        let shade = name.bytes().map(u32::from).sum::<u32>() % 251;
        let picture = ImageBuffer::from_pixel(2, 2, Rgb([shade as u8, 9, 7]));
        match format {
            image::ImageFormat::Gif | image::ImageFormat::Tiff => fs::write(path, "GIF89a").unwrap(),
            format => picture.save_with_format(path, format).unwrap(),
        }
    } else {
        fs::write(path, "text").unwrap();
    }
}

fn at(folder: &TempDir) -> String {
    format!("imagenet:{}", folder.path().display())
}

fn labels(place: &str, split: Split) -> Result<(Vec<usize>, usize), String> {
    let dataset = Dataset::open(place, split).map_err(|error| error.to_string())?;
    let all = 0..dataset.len();
    dataset.batch(all, &preprocess("raw"), TINY).map_err(|error| error.to_string())?;
    Ok((dataset.labels().to_vec(), dataset.n_classes()))
}

fn test_labels(folder: &TempDir) -> Result<(Vec<usize>, usize), String> {
    labels(&at(folder), Split::Test)
}

#[test]
fn what_is_no_class_shifts_none() {
    for junk in
        ["__MACOSX/", "@eaDir/", ".thumbnails/a.png", "#recycle/", "Blank/", "__MACOSX/ant/._0.png", "Notes/readme.txt"]
    {
        let set = folder(&["ant/0.png", "ant/1.png", "bee/0.png", "cat/0.png", junk]);
        assert_eq!(test_labels(&set), Ok((vec![0, 0, 1, 2], 3)), "{junk}");
        assert!(open(&at(&set)).layout().left_out_text().is_some(), "{junk}");
    }
    // Pictures in a folder with a system's name are the system's.
    let set = folder(&["ant/0.png", "bee/0.png", "@eaDir/SYNOPHOTO_THUMB.jpg", "ant/@eaDir/0.png/thumb.jpg"]);
    assert_eq!(test_labels(&set), Ok((vec![0, 1], 2)));
}

#[test]
fn classes_are_those_of_all_splits() {
    let set = folder(&["train/ant/0.png", "train/bee/0.png", "train/cat/0.png", "val/ant/1.png", "val/cat/1.png"]);
    assert_eq!(test_labels(&set), Ok((vec![0, 2], 3)));
    assert_eq!(labels(&at(&set), Split::Train), Ok((vec![0, 1, 2], 3)));
    // A class in the validation split alone shifts the training split's, too.
    put(set.path(), "val/ape/0.png");
    assert_eq!(labels(&at(&set), Split::Train), Ok((vec![0, 2, 3], 4)));
    // One split, named alone, is numbered like its siblings beside it.
    let place = format!("{}/val", at(&set));
    assert_eq!(labels(&place, Split::Test), Ok((vec![0, 1, 3], 4)));
    assert!(!open(&place).has_splits() && open(&at(&set)).has_splits());
}

#[test]
fn split_folders_have_many_names() {
    for (train, test) in [
        ("train", "valid"),
        ("Training", "Testing"),
        ("train", "validation"),
        ("TRAIN", "TEST"),
        ("seg_train", "seg_test"),
    ] {
        let names = ["ant/0.png", "bee/0.png", "cat/0.png"].map(|name| format!("{train}/{name}"));
        let tests = ["bee/0.png", "cat/0.png"].map(|name| format!("{test}/{name}"));
        let all: Vec<&str> = names.iter().chain(&tests).map(String::as_str).collect();
        let set = folder(&all);
        assert_eq!(test_labels(&set), Ok((vec![1, 2], 3)), "{test}");
        assert_eq!(labels(&at(&set), Split::Train), Ok((vec![0, 1, 2], 3)), "{train}");
    }
    // A validation split comes first; the other one is left out, and unlabeled pictures are, too.
    let set = folder(&["train/ant/0.png", "train/bee/0.png", "val/bee/0.png", "test/ant/0.png", "Test/1.png"]);
    assert_eq!(test_labels(&set), Ok((vec![1], 2)));
    let left_out = open(&at(&set)).layout().left_out_text().unwrap();
    assert!(left_out.contains("other splits to measure on (2"), "{left_out}");
    // An archive within a folder, and a split within its own name.
    let set = folder(&[
        "set/train/train/ant/0.png",
        "set/train/train/bee/0.png",
        "set/val/val/bee/0.png",
        "set/val/val/cow/0.png",
    ]);
    assert_eq!(test_labels(&set), Ok((vec![1, 2], 3)));
    // A class called train.
    let set = folder(&["bus/0.png", "car/0.png", "train/0.png"]);
    assert_eq!(test_labels(&set), Ok((vec![0, 1, 2], 3)));
}

#[test]
fn tiny_imagenet() {
    let set = folder(&[
        "train/ant/images/ant_0.png",
        "train/ant/ant_boxes.txt",
        "train/bee/images/bee_0.png",
        "train/cat/images/cat_0.png",
    ]);
    for name in ["val_0.png", "val_1.png", "val_2.png"] {
        put(set.path(), &format!("val/images/{name}"));
    }
    let table = set.path().join("val/val_annotations.txt");
    fs::write(&table, "val_0.png\tcat\t0\t0\t62\t57\nval_1.png\tant\t1\t1\t5\t5\n").unwrap();
    put(set.path(), "test/images/test_0.png");
    assert_eq!(test_labels(&set), Ok((vec![2, 0], 3)));
    assert_eq!(labels(&at(&set), Split::Train), Ok((vec![0, 1, 2], 3)));
    let layout = open(&at(&set)).layout();
    assert_eq!(layout.class_names, ["ant", "bee", "cat"]);
    assert!(layout.description.starts_with("pictures named by val/val_annotations.txt; 3 classes"), "{layout:?}");
    let left_out = layout.left_out_text().unwrap();
    assert!(
        left_out.contains("pictures that val_annotations.txt does not name (1, such as val/images/val_2.png)"),
        "{left_out}"
    );
    for (text, expected) in [
        ("val_9.png\tcat\n", "no file val_9.png or images/val_9.png, named by val_annotations.txt"),
        ("val_0.png\n", "line 1: expected a file and a class, separated by a tab"),
        ("val_0.png\tcat\nval_0.png\tant\n", "records 0 and 1 name the same file"),
    ] {
        fs::write(&table, text).unwrap();
        assert!(open_error(&at(&set)).contains(expected), "{}", open_error(&at(&set)));
    }
    fs::remove_file(&table).unwrap();
    assert!(open_error(&at(&set)).contains("val: pictures lie here side by side"), "{}", open_error(&at(&set)));
}

#[test]
fn nested_pictures_count_and_others_are_reported() {
    let set = folder(&[
        "ant/0.JPG",
        "ant/more/1.png",
        "ant/more/deep/2.webp",
        "bee/3.bmp",
        "bee/4.ppm",
        "bee/Thumbs.db",
        "bee/5.gif",
        "bee/._3.bmp",
        "notes.md",
        "6.png",
    ]);
    assert_eq!(test_labels(&set), Ok((vec![0, 0, 0, 1, 1], 2)));
    let left_out = open(&at(&set)).layout().left_out;
    let found: Vec<String> =
        left_out.iter().map(|left| format!("{}: {} ({})", left.what, left.count, left.example)).collect();
    let expected = [
        ".db files: 1 (bee/Thumbs.db)",
        ".gif files (not a format that is read): 1 (bee/5.gif)",
        ".md files: 1 (notes.md)",
        "hidden files: 1 (bee/._3.bmp)",
        "pictures beside the class folders: 1 (6.png)",
    ];
    assert_eq!(found, expected);
    // A class of which nothing can be read would shift the others if it were left out.
    let set = folder(&["ant/0.png", "bee/1.gif", "bee/2.gif", "cat/3.png"]);
    assert!(open_error(&at(&set)).contains("bee: unsupported: all 2 pictures of this class, such as 1.gif"));
}

#[test]
fn what_nothing_labels_is_refused() {
    for files in [
        &["0.png", "1.png"][..],
        &["images/0.png", "images/1.png"],
        &["train/0.png", "train/1.png"],
        &["train/0.png", "test/1.png", "train.txt"],
        &["train/ant/0.png", "train/bee/0.png", "val/1.png"],
    ] {
        let error = open_error(&at(&folder(files)));
        assert!(error.contains("nothing says what they show"), "{files:?}: {error}");
    }
    let set = folder(&["train_a/ant/0.png", "train_a/bee/0.png", "other_b/ant/1.png", "other_b/bee/1.png"]);
    assert!(open_error(&at(&set)).contains("look like splits"), "{}", open_error(&at(&set)));
    let set = folder(&["1/0.png", "10/0.png", "2/0.png"]);
    assert!(open_error(&at(&set)).contains(",classes=folders"));
    assert_eq!(labels(&format!("{},classes=folders", at(&set)), Split::Test), Ok((vec![0, 1, 2], 3)));
    assert_eq!(labels(&format!("{},classes=numbers", at(&set)), Split::Test), Ok((vec![1, 10, 2], 11)));
}

#[test]
fn a_list_decides_the_numbers() {
    let set = folder(&["ant/0.png", "cat/0.png"]);
    fs::write(set.path().join("classes.txt"), "cat\nbee\r\n\nant\n").unwrap();
    assert_eq!(test_labels(&set), Ok((vec![2, 0], 3)));
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), "ant\ncat\n").unwrap();
    assert_eq!(labels(&format!("{},classes={}", at(&set), list.path().display()), Split::Test), Ok((vec![0, 1], 2)));
    for (text, expected) in
        [("ant\n", "class \"cat\" of"), ("ant\nant\n", "class \"ant\" occurs twice"), ("", "expected 1 to")]
    {
        fs::write(set.path().join("classes.txt"), text).unwrap();
        assert!(open_error(&at(&set)).contains(expected), "{}", open_error(&at(&set)));
    }
}

#[test]
fn tables_have_many_headers() {
    let set = folder(&["images/a.png", "images/b.jpg", "c.png", "d.png"]);
    let csv = set.path().join("labels.csv");
    let cases: [(&str, Result<&[usize], &str>); 8] = [
        ("filename,label\na.png,2\nc.png,0\n", Ok(&[2, 0])),
        ("\u{feff}Image;Class\r\n./a.png;2\r\nimages/b.jpg;1\r\n", Ok(&[2, 1])),
        ("path\ttarget\na.png\t2\n", Ok(&[2])),
        ("file,class\na,2\nb,1\n", Ok(&[2, 1])),
        ("file,class\na.png,cat\nb.jpg,ant\nc.png,cat\n", Ok(&[1, 0, 1])),
        ("file,class,split\na.png,0,train\nb.jpg,1,val\nc.png,2,test\n", Ok(&[1, 2])),
        ("file,class,split\na.png,0,mine\n", Err("expected the split train, val or test, found \"mine\"")),
        ("a.png,0\nb.jpg,1\n", Err("expected a column \"file\", found the header \"a.png,0\"")),
    ];
    for (text, expected) in cases {
        fs::write(&csv, text).unwrap();
        let found = test_labels(&set);
        match expected {
            Ok(expected) => assert_eq!(found.as_ref().map(|(labels, _)| labels.as_slice()), Ok(expected), "{text:?}"),
            Err(expected) => {
                assert!(found.as_ref().is_err_and(|error| error.contains(expected)), "{text:?}: {found:?}")
            }
        }
    }
    fs::write(&csv, "file,class\na.png,cat\n").unwrap();
    let left_out = open(&at(&set)).layout().left_out_text().unwrap();
    assert!(left_out.contains("pictures that labels.csv does not name (3, such as c.png)"), "{left_out}");
    assert!(!open(&at(&set)).has_splits());
    fs::write(&csv, "file,class,split\na.png,0,train\nb.jpg,1,val\n").unwrap();
    assert!(open(&at(&set)).has_splits());
    assert_eq!(labels(&at(&set), Split::Train).unwrap().0, [0]);
}

#[test]
fn half_a_file_is_no_file() {
    let noise = |x: u32, y: u32| Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, (y * 91) as u8]);
    let picture = ImageBuffer::from_fn(64, 48, noise);
    for ending in ["jpg", "png", "webp", "bmp", "ppm"] {
        let set = tempfile::tempdir().unwrap();
        fs::create_dir(set.path().join("a")).unwrap();
        let path = set.path().join(format!("a/x.{ending}"));
        picture.save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let dataset = open(&at(&set));
        dataset.batch(0..1, &preprocess("raw"), TINY).unwrap();
        for keep in [whole.len() / 2, whole.len() * 9 / 10, whole.len() - 1] {
            fs::write(&path, &whole[..keep]).unwrap();
            let error = dataset.batch(0..1, &preprocess("raw"), TINY).expect_err(&format!("{ending}, {keep} bytes"));
            assert!(error.to_string().contains(&format!("x.{ending}: ")), "{error}");
        }
        fs::write(&path, [&whole[..], b"some bytes after the end"].concat()).unwrap();
        dataset.batch(0..1, &preprocess("raw"), TINY).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_end() {
    use std::os::unix::fs::symlink;
    let set = folder(&["ant/0.png", "bee/0.png"]);
    symlink(set.path(), set.path().join("ant/above")).unwrap();
    symlink(set.path().join("nowhere.png"), set.path().join("bee/broken.png")).unwrap();
    symlink("/dev/zero", set.path().join("bee/endless.png")).unwrap();
    let elsewhere = folder(&["0.png"]);
    symlink(elsewhere.path(), set.path().join("cat")).unwrap();
    assert_eq!(test_labels(&set), Ok((vec![0, 1, 2], 3)));
    let left_out = open(&at(&set)).layout().left_out_text().unwrap();
    for expected in ["broken links", "pipes and devices", "links to a folder above"] {
        assert!(left_out.contains(expected), "{left_out}");
    }
    for place in ["npy:/dev/zero,/dev/zero", "imagenet:/dev/zero", "cifar10:/dev/zero", "npy:/tmp,/tmp"] {
        open_error(place);
    }
}

/// Four pixels whose header claims 4 G of them.
#[test]
fn an_image_beyond_its_share_of_memory_is_refused_by_its_header() {
    let set = tempfile::tempdir().unwrap();
    fs::create_dir(set.path().join("a")).unwrap();
    let path = set.path().join("a/x.pgm");
    fs::write(&path, b"P5 65535 65535 255\nxxxx").unwrap();
    let error = open(&at(&set)).batch(0..1, &preprocess("raw"), TINY).unwrap_err().to_string();
    assert!(error.contains("x.pgm: decoding 65535x65535 pixels takes 16.0 GiB"), "{error}");
    assert!(error.contains("--memory") && error.contains("--threads"), "{error}");
}
