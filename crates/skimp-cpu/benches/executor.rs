//! The f32 executor: single convolutions beside baselines, and whole networks.
//!
//!     cargo bench -p skimp-cpu --bench executor
//!
//! Layers run alone, so packing into and out of channel blocks is part of their time. The baselines are the plain loop
//! nest and im2col with the `gemm` crate, on one thread like the executor. All results are compared before anything is
//! timed. Networks have random weights. `onnxruntime_compare.py` measures beside onnxruntime.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;

use gemm::Parallelism;
use rayon::ThreadPoolBuilder;
use skimp_cpu::CpuExecutor;
use skimp_graph::networks::{self, Weights};
use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Executor, Graph, GraphBuilder, GraphError, Op, Tensor, Window};
use skimp_testkit::{RawTimes, Times};

/// Runs per figure, of which the median counts.
const RUNS: usize = 7;

/// A convolution, padded to keep its extent.
#[derive(Clone, Copy, Debug)]
struct Layer {
    name: &'static str,
    channels: usize,
    filters: usize,
    extent: usize,
    kernel: usize,
}

const LAYERS: [Layer; 8] = [
    Layer { name: "resnet20/16x32x32", channels: 16, filters: 16, extent: 32, kernel: 3 },
    Layer { name: "resnet20/32x16x16", channels: 32, filters: 32, extent: 16, kernel: 3 },
    Layer { name: "resnet20/64x8x8", channels: 64, filters: 64, extent: 8, kernel: 3 },
    Layer { name: "vgg16/conv1_1", channels: 3, filters: 64, extent: 224, kernel: 3 },
    Layer { name: "vgg16/conv3_2", channels: 256, filters: 256, extent: 56, kernel: 3 },
    Layer { name: "vgg16/conv5_2", channels: 512, filters: 512, extent: 14, kernel: 3 },
    Layer { name: "resnet50/1x1", channels: 256, filters: 64, extent: 56, kernel: 1 },
    Layer { name: "squeezenet/1x1", channels: 64, filters: 256, extent: 13, kernel: 1 },
];

impl Layer {
    fn macs(&self) -> f64 {
        (self.channels * self.filters * (self.kernel * self.extent).pow(2)) as f64
    }

    fn weight(&self) -> Tensor {
        let shape = vec![self.filters, self.channels, self.kernel, self.kernel];
        random_tensor(1, "weight", shape, 0.0, 1.0)
    }

    fn input(&self) -> Tensor {
        random_tensor(1, "x", vec![1, self.channels, self.extent, self.extent], 0.0, 1.0)
    }

    fn graph(&self) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(self.name);
        let dims = [1, self.channels, self.extent, self.extent].map(Dim::Fixed).to_vec();
        let x = builder.input("x", DType::F32, dims);
        let weight = builder.constant("weight", self.weight());
        let window = Window {
            kernel: vec![self.kernel; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: vec![self.kernel / 2; 2],
            pads_end: vec![self.kernel / 2; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        let y = builder.node("conv", Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight]);
        builder.output(y);
        builder.build()
    }

    /// Rows `[c r s]`, columns `[p q]`.
    fn im2col(&self, x: &[f32], columns: &mut [f32]) {
        let (n, kernel, pad) = (self.extent, self.kernel, self.kernel / 2);
        for (row, column) in columns.chunks_exact_mut(n * n).enumerate() {
            let (c, r, s) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            for (p, out) in column.chunks_exact_mut(n).enumerate() {
                out.fill(0.0);
                if (p + r) < pad || p + r - pad >= n {
                    continue;
                }
                let source = &x[(c * n + p + r - pad) * n..][..n];
                let first = pad.saturating_sub(s);
                let last = (n + pad - s).min(n);
                out[first..last].copy_from_slice(&source[first + s - pad..last + s - pad]);
            }
        }
    }

    fn im2col_gemm(&self, x: &[f32], weight: &[f32], columns: &mut [f32], y: &mut [f32]) {
        self.im2col(x, columns);
        let (m, k, n) = (self.filters, self.channels * self.kernel * self.kernel, self.extent * self.extent);
        assert!(weight.len() == m * k && columns.len() == k * n && y.len() == m * n, "matrices as sized");
        #[allow(unsafe_code, reason = "the crate's interface takes pointers")]
        // SAFETY: row-major matrices of the sizes asserted above.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                y.as_mut_ptr(),
                1,
                n as isize,
                false,
                weight.as_ptr(),
                1,
                k as isize,
                columns.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }

    fn naive(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        let (n, kernel, pad) = (self.extent, self.kernel, self.kernel / 2);
        for (i, y) in y.iter_mut().enumerate() {
            let (k, p, q) = (i / (n * n), i / n % n, i % n);
            let mut sum = 0.0;
            for c in 0..self.channels {
                for r in 0..kernel {
                    for s in 0..kernel {
                        if (pad..n + pad).contains(&(p + r)) && (pad..n + pad).contains(&(q + s)) {
                            let weight = weight[((k * self.channels + c) * kernel + r) * kernel + s];
                            sum += weight * x[(c * n + p + r - pad) * n + q + s - pad];
                        }
                    }
                }
            }
            *y = sum;
        }
    }
}

/// The largest difference relative to the largest magnitude.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let scale = b.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs() / scale))
}

