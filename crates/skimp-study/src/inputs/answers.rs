//! A network's answers: which output holds them, how many are right, and whether they are better than guesses.

use skimp_data::InputSpec;
use skimp_graph::{DType, Graph, Tensor, shape};
use skimp_report::records::Accuracy;

use crate::error::{AnswerFault, StudyError};
use crate::monitor::Monitor;

/// The output of a network that holds a number for each class.
#[derive(Clone, Debug)]
pub(crate) struct AnswerOutput {
    idx: usize,
    /// Its name.
    pub(crate) name: String,
    /// Outputs of the network.
    n_outputs: usize,
}

impl AnswerOutput {
    /// The output `wanted`; without a wish the first one with a number for each of `n_classes` classes, else the first
    /// of shape `[n, m]` (further axes of extent 1 allowed) with m > 1, else the first.
    ///
    /// # Errors
    /// [`StudyError::UnknownOutput`] if none has the name `wanted`; the node's error if the shapes do not fit.
    pub(crate) fn choose(
        graph: &Graph,
        input: InputSpec,
        n_classes: usize,
        wanted: Option<&str>,
    ) -> Result<Self, StudyError> {
        let names: Vec<&str> = graph.outputs().iter().map(|&id| graph.value(id).name.as_str()).collect();
        let idx = match wanted {
            Some(wanted) => names.iter().position(|name| *name == wanted).ok_or_else(|| {
                let known = names.iter().map(|&name| name.to_owned()).collect();
                StudyError::UnknownOutput { name: wanted.to_owned(), known }
            })?,
            None if names.len() < 2 => 0,
            None => Self::likely(graph, input, n_classes)?,
        };
        let name = names.get(idx).copied().unwrap_or_default().to_owned();
        Ok(Self { idx, name, n_outputs: names.len() })
    }

    fn likely(graph: &Graph, input: InputSpec, n_classes: usize) -> Result<usize, StudyError> {
        let bound = shape::bind(graph, 1, Some((input.height, input.width)))?;
        let n = bound.first().and_then(|shape| shape.first()).copied().unwrap_or(1);
        let shapes = shape::infer(graph, &bound)?;
        let classes = |&id: &skimp_graph::ValueId| match shapes.shape(id) {
            [images, classes, rest @ ..]
                if *images == n && rest.iter().all(|&extent| extent == 1) && shapes[id].dtype == DType::F32 =>
            {
                Some(*classes)
            }
            _ => None,
        };
        let widths: Vec<Option<usize>> = graph.outputs().iter().map(classes).collect();
        let fits = |width: &Option<usize>| *width == Some(n_classes);
        let any = |width: &Option<usize>| width.is_some_and(|width| width > 1);
        Ok(widths.iter().position(fits).or_else(|| widths.iter().position(any)).unwrap_or(0))
    }

    /// The name, where there is a choice.
    pub(crate) fn chosen(&self) -> Option<&str> {
        (self.n_outputs > 1).then_some(self.name.as_str())
    }

    /// Says which output is taken, where there is a choice and nobody made it.
    pub(crate) fn note(&self, wanted: Option<&str>, monitor: &dyn Monitor) {
        if self.n_outputs > 1 && wanted.is_none() {
            monitor.note(&format!(
                "the network has {} outputs; the answers are those of \"{}\" (--output-name takes another)",
                self.n_outputs, self.name
            ));
        }
    }

