//! A trace that does not fit is refused before the network runs. A file of its own: the budget belongs to the process.

use skimp::{DataConfig, LayersConfig, Network, QuantizationConfig, Quantized, Silent, StudyError, set_memory};

#[test]
fn a_trace_takes_its_memory_before_it_runs_and_gives_it_back() {
    let network = Network::open("sample-resnet").unwrap();
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() }).unwrap();
    let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &Silent).unwrap();
    let trace = |n| quantized.trace(&images, n, &LayersConfig::default(), &Silent);
    let per_image: u64 = {
        let traced = trace(1).unwrap();
        // Codes of 4 bytes, sums of 8; residuals are counted beside, so this is a lower bound.
        traced.layers().map(|layer| (4 * layer.shape.input_count() + 8 * layer.shape.output_count()) as u64).sum()
    };
    set_memory("128MiB".parse().unwrap());
    let too_many = (200 << 20) / per_image as usize;
    let error = trace(too_many).unwrap_err();
    let StudyError::Memory(error) = error else { panic!("{error}") };
    assert!(error.what.contains("sample-resnet") && error.needed.0 > 128 << 20, "{error}");
    // Twice half of the budget fits only if the first trace gives its memory back.
    for _ in 0..3 {
        let kept = trace(too_many / 4).unwrap();
        assert_eq!(kept.clone().n_images(), too_many / 4);
    }
}
