//! What a block becomes.

use std::fmt;
use std::str::FromStr;

use super::block::{Block, BlockKind, Form};

/// The type that a block is recast into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKind {
    /// A 3x3 convolution, batch norm and rectifier.
    Conv,
    /// A basic residual block: two 3x3 convolutions beside a shortcut.
    Residual,
    /// A dense block.
    Dense {
        /// Channels that each layer adds; `None` for those of the source, which then is a dense block.
        growth: Option<usize>,
    },
    /// The type that it has, with fewer filters.
    Same,
    /// Nothing: the identity.
    Removed,
}

/// Names of the targets, as written.
const TARGETS: [&str; 5] = ["conv", "residual", "dense", "same", "removed"];

impl fmt::Display for NewKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [conv, residual, dense, same, removed] = TARGETS;
        match self {
            Self::Conv => f.write_str(conv),
            Self::Residual => f.write_str(residual),
            Self::Dense { growth: None } => f.write_str(dense),
            Self::Dense { growth: Some(growth) } => write!(f, "{dense}:growth={growth}"),
            Self::Same => f.write_str(same),
            Self::Removed => f.write_str(removed),
        }
    }
}

/// A target or a list of blocks that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\": expected {expected}")]
pub struct RecastTextError {
    /// What was written.
    pub text: String,
    /// What would do.
    pub expected: String,
}

impl FromStr for NewKind {
    type Err = RecastTextError;

    /// `conv`, `residual`, `dense`, `dense:growth=12`, `same` or `removed`.
    fn from_str(text: &str) -> Result<Self, RecastTextError> {
        let growth = |rest: &str| rest.strip_prefix("growth=").and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        match text.split_once(':') {
            None if text == "conv" => Ok(Self::Conv),
            None if text == "residual" => Ok(Self::Residual),
            None if text == "dense" => Ok(Self::Dense { growth: None }),
            None if text == "same" => Ok(Self::Same),
            None if text == "removed" => Ok(Self::Removed),
            Some(("dense", rest)) if growth(rest).is_some() => Ok(Self::Dense { growth: growth(rest) }),
            _ => Err(RecastTextError {
                text: text.to_owned(),
                expected: format!("one of: {}, or dense:growth=CHANNELS", TARGETS.join(", ")),
            }),
        }
    }
}

/// One block and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Number of the block, as [`blocks`](super::blocks) counts them.
    pub block: usize,
    /// Its new type.
    pub into: NewKind,
    /// Factor of its width, above 0.
    pub ratio: f64,
}

impl Change {
    /// A change for each of `indices`, in ascending order. `ratios` are the factors of their widths: one for each index
    /// in the order given, one for all, or none for 1.
    ///
    /// # Errors
    /// [`RecastTextError`] if an index comes twice or the ratios are of another number.
    pub fn each(indices: &[usize], into: NewKind, ratios: &[f64]) -> Result<Vec<Self>, RecastTextError> {
        let ratio = |position: usize| match ratios {
            [] => Some(1.0),
            &[one] => Some(one),
            several => several.get(position).copied().filter(|_| several.len() == indices.len()),
        };
        let wrong =
            |expected: String| RecastTextError { text: format!("{indices:?} with ratios {ratios:?}"), expected };
        let mut changes = Vec::with_capacity(indices.len());
        for (position, &block) in indices.iter().enumerate() {
            let Some(ratio) = ratio(position) else {
                return Err(wrong(format!("one ratio, or one for each of {} blocks", indices.len())));
            };
            if indices[..position].contains(&block) {
                return Err(wrong(format!("each block once, block {block} comes twice")));
            }
            changes.push(Self { block, into, ratio });
        }
        changes.sort_by_key(|change| change.block);
        Ok(changes)
    }
}

/// Block numbers from text such as `1-11` or `1,3,5-7`.
///
/// # Errors
/// [`RecastTextError`] for anything else.
pub fn parse_blocks(text: &str) -> Result<Vec<usize>, RecastTextError> {
    let wrong = || RecastTextError {
        text: text.to_owned(),
        expected: "block numbers and ranges of them, such as 1,3,5-7".to_owned(),
    };
    let mut indices = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&n| n < 1_000_000);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => indices.extend(first..=last),
            _ => return Err(wrong()),
        }
    }
    Ok(indices)
}

/// A block that is still to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A 3x3 convolution.
    Conv { outputs: usize, stride: usize },
    /// Two 3x3 convolutions beside a shortcut.
    Basic { outputs: usize, stride: usize },
    /// A dense block.
    Dense { growth: usize, n_layers: usize, bottleneck: Option<usize> },
    /// The source's own layers, with other widths.
    Refit { outputs: usize },
    /// The identity.
    Removed,
}

