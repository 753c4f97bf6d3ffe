//! Writes the page of a demonstration sweep: `cargo run -p skimp-report --example demo_sweep -- FILE.html [POINTS]`.

#[path = "../tests/it/demo_sweep.rs"]
mod demo_sweep;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_else(|| "demo-sweep.html".to_owned());
    let points = arguments.next().map_or(Ok(2000), |points| points.parse())?;
    std::fs::write(file, skimp_report::html::render_sweep(&demo_sweep::sweep(points)))?;
    Ok(())
}
