use std::collections::BTreeSet;

use super::*;

const SHAPE: InputSpec = InputSpec { channels: 2, height: 3, width: 4 };

fn changed(text: &str, index: usize, epoch: u64) -> Vec<f32> {
    changed_picture(text, SHAPE, index, epoch)
}

fn changed_picture(text: &str, shape: InputSpec, index: usize, epoch: u64) -> Vec<f32> {
    let mut values: Vec<f32> = (0..shape.channels * shape.height * shape.width).map(|i| i as f32).collect();
    let black = [-1.0, -2.0];
    let augment = Augment::parse(&[text]).unwrap();
    augment.apply(&mut Picture { values: &mut values, shape, black: &black }, 5, epoch, index);
    values
}

#[test]
fn entries_are_complete() {
    let names: BTreeSet<_> = AUGMENTATIONS.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), AUGMENTATIONS.len());
    for kind in AUGMENTATIONS {
        assert!(kind.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        assert!(!kind.summary().is_empty() && !kind.source().is_empty(), "{}", kind.name());
        assert!(matches!(Augment::parse(&[format!("{}:x=1", kind.name())]), Err(SpecError::UnknownKey { .. })));
        // Keyed by image and epoch: the same key gives the same image, and not all keys do.
        let large = InputSpec { channels: 2, height: 16, width: 16 };
        let changed = |index, epoch| changed_picture(kind.name(), large, index, epoch);
        assert_eq!(changed(3, 1), changed(3, 1));
        let images: BTreeSet<_> = (0..16).map(|i| format!("{:?}", changed(i, 0))).collect();
        let epochs: BTreeSet<_> = (0..16).map(|i| format!("{:?}", changed(0, i))).collect();
        assert!(images.len() > 1 && epochs.len() > 1, "{}", kind.name());
    }
}

#[test]
fn flips_mirror_rows() {
    let flipped = [3., 2., 1., 0., 7., 6., 5., 4., 11., 10., 9., 8.];
    let values = changed("flip:p=1", 0, 0);
    assert_eq!(values[..12], flipped);
    assert_eq!(values[12..], flipped.map(|value| value + 12.0));
    assert_eq!(changed("flip:p=0", 0, 0)[0].to_bits(), 0);
    let n = (0..1000).filter(|&index| changed("flip", index, 7)[0] > 0.0).count();
    // A binomial of 1000 with p = 1/2 has a standard deviation of 16: five of them.
    assert!((420..=580).contains(&n), "{n}");
}

/// Every pixel is the one `down` rows below and `right` columns to the right of it, or black, and every shift occurs.
#[test]
fn crops_shift() {
    let mut shifts = BTreeSet::new();
    for index in 0..400 {
        let values = changed("crop:pad=2", index, 0);
        let original = |c: isize, y: isize, x: isize| {
            let inside = (0..3).contains(&y) && (0..4).contains(&x);
            if inside { (c * 12 + y * 4 + x) as f32 } else { [-1.0, -2.0][c as usize] }
        };
        let fits = |down: isize, right: isize| {
            let all = (0..24).map(|i| original(i / 12, i / 4 % 3 + down, i % 4 + right).to_bits());
            values.iter().map(|value| value.to_bits()).eq(all)
        };
        let found: Vec<_> =
            (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right))).filter(|&(d, r)| fits(d, r)).collect();
        assert_eq!(found.len(), 1, "image {index}: {values:?}");
        shifts.insert(found[0]);
    }
    assert_eq!(shifts.len(), 25);
    // A shift by more than the image leaves nothing of it.
    assert!((0..50).any(|index| changed("crop:pad=9", index, 0)[..12].iter().all(|&value| value < 0.0)));
}

#[test]
fn cutouts_hide_a_square() {
    for index in 0..50 {
        let values = changed("cutout:size=2", index, 0);
        let hidden: Vec<usize> = (12..24).filter(|&i| values[i].to_bits() == 0).collect();
        assert!([1, 2, 4].contains(&hidden.len()), "{values:?}");
    }
    assert!(changed("cutout:size=9", 0, 0).iter().all(|&value| value.to_bits() == 0));
}
