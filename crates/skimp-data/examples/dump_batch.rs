//! Writes preprocessed images and their labels as `.npy` files, to check them or to feed another tool.
//!
//! ```text
//! cargo run --release -p skimp-data --example dump_batch -- cifar10:DIR imagenet 3x32x32 10000 OUT
//! ```
//!
//! writes `OUT.images.npy` (float32, NCHW) and `OUT.labels.npy` (int64), and says on stderr how long preprocessing took.

use std::env;
use std::time::Instant;

use anyhow::{Context, bail};
use skimp_data::{Dataset, InputSpec, Preprocess, Split, npy};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [data, preprocess, extents, n_images, out] = &args[..] else {
        bail!("expected DATA PREPROCESS CxHxW N OUT, found {} arguments", args.len());
    };
    let extents: Vec<usize> = extents.split('x').map(str::parse).collect::<Result<_, _>>().context("CxHxW")?;
    let &[channels, height, width] = &extents[..] else { bail!("expected CxHxW, found {} extents", extents.len()) };
    let preprocess: Preprocess = preprocess.parse()?;

    let start = Instant::now();
    let dataset = Dataset::open(data, Split::Test)?;
    let opened = start.elapsed();
    let n_images = n_images.parse::<usize>().context("N")?.min(dataset.len());
    let batch = dataset.batch(0..n_images, &preprocess, InputSpec { channels, height, width })?;
    report(&format!("opened in {opened:.3?}, preprocessed {n_images} images in {:.3?}", start.elapsed() - opened));

    npy::write(format!("{out}.images.npy"), &batch.shape, &batch.images)?;
    let labels: Vec<i64> = batch.labels.iter().map(|&label| label as i64).collect();
    npy::write(format!("{out}.labels.npy"), &[labels.len()], &labels)?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the example's user interface")]
fn report(text: &str) {
    eprintln!("{text}");
}
