//! Elementwise operators as programs: several of them in one pass, over chunks that stay in the first-level cache.
//!
//! Every operator of a program rounds as it does alone, so that fusing changes no bit, and an element gives the same bits
//! wherever it lies. The loops are plain code, compiled once for every processor, once for AVX2 and once for AVX-512.

#![allow(unsafe_code, reason = "calls of the code compiled for vector instructions")]

use super::functions;
use super::{Bounds, Isa, LANES, Planes};
use rayon::prelude::*;

/// Elements that a program works on at a time.
pub(crate) const CHUNK: usize = 128;
/// Chunks that a program may hold.
pub(crate) const REGISTERS: usize = 8;

type Chunk = [f32; CHUNK];
pub(crate) type Registers = [Chunk; REGISTERS];
/// Registers that hold nothing yet.
pub(crate) const NO_REGISTERS: Registers = [[0.0; CHUNK]; REGISTERS];

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Clamp(Bounds),
    LeakyRelu(f32),
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Tanh,
    Sign,
    Exp,
    Erf,
    Gelu,
    GeluTanh,
    Swish(f32),
    Mish,
    Abs,
    Neg,
    Sqrt,
    Reciprocal,
    Square,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    /// `a` if a ≥ 0, else `b · a`.
    PRelu,
}

/// What an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand {
    /// A chunk.
    Register(usize),
    /// The same for all elements.
    Scalar(f32),
}

/// One operator, from registers into a register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Instruction {
    Unary { function: Unary, a: usize, to: usize },
    Binary { function: Binary, a: Operand, b: Operand, to: usize },
}

/// What fills a register before a chunk is worked on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Load {
    /// The elements of an operand shaped like the input.
    Image(usize),
    /// One element for each channel: an operand of one pixel. Blocked images only.
    Pixel(usize),
    /// The same from a constant, padded to whole blocks. Blocked images only.
    Channel(Vec<f32>),
    /// A constant that repeats in the order of the elements. Plain tensors only.
    Repeat(Vec<f32>),
}

/// Instructions over registers. Register 0 holds the input, the next ones what is loaded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    pub(crate) loads: Vec<Load>,
    pub(crate) instructions: Vec<Instruction>,
    /// The register that holds the result.
    pub(crate) output: usize,
}

/// An image or tensor with its layout.
pub(crate) type Image<'a> = (&'a [f32], &'a Planes);

/// A program that a kernel runs on each row that it has computed, with its operands.
pub(crate) type Epilogue<'a> = Option<(&'a Program, &'a [Image<'a>])>;

/// Runs an epilogue on a row of one channel block of a blocked image.
pub(crate) fn finish(
    epilogue: Epilogue<'_>,
    isa: Isa,
    registers: &mut Registers,
    [block, row]: [usize; 2],
    y: &mut [f32],
) {
    let Some((program, operands)) = epilogue else { return };
    program.row(isa, registers, y, [block, 0], &|load| match *load {
        Load::Image(operand) => &operands[operand].0[operands[operand].1.at(block, row, 0)..],
        Load::Pixel(operand) => operands[operand].0,
        Load::Channel(_) | Load::Repeat(_) => &[],
    });
}

impl Program {
    /// One function of one element.
    #[cfg(test)]
    fn of(function: Unary) -> Self {
        Self { loads: Vec::new(), instructions: vec![Instruction::Unary { function, a: 0, to: 0 }], output: 0 }
    }

