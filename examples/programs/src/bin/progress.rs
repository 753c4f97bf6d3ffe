//! Progress by a closure, a run that is stopped from outside, and threads of one call.
//!
//!     cargo run -p skimp-examples --bin progress

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp::{Callback, Cancel, DataConfig, Network, Progress, Silent, StudyError, with_threads};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;

    // A closure sees every stage and step, from whichever thread the run is at; `Break` would stop the run.
    let steps = AtomicU64::new(0);
    let monitor = Callback::new(|progress| {
        match progress {
            Progress::Stage { name, n_steps } => println!("{name}: {n_steps} steps"),
            Progress::Advanced(n) => drop(steps.fetch_add(n, Ordering::Relaxed)),
            Progress::Note(text) => println!("note: {text}"),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    network.calibrate(&images, 16, &monitor)?;
    println!("{} steps done", steps.load(Ordering::Relaxed));

    // Another thread, a signal handler or a window's button stops a run.
    let cancel = Cancel::new();
    let button = cancel.clone();
    std::thread::spawn(move || button.cancel()).join().map_err(|_| anyhow::anyhow!("the thread failed"))?;
    match network.accuracy(&images, 1000, &cancel) {
        Err(StudyError::Interrupted) => println!("stopped, as asked"),
        other => println!("not stopped: {other:?}"),
    }

    // One call on one thread; results do not depend on it.
    let one = with_threads(1, || network.accuracy(&images, 100, &Silent))??;
    let all = network.accuracy(&images, 100, &Silent)?;
    println!("on 1 thread {:.1} %, on {} {:.1} %", 100.0 * one.top1, skimp::threads(), 100.0 * all.top1);
    Ok(())
}