    /// The output among all `outputs` of a run over `n_run` images: a row of numbers for each image.
    ///
    /// # Errors
    /// [`StudyError::Answers`] if it does not hold as many numbers for each image.
    pub(crate) fn rows<'t>(
        &self,
        outputs: &'t [Tensor],
        n_run: usize,
    ) -> Result<std::slice::ChunksExact<'t, f32>, StudyError> {
        let output = outputs.get(self.idx).ok_or(AnswerFault::NoOutput)?;
        let values = output.as_f32().unwrap_or_default();
        // One image may leave its axis out.
        let has_images = output.shape().first() == Some(&n_run) || (n_run == 1 && output.shape().len() == 1);
        if n_run == 0 || values.is_empty() || !values.len().is_multiple_of(n_run) || !has_images {
            let (output, found) = (self.name.clone(), output.shape().to_vec());
            return Err(AnswerFault::Shape { output, found, n_images: n_run }.into());
        }
        Ok(values.chunks_exact(values.len() / n_run))
    }

    /// The class of the greatest number for each of the first `n` of `n_run` images; the lower class among equals.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub(crate) fn first_guesses(&self, outputs: &[Tensor], n_run: usize, n: usize) -> Result<Vec<usize>, StudyError> {
        let best =
            |row: &[f32]| (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
        Ok(self.rows(outputs, n_run)?.take(n).map(best).collect())
    }
}

/// Counts of right guesses.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tally {
    pub(crate) images: u64,
    pub(crate) top1: u64,
    pub(crate) top5: u64,
    pub(crate) n_classes: usize,
}

impl Tally {
    /// Adds the answers of a run over `n_run` images, the first of which have `labels`; what fills up a batch has none.
    /// Ties go to the lower class, as in NumPy's argmax.
    ///
    /// # Errors
    /// [`StudyError::Answers`] if the output is no list of classes, or a label is out of its range.
    pub(crate) fn add(
        &mut self,
        answers: &AnswerOutput,
        outputs: &[Tensor],
        n_run: usize,
        labels: &[usize],
    ) -> Result<(), StudyError> {
        answers.rows(outputs, n_run)?.zip(labels).try_for_each(|(row, &label)| self.add_row(row, label))
    }

    /// Adds the answer to one image.
    ///
    /// # Errors
    /// [`StudyError::Answers`] if the label is out of its range.
    pub(crate) fn add_row(&mut self, row: &[f32], label: usize) -> Result<(), StudyError> {
        self.n_classes = row.len();
        let Some(&own) = row.get(label) else {
            return Err(AnswerFault::Label { label, n_classes: self.n_classes }.into());
        };
        let wins = |(class, &value): (usize, &f32)| value > own || (value >= own && class < label);
        let better = row.iter().enumerate().filter(|&guess| wins(guess)).count();
        self.images += 1;
        self.top1 += u64::from(better == 0 && !own.is_nan());
        self.top5 += u64::from(better < 5 && !own.is_nan());
        Ok(())
    }

    pub(crate) fn accuracy(self) -> Accuracy {
        let share = |count: u64| count as f64 / self.images.max(1) as f64;
        Accuracy { top1: share(self.top1), top5: (self.n_classes > 5).then(|| share(self.top5)), n_images: self.images }
    }

    /// Whether the answers are no better than guesses, or hardly so, and the images are enough to tell.
    ///
    /// Guessing one of C classes is right with p = 1 / C. The count is at chance if it is at most three standard
    /// deviations above that, or a share of min(√p, 5 %); and if a network that is right half-way between p and 1 would
    /// fall so low with a probability of about 1 % at most.
    pub(crate) fn is_chance(self) -> bool {
        if self.n_classes < 2 || self.images == 0 {
            return false;
        }
        let (n, right) = (self.images as f64, self.top1 as f64);
        let p = 1.0 / self.n_classes as f64;
        let deviation = |p: f64| (n * p * (1.0 - p)).sqrt();
        let chance = (n * p + 3.0 * deviation(p)).max(n * p.sqrt().min(0.05));
        let works = (1.0 + p) / 2.0;
        right <= chance && right < n * works - 2.33 * deviation(works)
    }
}

/// What to say of answers at chance level: `None` where they are better, or too few images tell.
pub(crate) fn chance_warning(tally: Tally, preprocess: &str) -> Option<String> {
    tally.is_chance().then(|| {
        format!(
            "the network classifies {} of {} images right, at or near the chance level of {} classes: the likely cause \
             is another preprocessing than it was trained with (in force: \"{preprocess}\"; see --preprocess), or \
             labels in another order",
            tally.top1, tally.images, tally.n_classes
        )
    })
}

