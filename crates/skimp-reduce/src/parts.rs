//! Parts of networks that learn on their own.

use skimp_graph::Graph;
use skimp_graph::rewrite::{Editor, remove_dead};
use skimp_train::loader::Loader;
use skimp_train::{TargetSource, Teacher};

use crate::ReduceError;

/// Name of the compared value among a teacher's targets.
const COMPARED: &str = "compared";

/// The part of a network that makes a value, which is its output.
pub(crate) fn up_to(graph: &Graph, value: &str) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    let Some(id) = editor.value(value) else {
        let cause = format!("it makes no value \"{value}\": teacher and student have different blocks");
        return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
    };
    editor.set_outputs(vec![id])?;
    Ok(remove_dead(&editor.finish()?))
}

/// A network with the weights and running statistics of a part of it; those that `is_own` names belong to the part alone.
pub(crate) fn with_weights(graph: &Graph, part: &Graph, is_own: impl Fn(&str) -> bool) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    for value in part.values().iter().filter(|value| !is_own(&value.name)) {
        let Some(tensor) = &value.constant else { continue };
        let place = editor.value(&value.name).filter(|&id| editor.constant(id).is_some());
        let Some(id) = place else {
            let cause = format!("it has no constant \"{}\", which the part of it has", value.name);
            return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
        };
        editor.set_constant(id, tensor.clone())?;
    }
    Ok(editor.finish()?)
}

/// Mean squared difference of two networks' outputs over the images, and the same sum over that of the first's squares.
///
/// Both in inference form; logits are compared before a final softmax.
pub(crate) fn distance(teacher: &Graph, student: &Graph, images: &Loader) -> Result<(f64, f64), ReduceError> {
    let mut networks = [Teacher::new(teacher, &[(COMPARED, None)])?, Teacher::new(student, &[(COMPARED, None)])?];
    let (mut difference, mut squares, mut n_elements) = (0.0, 0.0, 0_usize);
    for step in 0..images.steps_per_epoch() {
        let batch = images.batch(step)?;
        let [teacher, student] = &mut networks;
        let (teacher, student) = (&teacher.targets(&batch)?[0].1, &student.targets(&batch)?[0].1);
        for (&t, &s) in teacher.iter().zip(student) {
            difference += (f64::from(t) - f64::from(s)).powi(2);
            squares += f64::from(t).powi(2);
        }
        n_elements += teacher.len();
    }
    Ok((difference / n_elements.max(1) as f64, difference / squares.max(f64::MIN_POSITIVE)))
}