    /// `out = program(x, operands)`, halo of `out` cleared. `x` may be absent: then it lies in `out` already.
    pub(crate) fn run(
        &self,
        isa: Isa,
        x: Option<Image<'_>>,
        operands: &[Image<'_>],
        (out, planes): (&mut [f32], &Planes),
        parallel: bool,
    ) {
        planes.clear_halo(out);
        let out = &mut out[..planes.len()];
        let whole = |other: &Planes| other.len() == planes.height * planes.width * planes.n_blocks() * planes.block;
        let per_block = self.loads.iter().any(|load| matches!(load, Load::Pixel(_) | Load::Channel(_)));
        let same = |load: &Load| !matches!(load, Load::Image(idx) if !whole(operands[*idx].1));
        let dense = whole(planes) && x.is_none_or(|(_, from)| whole(from)) && self.loads.iter().all(same);
        // Runs of elements that lie one after another everywhere.
        let (len, n_rows) = match (dense, per_block) {
            (true, false) => (if parallel { 16 * 1024 } else { out.len() }, 1),
            (true, true) => (planes.plane(), 1),
            (false, _) => (planes.plane(), planes.height),
        };
        let part = |(idx, out): (usize, &mut [f32])| {
            let mut registers = NO_REGISTERS;
            for row in 0..n_rows {
                let (width, place) = if dense { (out.len(), 0) } else { (planes.width * planes.block, row) };
                let at = |planes: &Planes| if dense { idx * len } else { planes.at(idx, place, 0) };
                let start = if dense { 0 } else { planes.at(0, row, 0) };
                let y = &mut out[start..start + width];
                if let Some((x, from)) = x {
                    y.copy_from_slice(&x[at(from)..][..width]);
                }
                let first = if dense { idx * len } else { (idx * planes.height + row) * width };
                self.row(isa, &mut registers, y, [idx, first], &|load| match *load {
                    Load::Image(operand) => &operands[operand].0[at(operands[operand].1)..],
                    Load::Pixel(operand) => operands[operand].0,
                    Load::Channel(_) | Load::Repeat(_) => &[],
                });
            }
        };
        let parts = out.chunks_mut(len.max(1)).enumerate();
        if parallel {
            parts.collect::<Vec<_>>().into_par_iter().for_each(part);
        } else {
            parts.for_each(part);
        }
    }

    /// Replaces elements that lie one after another by the program's results. They belong to channel block `block`
    /// (where something is loaded by channel), and the first one is number `first` in plain order (where a constant repeats).
    /// `source` gives what is loaded with them: of an image from the first of them on, of one pixel all of it.
    pub(crate) fn row<'a>(
        &self,
        isa: Isa,
        registers: &mut Registers,
        y: &mut [f32],
        place: [usize; 2],
        source: &dyn Fn(&Load) -> &'a [f32],
    ) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor feature.
            Isa::Avx512 => unsafe { avx512(self, registers, y, place, source) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the processor feature.
            Isa::Avx2 => unsafe { avx2(self, registers, y, place, source) },
            Isa::Portable => run_row::<false>(self, registers, y, place, source),
        }
    }
}

/// # Safety
/// Needs AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512<'a>(
    program: &Program,
    registers: &mut Registers,
    y: &mut [f32],
    place: [usize; 2],
    source: &dyn Fn(&Load) -> &'a [f32],
) {
    run_row::<true>(program, registers, y, place, source);
}

/// # Safety
/// Needs AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<'a>(
    program: &Program,
    registers: &mut Registers,
    y: &mut [f32],
    place: [usize; 2],
    source: &dyn Fn(&Load) -> &'a [f32],
) {
    run_row::<true>(program, registers, y, place, source);
}

#[inline(always)]
fn run_row<'a, const FMA: bool>(
    program: &Program,
    registers: &mut Registers,
    y: &mut [f32],
    [block, first]: [usize; 2],
    source: &dyn Fn(&Load) -> &'a [f32],
) {
    if let [Instruction::Unary { function, .. }] = *program.instructions {
        unary::<FMA>(function, InPlace(y));
        return;
    }
    for (load, register) in program.loads.iter().zip(&mut registers[1..]) {
        let lanes = match load {
            Load::Pixel(_) => &source(load)[block * LANES..][..LANES],
            Load::Channel(parameters) => &parameters[block * LANES..][..LANES],
            Load::Image(_) | Load::Repeat(_) => continue,
        };
        register.chunks_exact_mut(LANES).for_each(|pixel| pixel.copy_from_slice(lanes));
    }
    for (idx, y) in y.chunks_mut(CHUNK).enumerate() {
        fill(&mut registers[0], y);
        for (load, register) in program.loads.iter().zip(&mut registers[1..]) {
            match load {
                Load::Image(_) => fill(register, &source(load)[idx * CHUNK..][..y.len()]),
                Load::Repeat(constant) => {
                    let start = (first + idx * CHUNK) % constant.len();
                    if let Some(part) = constant.get(start..start + y.len()) {
                        fill(register, part);
                    } else {
                        let repeated = constant.iter().cycle().skip(start);
                        register[..y.len()].iter_mut().zip(repeated).for_each(|(y, &x)| *y = x);
                    }
                }
                Load::Pixel(_) | Load::Channel(_) => {}
            }
        }
        execute::<FMA>(&program.instructions, registers, y.len());
        let result = &registers[program.output];
        match <&mut Chunk>::try_from(&mut *y) {
            Ok(y) => *y = *result,
            Err(_) => y.copy_from_slice(&result[..y.len()]),
        }
    }
}

/// Copies at most a chunk; a whole one without a call.
#[inline(always)]
fn fill(register: &mut Chunk, x: &[f32]) {
    match <&Chunk>::try_from(x) {
        Ok(x) => *register = *x,
        Err(_) => register[..x.len()].copy_from_slice(x),
    }
}

