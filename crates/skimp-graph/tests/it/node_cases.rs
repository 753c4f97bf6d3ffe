//! The backend node tests of the `onnx` Python package, on the reference interpreter.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use skimp_graph::reference::Reference;
use skimp_graph::{Data, Executor as _, Graph, Tensor, onnx};

use crate::compare::{Tolerance, difference};

/// The expected values come from NumPy in f32; sums in another order and other `exp` and `tanh` differ in the last
/// places. (onnx itself allows rel = 1e-3.)
const TOLERANCE: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };

struct Case {
    name: String,
    model: Bytes,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// Reads the container that `generate.py` writes.
struct Reader {
    bytes: Bytes,
}

impl Reader {
    fn take(&mut self, n: usize) -> Bytes {
        assert!(n <= self.bytes.len(), "the archive ends early");
        self.bytes.split_to(n)
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn number(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).as_ref().try_into().expect("four bytes")) as usize
    }

    fn block(&mut self) -> Bytes {
        let n = self.number();
        self.take(n)
    }

    fn tensor(&mut self) -> Tensor {
        fn decode<const N: usize, T>(reader: &mut Reader, n: usize, decode: impl Fn([u8; N]) -> T) -> Arc<Vec<T>> {
            Arc::new(reader.take(n * N).as_chunks::<N>().0.iter().map(|&b| decode(b)).collect())
        }
        let number = self.byte();
        let rank = self.byte();
        let shape: Vec<usize> = (0..rank).map(|_| self.number()).collect();
        let n = shape.iter().product();
        let data = match number {
            1 => Data::F32(decode(self, n, f32::from_le_bytes)),
            2 => Data::U8(decode(self, n, u8::from_le_bytes)),
            3 => Data::I8(decode(self, n, i8::from_le_bytes)),
            4 => Data::U16(decode(self, n, u16::from_le_bytes)),
            5 => Data::I16(decode(self, n, i16::from_le_bytes)),
            6 => Data::I32(decode(self, n, i32::from_le_bytes)),
            7 => Data::I64(decode(self, n, i64::from_le_bytes)),
            9 => Data::Bool(decode(self, n, |[b]: [u8; 1]| b != 0)),
            11 => Data::F64(decode(self, n, f64::from_le_bytes)),
            _ => panic!("element type {number} in the archive"),
        };
        Tensor::new(shape, data).expect("elements match the shape")
    }

    fn tensors(&mut self) -> Vec<Tensor> {
        let n = self.number();
        (0..n).map(|_| self.tensor()).collect()
    }

    fn case(&mut self) -> Case {
        let name = String::from_utf8(self.block().to_vec()).expect("UTF-8");
        Case { name, model: self.block(), inputs: self.tensors(), outputs: self.tensors() }
    }
}

fn load(folder: &Path) -> Vec<Case> {
    let archive = std::fs::read(folder.join("cases.bin.gz")).expect("the archive is readable");
    let digest: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = std::fs::read_to_string(folder.join("cases.sha256")).expect("the digest is readable");
    assert_eq!(digest, expected.trim(), "the archive does not have its digest");
    let mut bytes = Vec::new();
    GzDecoder::new(archive.as_slice()).read_to_end(&mut bytes).expect("gzip");
    let mut reader = Reader { bytes: Bytes::from(bytes) };
    let n_cases = reader.number();
    let cases = (0..n_cases).map(|_| reader.case()).collect();
    assert!(reader.bytes.is_empty(), "bytes after the last case");
    cases
}

/// Runs the case as imported, and again after a round trip through a file.
fn check(case: &Case) -> Result<(), String> {
    let graph = onnx::import_bytes(case.model.clone(), None, &case.name).map_err(|e| e.to_string())?;
    agree(&graph, case)?;
    let bytes = onnx::export_bytes(&graph).map_err(|e| format!("export: {e}"))?;
    let again = onnx::import_bytes(Bytes::from(bytes), None, &case.name).map_err(|e| format!("import again: {e}"))?;
    if graph == again { Ok(()) } else { agree(&again, case).map_err(|e| format!("round trip: {e}")) }
}

fn agree(graph: &Graph, case: &Case) -> Result<(), String> {
    let outputs = Reference::new(graph).run(&case.inputs).map_err(|e| e.to_string())?;
    if outputs.len() != case.outputs.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), case.outputs.len()));
    }
    let differences = outputs.iter().zip(&case.outputs).filter_map(|(got, want)| difference(got, want, TOLERANCE));
    differences.into_iter().next().map_or(Ok(()), Err)
}

fn run_all(folder: &Path, min_cases: usize) {
    let cases = load(folder);
    assert!(cases.len() >= min_cases, "only {} cases", cases.len());
    let failures: Vec<String> =
        cases.iter().filter_map(|case| check(case).err().map(|e| format!("{}: {e}", case.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    eprintln!("{} node cases agree", cases.len());
}

#[test]
fn committed_cases_agree() {
    run_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_cases"), 200);
}

#[test]
fn full_set_agrees() {
    match std::env::var_os("SKIMP_NODE_CASES") {
        Some(folder) => run_all(&PathBuf::from(folder), 200),
        None => eprintln!("skipped: SKIMP_NODE_CASES does not name a folder written by generate.py --full"),
    }
}
