//! How runs are watched, stopped and given threads.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use skimp::{
    Callback, Cancel, CostsConfig, DataConfig, Design, LayersConfig, Network, Progress, QuantizationConfig, Quantized,
    Silent, StudyError, with_threads,
};

fn parts() -> (Network, skimp::Images) {
    let network = Network::open("sample-resnet").unwrap();
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() }).unwrap();
    (network, images)
}

#[test]
fn a_closure_sees_progress_and_stops_the_run() {
    let (network, images) = parts();
    let (steps, notes) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let monitor = Callback::new(|progress| {
        match progress {
            Progress::Advanced(n) if steps.fetch_add(n, Ordering::SeqCst) + n >= 5 => return ControlFlow::Break(()),
            Progress::Note(text) => notes.lock().unwrap().push(text.to_owned()),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(network.calibrate(&images, 16, &monitor), Err(StudyError::Interrupted)));
    assert_eq!(steps.into_inner(), 5);
    assert!(notes.into_inner().unwrap().iter().any(|note| note.contains("set the ranges")));
}

#[test]
fn every_stage_can_be_cancelled() {
    let (network, images) = parts();
    let cancel = Cancel::new();
    let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &cancel).unwrap();
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &cancel).unwrap();
    let designs = [Design::named("dadiannao").unwrap()];
    traced.simulate(&designs, &cancel).unwrap();
    cancel.clone().cancel();
    let interrupted = |error: StudyError| assert!(matches!(error, StudyError::Interrupted), "{error}");
    interrupted(network.accuracy(&images, 100, &cancel).unwrap_err());
    interrupted(network.calibrate(&images, 16, &cancel).unwrap_err());
    interrupted(quantized.accuracy(&images, 100, &cancel).unwrap_err());
    interrupted(quantized.trace(&images, 1, &LayersConfig::default(), &cancel).unwrap_err());
    interrupted(traced.simulate(&designs, &cancel).unwrap_err());
    // A callback stops with it, too.
    let monitor = Callback::new(|_| ControlFlow::Continue(())).stopped_by(&cancel);
    interrupted(traced.simulate(&designs, &monitor).unwrap_err());
}

#[test]
fn threads_are_those_of_the_call_and_change_nothing() {
    let run = || {
        let (network, images) = parts();
        let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &Silent).unwrap();
        let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap();
        let designs = [Design::named("compend").unwrap(), Design::named("eyeriss").unwrap()];
        let priced = traced.simulate(&designs, &Silent).unwrap().price(&CostsConfig::Auto).unwrap();
        (skimp::threads(), serde_json::to_string(&priced).unwrap())
    };
    let outside = skimp::threads();
    let (one, two) = (with_threads(1, run).unwrap(), with_threads(3, run).unwrap());
    assert_eq!((one.0, two.0, skimp::threads()), (1, 3, outside));
    assert_eq!(one.1, two.1);
    for wrong in [0, 1025] {
        assert!(with_threads(wrong, || ()).unwrap_err().is_usage(), "{wrong}");
    }
}
