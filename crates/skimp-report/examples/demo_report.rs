//! Writes the files of a demonstration study: `cargo run -p skimp-report --example demo_report -- FOLDER [LAYERS]`.

use std::path::PathBuf;

#[path = "../tests/it/demo.rs"]
mod demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "demo-report".to_owned()));
    let study = match arguments.next() {
        Some(layers) => demo::study_with_layers(layers.parse()?),
        None => demo::study(),
    };
    std::fs::create_dir_all(&folder)?;
    skimp_report::write_study(&folder, &study)?;
    Ok(())
}