fn layers(raw: &mut RawTimes) -> Result<(), Box<dyn Error>> {
    println!("{:20} {:>16} {:>9} {:>12} {:>12}", "layer, 1 thread", "skimp", "GMAC/s", "over gemm", "over naive");
    for layer in LAYERS {
        let executor = CpuExecutor::new(&layer.graph()?)?;
        let (x, weight) = ([layer.input()], layer.weight());
        let (elements, weight) = (x[0].as_f32().unwrap_or_default(), weight.as_f32().unwrap_or_default());
        let n_outputs = layer.filters * layer.extent * layer.extent;
        let mut columns = vec![0.0; layer.channels * layer.kernel * layer.kernel * layer.extent * layer.extent];
        let (mut lowered, mut plain) = (vec![0.0; n_outputs], vec![0.0; n_outputs]);
        let outputs = executor.run(&x)?;
        layer.im2col_gemm(elements, weight, &mut columns, &mut lowered);
        layer.naive(elements, weight, &mut plain);
        let y = outputs[0].as_f32().unwrap_or_default();
        for other in [&lowered, &plain] {
            let off = difference(y, other);
            if off.is_nan() || off > 1e-5 {
                return Err(format!("{}: results differ by {off}", layer.name).into());
            }
        }
        let repeats = (5e8 / layer.macs()).clamp(1.0, 200.0) as usize;
        let (mut skimp, mut gemm) = (Times::default(), Times::default());
        for _ in 0..RUNS {
            skimp.add(|| (0..repeats).for_each(|_| drop(executor.run(&x))));
            gemm.add(|| {
                (0..repeats).for_each(|_| layer.im2col_gemm(elements, weight, &mut columns, &mut lowered));
            });
        }
        let naive = Times::of(1, || layer.naive(elements, weight, &mut plain));
        raw.add(&format!("{} x {repeats}", layer.name), &skimp);
        raw.add(&format!("{} x {repeats} gemm", layer.name), &gemm);
        let seconds = skimp.median() / repeats as f64;
        println!(
            "{:20} {:9.3} ms ±{:2.0} % {:9.1} {:11.2}x {:11.1}x",
            layer.name,
            seconds * 1e3,
            skimp.spread_percent(),
            layer.macs() / seconds / 1e9,
            skimp.speedup_over(&gemm),
            naive.median() / seconds
        );
    }
    Ok(())
}

fn network(raw: &mut RawTimes, name: &str, graph: &Graph, batch: usize) -> Result<(), Box<dyn Error>> {
    let shapes = skimp_graph::shape::bind(graph, batch, None)?;
    let inputs: Vec<Tensor> = shapes.into_iter().map(|shape| random_tensor(2, "x", shape, 0.0, 1.0)).collect();
    let executor = CpuExecutor::new(graph)?;
    let mut first = Vec::new();
    for n_threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build()?;
        let outputs = pool.install(|| executor.run(&inputs))?;
        if n_threads == 1 {
            first = outputs;
        } else if first != outputs {
            return Err(format!("{name}: {n_threads} threads change the result").into());
        }
        let times = pool.install(|| Times::of(RUNS, || drop(executor.run(&inputs))));
        raw.add(&format!("{name} batch {batch} threads {n_threads}"), &times);
        let rate = batch as f64 / times.median();
        println!("{name:20} batch {batch:4} threads {n_threads} {times:>20} {rate:9.1} images/s");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut raw = RawTimes::new("executor");
    ThreadPoolBuilder::new().num_threads(1).build()?.install(|| layers(&mut raw).map_err(|error| error.to_string()))?;
    println!();
    let built_in = |name: &str| networks::build(name, Weights::Seeded(1));
    let resnet20 = built_in("resnet20")?;
    for batch in [1, 100, 500] {
        network(&mut raw, "resnet20", &resnet20, batch)?;
    }
    network(&mut raw, "vgg16", &built_in("vgg16")?, 1)?;
    network(&mut raw, "resnet18", &built_in("resnet18")?, 1)?;
    network(&mut raw, "alexnet-caffe", &built_in("alexnet-caffe")?, 1)?;
    println!("\nraw times: {}", raw.save()?.display());
    Ok(())
}