/// Runs all instructions on the first `n` elements: loops of a length that the compiler does not know, as it would unroll
/// others until the registers do not suffice.
#[inline(always)]
fn execute<const FMA: bool>(instructions: &[Instruction], registers: &mut Registers, n: usize) {
    for instruction in instructions {
        match *instruction {
            Instruction::Unary { function, a, to } => {
                if let Ok([x, y]) = registers.get_disjoint_mut([a, to]) {
                    unary::<FMA>(function, Apart(&mut y[..n], &x[..n]));
                } else {
                    unary::<FMA>(function, InPlace(&mut registers[to][..n]));
                }
            }
            Instruction::Binary { function, a: Operand::Register(a), b: Operand::Register(b), to } => {
                if let Ok([x, other, y]) = registers.get_disjoint_mut([a, b, to]) {
                    binary(function, &x[..n], &other[..n], &mut y[..n]);
                } else {
                    let (x, other) = (registers[a], registers[b]);
                    binary(function, &x[..n], &other[..n], &mut registers[to][..n]);
                }
            }
            Instruction::Binary { function, a, b, to } => {
                let get = |operand| match operand {
                    Operand::Register(idx) => registers[idx],
                    Operand::Scalar(x) => [x; CHUNK],
                };
                let (a, b) = (get(a), get(b));
                binary(function, &a[..n], &b[..n], &mut registers[to][..n]);
            }
        }
    }
}

#[inline(always)]
fn unary<const FMA: bool>(function: Unary, target: impl Target) {
    match function {
        Unary::Clamp(bounds) => target.map(|x| bounds.apply(x)),
        Unary::LeakyRelu(alpha) => target.map(|x| if x < 0.0 { alpha * x } else { x }),
        Unary::Sigmoid => target.map(functions::sigmoid::<FMA>),
        Unary::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (f64::from(alpha), f64::from(beta));
            target.map(|x| unit(alpha * f64::from(x) + beta) as f32);
        }
        Unary::HardSwish => target.map(|x| {
            let x = f64::from(x);
            (x * unit(x / 6.0 + 0.5)) as f32
        }),
        Unary::Tanh => target.map(functions::tanh::<FMA>),
        Unary::Sign => target.map(|x| {
            let sign = if x > 0.0 { 1.0 } else { 0.0 };
            let sign = if x < 0.0 { -1.0 } else { sign };
            if x.is_nan() { x } else { sign }
        }),
        Unary::Exp => target.map(functions::exp::<FMA>),
        Unary::Erf => target.map(functions::erf::<FMA>),
        Unary::Gelu => target.map(functions::gelu::<FMA>),
        Unary::GeluTanh => target.map(functions::gelu_tanh::<FMA>),
        Unary::Swish(alpha) => target.map(|x| functions::swish::<FMA>(x, alpha)),
        Unary::Mish => target.map(functions::mish::<FMA>),
        Unary::Abs => target.map(f32::abs),
        Unary::Neg => target.map(|x| -x),
        Unary::Sqrt => target.map(f32::sqrt),
        Unary::Reciprocal => target.map(|x| 1.0 / x),
        Unary::Square => target.map(|x| x * x),
    }
}

/// Clamps to 0..=1; NaN stays NaN.
#[inline(always)]
fn unit(x: f64) -> f64 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > 1.0 { 1.0 } else { x }
}

/// Elements that a function is applied to.
trait Target {
    fn map(self, f: impl Fn(f32) -> f32);
}

/// Elements made of as many others.
struct Apart<'a>(&'a mut [f32], &'a [f32]);

/// Elements that the results replace.
struct InPlace<'a>(&'a mut [f32]);

impl Target for Apart<'_> {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) {
        for (y, &x) in self.0.iter_mut().zip(self.1) {
            *y = f(x);
        }
    }
}

impl Target for InPlace<'_> {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) {
        for y in self.0 {
            *y = f(*y);
        }
    }
}

#[inline(always)]
fn binary(function: Binary, a: &[f32], b: &[f32], y: &mut [f32]) {
    match function {
        Binary::Add => zip(a, b, y, |a, b| a + b),
        Binary::Sub => zip(a, b, y, |a, b| a - b),
        Binary::Mul => zip(a, b, y, |a, b| a * b),
        Binary::Div => zip(a, b, y, |a, b| a / b),
        Binary::PRelu => zip(a, b, y, |a, b| if a < 0.0 { b * a } else { a }),
    }
}

