use std::collections::BTreeSet;

use skimp_data::Split;

use super::*;

const INPUT: InputSpec = InputSpec { channels: 1, height: 28, width: 28 };

fn sample() -> Arc<Dataset> {
    Arc::new(Dataset::open("sample", Split::Test).unwrap())
}

fn config(batch: usize) -> LoaderConfig {
    LoaderConfig {
        batch,
        seed: 3,
        order: Order::Shuffled,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().unwrap(),
        input: INPUT,
        augment: Augment::default(),
    }
}

fn bits(batch: &Batch) -> Vec<u32> {
    batch.images.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_epoch_sees_each_image_once_in_another_order() {
    let dataset = sample();
    let indices: Vec<usize> = (100..150).collect();
    let loader = Loader::new(dataset.clone(), indices.clone(), config(16)).unwrap();
    assert_eq!((loader.steps_per_epoch(), loader.n_images()), (4, 50));
    let whole = dataset.gather(&indices, &"sample".parse().unwrap(), INPUT).unwrap();
    let images = |batch: &Batch| -> Vec<Vec<u32>> { bits(batch).chunks(784).map(<[u32]>::to_vec).collect() };
    let all: BTreeSet<_> = images(&whole).into_iter().collect();
    let mut orders = Vec::new();
    for epoch in 0..2 {
        let batches: Vec<Batch> = (4 * epoch..4 * epoch + 4).map(|step| loader.batch(step).unwrap()).collect();
        assert_eq!(batches.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [16, 16, 16, 2]);
        let seen: Vec<_> = batches.iter().flat_map(images).collect();
        assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), all);
        orders.push(seen);
    }
    assert_ne!(orders[0], orders[1]);
    let dropping = LoaderConfig { last_batch: LastBatch::Drop, ..config(16) };
    assert_eq!(Loader::new(dataset, indices, dropping).unwrap().steps_per_epoch(), 3);
}

#[test]
fn a_stream_may_begin_anywhere() {
    let augment = || Augment::parse(&["flip", "crop:pad=2"]).unwrap();
    let loader = |order, augment| {
        Loader::new(sample(), (0..20).collect(), LoaderConfig { order, augment, ..config(8) }).unwrap()
    };
    let shuffled = loader(Order::Shuffled, augment());
    let all: Vec<Batch> = shuffled.stream(0..9, 2).collect::<Result<_, _>>().unwrap();
    assert_eq!(all.len(), 9);
    for first in [0, 1, 3, 7] {
        let rest: Vec<Batch> = shuffled.stream(first..9, 1).collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, all[first as usize..], "from step {first}");
        assert_eq!(bits(&shuffled.batch(first).unwrap()), bits(&all[first as usize]));
    }
    // Augmentation belongs to the image, not to its place: undoing the order gives the same pictures.
    let sequential = loader(Order::Sequential, augment());
    let picture = |loader: &Loader| -> BTreeSet<Vec<u32>> {
        (0..3)
            .flat_map(|step| bits(&loader.batch(step).unwrap()).chunks(784).map(<[u32]>::to_vec).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(picture(&sequential), picture(&shuffled));
    assert_ne!(picture(&sequential), picture(&loader(Order::Sequential, Augment::default())));
    drop(shuffled.stream(0..1_000_000, 1));
}

#[test]
fn batches_that_come_back_are_filled_again() {
    let augment = Augment::parse(&["flip", "crop:pad=2", "cutout"]).unwrap();
    let loader = Loader::new(sample(), (0..60).collect(), LoaderConfig { augment, ..config(8) }).unwrap();
    // One thread: allocations are counted per thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let order = loader.shared.order(0);
    let count = pool.install(|| {
        let mut batch = loader.batch(0).unwrap();
        // Into the next epoch, past the smaller batch at the end of this one.
        allocation_counter::measure(|| {
            (1..12).for_each(|step| loader.shared.fill(&mut batch, &order, step / 8, step % 8).unwrap());
        })
        .count_total
    });
    assert_eq!(count, 0);

    // The stream uses the same memory: `ahead` batches wait, one is being filled, one is ours, one is on its way.
    let mut stream = loader.stream(0..64, 2);
    let mut places = BTreeSet::new();
    for step in 0..64 {
        let batch = stream.next().unwrap().unwrap();
        assert_eq!(bits(&batch), bits(&loader.batch(step).unwrap()), "{step}");
        assert_eq!(batch.labels, loader.batch(step).unwrap().labels, "{step}");
        places.insert(batch.images.as_ptr());
        stream.recycle(batch);
    }
    assert!(stream.next().is_none());
    assert!(places.len() <= 5, "{}", places.len());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let error = |indices: Vec<usize>, config| Loader::new(sample(), indices, config).unwrap_err().to_string();
    assert_eq!(error(vec![0], config(0)), "batch size: expected at least 1, found 0");
    assert_eq!(error(vec![], config(1)), "data set \"sample\": expected at least 1 image, found none");
    let dropping = LoaderConfig { last_batch: LastBatch::Drop, ..config(3) };
    assert_eq!(error(vec![0, 1], dropping), "batch size: expected at most 2, the number of images, found 3");
    assert_eq!(error(vec![0, 1000], config(1)), "image 1000 is out of range, data set \"sample\" has 1000 images");
    let preprocess: Preprocess = "imagenet".parse().unwrap();
    assert!(error(vec![0], LoaderConfig { preprocess, ..config(1) }).contains("has 3 values"));
}
