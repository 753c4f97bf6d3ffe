//! The dense baseline.

use skimp_sim::LayerWorkload;

use crate::support::{accelerator, vgg16_conv};

#[test]
fn cycle_vectors() {
    let dadiannao = accelerator("dadiannao", "");
    let mut square = LayerWorkload::conv("16x16", 256, 16, 16, 256, 3).unwrap();
    let mut odd = LayerWorkload::conv("13x13", 256, 13, 13, 384, 3).unwrap();
    for (layer, cycles) in [
        (&mut square, 36_864),
        (&mut odd, 48_672),
        (&mut LayerWorkload::dense("F2", 4096, 4096), 256 * 16),
        (&mut LayerWorkload::dense("F3", 4096, 1000), 256 * 4),
        (&mut vgg16_conv(1), 224 * 224 * 9),
        (&mut vgg16_conv(9), 28 * 28 * 9 * 32 * 2),
    ] {
        let result = dadiannao.simulate_layer(layer, None).unwrap();
        assert_eq!(result.total_cycles(), cycles, "{}", layer.name);
        let slots = result.events.get("executed_macs").unwrap() + result.events.get("idle_slots").unwrap();
        assert_eq!(slots, cycles * 4096);
    }
}

#[test]
fn peak_is_that_of_the_cycle_model() {
    skimp_testkit::check(&[("dadiannao-peak", accelerator("dadiannao", "").facts().peak_gmacs)]);
}

#[test]
fn energy_is_chip_power_times_time() {
    let dadiannao = accelerator("dadiannao", "");
    let result = dadiannao.simulate_layer(&vgg16_conv(9), None).unwrap();
    let energy = dadiannao.facts().price(&result).unwrap();
    let expected = 15_970.0 * result.total_cycles() as f64 / 606.0;
    assert!((energy.total_nj() / expected - 1.0).abs() < 1e-12);
}

#[test]
fn narrow_groups_share_a_brick() {
    let dadiannao = accelerator("dadiannao", "");
    let depthwise = LayerWorkload::conv("dw", 40, 8, 8, 40, 3).unwrap().with_shape(|shape| shape.groups = 40).unwrap();
    // Bundles of 16, 16 and 8 channels: one brick and one group of filters each.
    assert_eq!(dadiannao.simulate_layer(&depthwise, None).unwrap().total_cycles(), 64 * 9 * 3);
}