#[inline(always)]
fn zip(a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = f(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Halo, noise};
    use super::*;

    const ALL: [Unary; 18] = [
        Unary::Clamp(Bounds { low: -0.5, high: 0.75 }),
        Unary::LeakyRelu(0.1),
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.4 },
        Unary::HardSwish,
        Unary::Tanh,
        Unary::Sign,
        Unary::Exp,
        Unary::Erf,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Swish(1.5),
        Unary::Mish,
        Unary::Abs,
        Unary::Neg,
        Unary::Sqrt,
        Unary::Reciprocal,
        Unary::Square,
    ];

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }.to_bits()).collect()
    }

    /// The same bits for any length, place and number of threads.
    #[test]
    fn an_element_depends_on_nothing_but_itself() {
        for function in ALL {
            let program = Program::of(function);
            let x: Vec<f32> = noise(1000, 5).iter().map(|x| x * 8.0).collect();
            let run = |isa, x: &[f32], parallel| {
                let planes = Planes::plain(1, 1, x.len());
                let mut y = vec![f32::NAN; x.len()];
                program.run(isa, Some((x, &planes)), &[], (&mut y, &planes), parallel);
                bits(&y)
            };
            for isa in Isa::available() {
                let expected = run(isa, &x, false);
                for range in [0..1000, 0..1, 3..20, 127..130, 500..999] {
                    for parallel in [false, true] {
                        let found = run(isa, &x[range.clone()], parallel);
                        assert_eq!(found, expected[range.clone()], "{function:?}, {isa:?}, {range:?}");
                    }
                }
            }
        }
    }

    /// Every kind of load, with halos and without, in place and not.
    #[test]
    fn operands_meet_their_elements() {
        let halo = Halo { top: 1, left: 2, bottom: 0, right: 1 };
        let (channels, height, width) = (37, 5, 11);
        let layouts =
            [Planes::blocked(channels, height, width), Planes { halo, ..Planes::blocked(channels, height, width) }];
        let pixel = Planes::blocked(channels, 1, 1);
        let loads = vec![Load::Image(0), Load::Pixel(1), Load::Channel(noise(48, 3))];
        let add = |a, b, to| Instruction::Binary { function: Binary::Add, a, b: Operand::Register(b), to };
        let multiply = |a, b, to| Instruction::Binary { function: Binary::Mul, a, b: Operand::Register(b), to };
        let instructions = vec![
            add(Operand::Register(0), 1, 4),
            multiply(Operand::Register(4), 2, 4),
            Instruction::Binary { function: Binary::Sub, a: Operand::Scalar(2.0), b: Operand::Register(4), to: 0 },
            add(Operand::Register(0), 3, 5),
        ];
        let program = Program { loads, instructions, output: 5 };
        let fill = |planes: &Planes, seed| {
            let mut image = noise(planes.len(), seed);
            planes.clear_halo(&mut image);
            image
        };
        for (from, other, to) in
            [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1)].map(|(a, b, c)| (layouts[a], layouts[b], layouts[c]))
        {
            let (x, y, gate) = (fill(&from, 1), fill(&other, 2), fill(&pixel, 4));
            let Load::Channel(shift) = &program.loads[2] else { unreachable!("as above") };
            for (isa, parallel) in Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
                let mut out = vec![f32::NAN; to.len()];
                let operands = [(y.as_slice(), &other), (gate.as_slice(), &pixel)];
                program.run(isa, Some((&x, &from)), &operands, (&mut out, &to), parallel);
                for (block, row, column) in
                    (0..3).flat_map(|b| (0..height).flat_map(move |r| (0..width).map(move |c| (b, r, c))))
                {
                    for lane in 0..LANES {
                        let at = |planes: &Planes| planes.at(block, row, column) + lane;
                        let gate = gate[block * LANES + lane];
                        let right = (2.0 - (x[at(&from)] + y[at(&other)]) * gate) + shift[block * LANES + lane];
                        assert_eq!(out[at(&to)].to_bits(), right.to_bits(), "{isa:?}");
                    }
                }
                let mut cleared = out.clone();
                to.clear_halo(&mut cleared);
                assert_eq!(bits(&out), bits(&cleared), "the halo is zero");
            }
        }
        let repeated = noise(7, 9);
        let program = Program {
            loads: vec![Load::Repeat(repeated.clone())],
            instructions: vec![add(Operand::Register(0), 1, 0)],
            output: 0,
        };
        let planes = Planes::plain(1, 1, 7 * 5000);
        let x = noise(planes.len(), 8);
        for parallel in [false, true] {
            let mut out = vec![f32::NAN; planes.len()];
            program.run(Isa::detect(), Some((&x, &planes)), &[], (&mut out, &planes), parallel);
            assert!(out.iter().enumerate().all(|(i, y)| y.to_bits() == (x[i] + repeated[i % 7]).to_bits()));
            let mut in_place = x.clone();
            program.run(Isa::detect(), None, &[], (&mut in_place, &planes), parallel);
            assert_eq!(bits(&in_place), bits(&out));
        }
    }
}