/// What a block becomes, after the rules of the release.
///
/// | source | target | width |
/// |---|---|---|
/// | basic residual | conv | `round(out · ratio)`, stride kept |
/// | bottleneck | conv or basic | `round(mid · ratio)`: a quarter of what the block makes, stride kept |
/// | dense | conv or basic | `round(out · ratio)` |
/// | any of stride 1 | dense | `(out − in) / growth` layers, `out` the rounded width |
/// | conv, basic | the same | `round(out · ratio)`, in basic blocks the inner width too |
///
/// # Errors
/// Why there is no such rule, or no such width.
///
/// # Rounding
/// To nearest, ties to even, as Python's `round`.
///
/// # Source
/// Yu, Kang and Choi, AAAI 2019: the released code.
/// Differs: a dense target, whose code is broken there, has as many layers as its width asks for.
pub(super) fn plan(block: &Block, into: NewKind, ratio: f64) -> Result<Plan, String> {
    if !(ratio > 0.0 && ratio.is_finite()) {
        return Err(format!("the ratio of its width is {ratio}, expected a number above 0"));
    }
    let scaled = |width: usize| {
        let outputs = (width as f64 * ratio).round_ties_even();
        if (1.0..=1e6).contains(&outputs) {
            return Ok(outputs as usize);
        }
        Err(format!("{width} channels times {ratio} round to {outputs}, expected 1 or more; use another ratio"))
    };
    let stride = block.stride;
    let source_width = match block.kind {
        BlockKind::Bottleneck { mid } => mid,
        _ => block.width,
    };
    match (&block.kind, into) {
        (BlockKind::Other { reason, .. }, _) => Err(format!("it is of no type that can be recast: {reason}")),
        (BlockKind::FullyConnected, _) => Err("a dense layer is not recast".to_owned()),
        (BlockKind::Removed, _) => Err("it has been removed".to_owned()),
        (_, NewKind::Removed) if stride == 1 => Ok(Plan::Removed),
        (_, NewKind::Removed) => {
            Err(format!("a block of stride {stride} cannot be removed: the next one would see larger maps"))
        }
        (BlockKind::Conv | BlockKind::Basic, NewKind::Same) | (BlockKind::Conv, NewKind::Conv) => {
            Ok(Plan::Refit { outputs: scaled(block.width)? })
        }
        (BlockKind::Basic, NewKind::Residual) => Ok(Plan::Refit { outputs: scaled(block.width)? }),
        (BlockKind::Basic | BlockKind::Bottleneck { .. } | BlockKind::Dense { .. }, NewKind::Conv) => {
            Ok(Plan::Conv { outputs: scaled(source_width)?, stride })
        }
        (BlockKind::Bottleneck { .. } | BlockKind::Dense { .. }, NewKind::Residual) => {
            Ok(Plan::Basic { outputs: scaled(source_width)?, stride })
        }
        (BlockKind::Conv, NewKind::Residual) => {
            Err("a convolution is not recast into a residual block; use conv, same or dense".to_owned())
        }
        (BlockKind::Bottleneck { .. }, NewKind::Same) => {
            Err("bottleneck blocks are kept or rebuilt, not made with fewer filters; use residual or conv".to_owned())
        }
        (BlockKind::Dense { .. }, NewKind::Same) => dense(block, scaled(source_width)?, None),
        (_, NewKind::Dense { growth }) => dense(block, scaled(source_width)?, growth),
    }
}

/// A dense block that makes `outputs` channels.
pub(super) fn dense(block: &Block, outputs: usize, growth: Option<usize>) -> Result<Plan, String> {
    let (own, bottleneck) = match (&block.kind, &block.form) {
        (BlockKind::Dense { growth, .. }, Form::Dense { bottleneck }) => (Some(*growth), *bottleneck),
        _ => (None, None),
    };
    let Some(k) = growth.or(own) else {
        return Err("the growth of the dense block is not given; use dense:growth=CHANNELS".to_owned());
    };
    if block.stride != 1 {
        return Err(format!("a dense block has stride 1, it has stride {}", block.stride));
    }
    let added = outputs.checked_sub(block.in_width).filter(|&added| added > 0 && k > 0 && added.is_multiple_of(k));
    let Some(added) = added else {
        return Err(format!(
            "no dense block of growth {k} makes {outputs} channels of {}: the difference is no positive multiple of {k}",
            block.in_width
        ));
    };
    // A block without 1x1 convolutions stays one without; new ones have them, four times the growth wide.
    let bottleneck =
        if own.is_some() { bottleneck.map(|width| if own == Some(k) { width } else { 4 * k }) } else { Some(4 * k) };
    Ok(Plan::Dense { growth: k, n_layers: added / k, bottleneck })
}
