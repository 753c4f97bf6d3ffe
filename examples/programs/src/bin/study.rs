//! A study from code: accuracy, simulation, comparisons, and a report as HTML, JSON and CSV.
//!
//!     cargo run -p skimp-examples --bin study [FOLDER]

use std::path::PathBuf;

use skimp::{AcceleratorsPlan, Silent, StudyConfig, StudyRun, run_study};

/// The same text in a file would be `skimp study FILE.toml`.
const STUDY: &str = r#"
schema = 1
name = "zero-skipping-example"
title = "Cnvlutin beside DaDianNao on {network}"
summary = "an example"
baseline = "dense"

[network]
model = "sample-resnet"

[data]
set = "sample"
images = 1
accuracy_images = 100

[[accelerators]]
model = "dadiannao"
label = "dense"

[[accelerators]]
model = "cnvlutin"
label = "zero-skipping"

[[comparisons]]
baseline = "dense"
variant = "zero-skipping"
"#;

fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("skimp-example-study"), PathBuf::from);
    let mut config = StudyConfig::parse(STUDY, "the example")?;
    if let Some(plan) = config.plan.get_mut::<AcceleratorsPlan>() {
        (plan.quantization.weight_bits, plan.quantization.activation_bits) = (8, 8);
    }
    let record = run_study(&config, &StudyRun { folder: folder.clone(), resume: false }, &Silent)?;

    if let Some(accuracy) = record.accuracy() {
        let percent = |of: &Option<skimp::reporting::records::Accuracy>| 100.0 * of.as_ref().map_or(0.0, |of| of.top1);
        println!("{:.1} % in floating point, {:.1} % in integers", percent(&accuracy.fp32), percent(&accuracy.integer));
    }
    println!("{}", skimp::study_text(&record, Some(110)));
    println!("report: {}", folder.join("report.html").display());
    Ok(())
}