#[cfg(test)]
mod tests {
    use skimp_graph::{Dim, GraphBuilder, Op};

    use skimp_graph::ops;

    use super::*;

    #[test]
    fn guesses_are_told_from_answers() {
        let cases = [
            // classes, images, right, at chance
            (10, 1000, 100, true),
            (10, 1000, 127, true),
            (10, 1000, 130, false),
            (10, 1000, 200, false),
            (10, 16, 2, true),
            (10, 16, 8, false),
            (10, 4, 0, false),
            (10, 7, 0, true),
            (10, 8, 0, true),
            (1000, 3923, 106, true),
            (1000, 3923, 2361, false),
            (2, 200, 100, true),
            (2, 200, 150, false),
            (2, 8, 4, false),
            (1, 50, 50, false),
            (10, 0, 0, false),
        ];
        for (n_classes, images, top1, expected) in cases {
            let tally = Tally { images, top1, top5: 0, n_classes };
            assert_eq!(tally.is_chance(), expected, "{tally:?}");
            assert_eq!(chance_warning(tally, "imagenet").is_some(), expected);
        }
    }

    /// Features of 8 numbers, a map, and logits of 4 classes.
    #[test]
    fn the_output_with_the_classes_is_taken() {
        let mut builder = GraphBuilder::new("several");
        let x = builder.input("x", DType::F32, [2, 8, 3, 3].map(Dim::Fixed).to_vec());
        let features = builder.node("features", Op::GlobalAveragePool, &[x]);
        let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[features]);
        let weight = builder.constant("w", Tensor::from_f32(vec![8, 4], vec![0.5; 32]));
        let logits = builder.node("logits", Op::MatMul, &[flat, weight]);
        [x, features, logits].into_iter().for_each(|id| builder.output(id));
        let graph = builder.build().unwrap();
        let input = InputSpec { channels: 8, height: 3, width: 3 };
        let names: Vec<String> = graph.outputs().iter().map(|&id| graph.value(id).name.clone()).collect();
        let choose = |n_classes, wanted: Option<&str>| AnswerOutput::choose(&graph, input, n_classes, wanted);
        assert_eq!(choose(4, None).unwrap().name, names[2]);
        assert_eq!(choose(8, None).unwrap().name, names[1]);
        // No output fits: the first that may hold classes.
        assert_eq!(choose(5, None).unwrap().name, names[1]);
        assert_eq!(choose(4, Some(&names[1])).unwrap().name, names[1]);
        let error = choose(4, Some("softmax")).unwrap_err().to_string();
        assert!(error.contains("\"softmax\"") && error.contains(&names[2]), "{error}");
    }

    #[test]
    fn what_fills_a_batch_does_not_count() {
        let answers = AnswerOutput { idx: 0, name: "y".to_owned(), n_outputs: 1 };
        let rows = [Tensor::from_f32(vec![3, 2], vec![0.0, 1.0, 1.0, 0.0, 1.0, 0.0])];
        let mut tally = Tally::default();
        tally.add(&answers, &rows, 3, &[1, 1]).unwrap();
        assert_eq!((tally.images, tally.top1, tally.n_classes), (2, 1, 2));
        assert!(tally.add(&answers, &rows, 2, &[1, 1]).is_err());
        assert!(tally.add(&answers, &rows, 3, &[2]).is_err());
        assert_eq!(answers.first_guesses(&rows, 3, 2).unwrap(), [1, 0]);
        let single = [Tensor::from_f32(vec![2], vec![0.0, 1.0])];
        tally.add(&answers, &single, 1, &[1]).unwrap();
        assert_eq!((tally.images, tally.top1), (3, 2));
    }
}
