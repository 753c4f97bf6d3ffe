//! Time of reads with wire resistance: `wires [SIZE] [ROUNDS] [CELL_OHM]`, one thread, both wires resistive.
//!
//! One line for a factored array (factor once, many reads) and one for factor and read together: the median of the rounds. The
//! first one writes `wires.csv` (conductances, voltages, currents) where a fourth argument names a folder, which
//! `benches/scipy_wires.py` solves again.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::fmt::Write as _;
use std::time::Instant;

use skimp_analog::{AnalogError, Array, Read, WiredArray, Wires};
use skimp_numerics::rng::{Draws, stream};

const WIRES: Wires = Wires { row_ohm: 4.4, column_ohm: 4.4 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |idx: usize, default: f64| arguments.get(idx).map_or(Ok(default), |text| text.parse());
    let (size, rounds, ohm) = (number(0, 128.0)? as usize, number(1, 21.0)? as usize, number(2, 6e3)?);
    let mut draws = Draws::new(1, stream("analog/example/wires"));
    let cells = (0..size * size).map(|_| if draws.chance(0.5) { 1.0 / ohm } else { 1.0 / (150.0 * ohm) });
    let array = Array::new(size, size, cells.collect())?;
    let volts: Vec<f64> = (0..size).map(|_| if draws.chance(0.5) { 0.5 } else { 0.0 }).collect();
    let wired = WiredArray::new(array.clone(), WIRES)?;
    let read = wired.read(&volts)?;
    println!(
        "{size} x {size}, {} unknowns, residual {:.1e}, {} iterations",
        2 * size * size,
        read.residual,
        read.iterations
    );
    let alone = median(rounds, || wired.read(&volts))?;
    let whole = median(rounds, || WiredArray::new(array.clone(), WIRES)?.read(&volts))?;
    println!("read {:.3} ms, factor and read {:.3} ms", 1e3 * alone, 1e3 * whole);
    let largest = read.currents.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for iterations in 0..4 {
        let estimate = wired.estimate(&volts, iterations)?;
        let off = read.currents.iter().zip(&estimate.currents).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
        let time = 1e3 * median(rounds, || wired.estimate(&volts, iterations))?;
        println!("{iterations} iterations {time:.3} ms, off by {:.1e} of the largest current", off / largest);
    }
    if let Some(folder) = arguments.get(3) {
        let mut text = String::new();
        for (row, (g, volts)) in array.conductances().chunks(size).zip(&volts).enumerate() {
            writeln!(
                text,
                "{volts:e},{:e},{}",
                read.currents[row],
                g.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
            )?;
        }
        std::fs::write(std::path::Path::new(folder).join("wires.csv"), text)?;
    }
    Ok(())
}

fn median(rounds: usize, read: impl Fn() -> Result<Read, AnalogError>) -> Result<f64, AnalogError> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let begin = Instant::now();
        read()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
