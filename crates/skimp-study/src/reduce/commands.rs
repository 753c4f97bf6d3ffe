//! Ways to reduce a network that are commands of their own.

/// A way to a smaller network that `skimp prune` does not take as a method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnCommand {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// Where it comes from: authors, title, year.
    pub(crate) source: &'static str,
    /// The command, with the flag that asks for it.
    pub(crate) command: &'static str,
}

/// All of them, in the order of `skimp list methods`, behind the methods of `skimp prune`.
pub(crate) static OWN_COMMANDS: &[OwnCommand] = &[
    OwnCommand {
        name: "distill",
        summary: "a student learns a teacher's answers, softened by a temperature",
        source: "G. Hinton, O. Vinyals, J. Dean, \"Distilling the Knowledge in a Neural Network\", NIPS workshop 2014",
        command: "skimp distill",
    },
    OwnCommand {
        name: "hint",
        summary: "a student's first layers learn a value inside of the teacher, through a regressor, before distillation",
        source: "A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio, \"FitNets: Hints for Thin Deep Nets\", \
                 ICLR 2015",
        command: "skimp distill --hint",
    },
    OwnCommand {
        name: "attention",
        summary: "a student's attention maps learn from those inside of the teacher",
        source: "S. Zagoruyko, N. Komodakis, \"Paying More Attention to Attention\", ICLR 2017",
        command: "skimp distill --attention",
    },
    OwnCommand {
        name: "recast",
        summary: "blocks become blocks of another type, and learn what the old ones answered",
        source: "J. Yu, S. Kang, K. Choi, \"Network Recasting\", AAAI 2019",
        command: "skimp recast",
    },
];
