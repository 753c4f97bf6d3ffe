//! Surrogate gradients: what stands for the derivative of a step in the backward pass.

use std::fmt;

/// A family of surrogate gradients with one number that sharpens it.
pub struct SurrogateKind {
    /// Name on the command line, kebab-case.
    pub name: &'static str,
    /// The number where none is given.
    pub alpha: f64,
    /// The formula, with `x` the distance from the threshold and `a` the number.
    pub formula: &'static str,
    /// Who uses it.
    pub source: &'static str,
    slope: fn(f64, f64) -> f64,
}

impl fmt::Debug for SurrogateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for SurrogateKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A surrogate gradient: `factor · slope(x)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surrogate {
    /// The family.
    pub kind: &'static SurrogateKind,
    /// Its number.
    pub alpha: f64,
    /// What it is multiplied by.
    pub factor: f64,
}

impl Surrogate {
    /// The family of that name with its own number; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        let kind = SURROGATES.iter().find(|kind| kind.name == name)?;
        Some(Self { kind, alpha: kind.alpha, factor: 1.0 })
    }

    /// What the error at `x` is multiplied by.
    pub fn slope(&self, x: f64) -> f64 {
        self.factor * (self.kind.slope)(x, self.alpha)
    }
}

/// Names of all families, for errors.
pub fn surrogate_names() -> String {
    SURROGATES.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// Every surrogate gradient, in the order in which they are listed.
pub static SURROGATES: &[SurrogateKind] = &[
    SurrogateKind {
        name: "rectangle",
        alpha: 1.0,
        formula: "1 where |x| <= a, else 0",
        source: "Hubara et al., \"Binarized Neural Networks\", NIPS 2016 (a = 1); larq SteSign, SteHeaviside",
        slope: |x, a| f64::from(u8::from(x.abs() <= a)),
    },
    SurrogateKind {
        name: "identity",
        alpha: 1.0,
        formula: "1",
        source: "Bengio, Leonard, Courville, 2013; snnTorch straight_through_estimator",
        slope: |_, _| 1.0,
    },
    SurrogateKind {
        name: "triangle",
        alpha: 1.0,
        formula: "a max(0, 1 - |x|)",
        source: "Rathi et al., \"Enabling Deep Spiking Neural Networks\", ICLR 2020 (a = 0.3); Norse triangle",
        slope: |x, a| a * (1.0 - x.abs()).max(0.0),
    },
    SurrogateKind {
        name: "piecewise-quadratic",
        alpha: 1.0,
        formula: "a max(0, 1 - a |x|)",
        source: "SpikingJelly PiecewiseQuadratic",
        slope: |x, a| a * (1.0 - a * x.abs()).max(0.0),
    },
    SurrogateKind {
        name: "approx-sign",
        alpha: 1.0,
        formula: "2 max(0, 1 - |x|)",
        source: "Liu et al., \"Bi-Real Net\", ECCV 2018; larq ApproxSign",
        slope: |x, _| 2.0 * (1.0 - x.abs()).max(0.0),
    },
    SurrogateKind {
        name: "swish-sign",
        alpha: 5.0,
        formula: "a (2 - a x tanh(a x / 2)) / (1 + cosh(a x))",
        source: "Darabi et al., \"BNN+\", 2018; larq SwishSign",
        slope: |x, a| a * (2.0 - a * x * (a * x / 2.0).tanh()) / (1.0 + (a * x).cosh()),
    },
    SurrogateKind {
        name: "atan",
        alpha: 2.0,
        formula: "a / 2 / (1 + (pi / 2 a x)^2)",
        source: "Fang et al., \"Incorporating Learnable Membrane Time Constant\", ICCV 2021; snnTorch, SpikingJelly",
        slope: |x, a| a / 2.0 / (1.0 + (std::f64::consts::FRAC_PI_2 * a * x).powi(2)),
    },
    SurrogateKind {
        name: "fast-sigmoid",
        alpha: 25.0,
        formula: "1 / (1 + a |x|)^2",
        source: "Zenke, Ganguli, \"SuperSpike\", Neural Computation 2018; snnTorch (a = 25), Norse super (its a is always 1)",
        slope: |x, a| (1.0 + a * x.abs()).powi(-2),
    },
    SurrogateKind {
        name: "sigmoid",
        alpha: 4.0,
        formula: "a s(a x) s(-a x), s the logistic function",
        source: "SpikingJelly (a = 4), snnTorch (a = 25)",
        slope: |x, a| {
            let s = |x: f64| 1.0 / (1.0 + (-x).exp());
            a * s(a * x) * s(-a * x)
        },
    },
    SurrogateKind {
        name: "soft-sign",
        alpha: 2.0,
        formula: "a / 2 / (1 + a |x|)^2",
        source: "SpikingJelly SoftSign",
        slope: |x, a| a / 2.0 * (1.0 + a * x.abs()).powi(-2),
    },
    SurrogateKind {
        name: "piecewise-exp",
        alpha: 1.0,
        formula: "a / 2 exp(-a |x|)",
        source: "SpikingJelly PiecewiseExp",
        slope: |x, a| a / 2.0 * (-a * x.abs()).exp(),
    },
    SurrogateKind {
        name: "erf",
        alpha: 2.0,
        formula: "a / sqrt(pi) exp(-(a x)^2)",
        source: "SpikingJelly Erf",
        slope: |x, a| a * FRAC_1_SQRT_PI * (-(a * x).powi(2)).exp(),
    },
    SurrogateKind {
        name: "gaussian",
        alpha: 1.0,
        formula: "2 / sqrt(pi) exp(-(a x)^2)",
        source: "Norse heavi_erfc",
        slope: |x, a| 2.0 * FRAC_1_SQRT_PI * (-(a * x).powi(2)).exp(),
    },
    SurrogateKind {
        name: "tanh",
        alpha: 1.0,
        formula: "1 - tanh(a x)^2",
        source: "Norse tanh",
        slope: |x, a| 1.0 - (a * x).tanh().powi(2),
    },
    SurrogateKind {
        name: "circ",
        alpha: 1.0,
        formula: "(1 + (x / a)^2)^(-3/2)",
        source: "Norse circ",
        slope: |x, a| (1.0 + (x / a).powi(2)).powf(-1.5),
    },
    SurrogateKind {
        name: "window",
        alpha: 1.0,
        formula: "a where |x| < 1 / (2 a), else 0",
        source: "SpikingJelly Rect",
        slope: |x, a| if x.abs() < 0.5 / a { a } else { 0.0 },
    },
    SurrogateKind {
        name: "leaky-window",
        alpha: 1.0,
        formula: "1 / (2 a) where |x| < a, else 0.01",
        source: "SpikingJelly PiecewiseLeakyReLU with c = 0.01",
        slope: |x, a| if x.abs() < a { 0.5 / a } else { 0.01 },
    },
    SurrogateKind {
        name: "log-abs",
        alpha: 1.0,
        formula: "1 / (1 / a + |x|)",
        source: "SpikingJelly NonzeroSignLogAbs",
        slope: |x, a| 1.0 / (1.0 / a + x.abs()),
    },
    SurrogateKind {
        name: "q-pseudo-spike",
        alpha: 2.0,
        formula: "(1 + 2 / (a - 1) |x|)^-a",
        source: "SpikingJelly QPseudoSpike",
        slope: |x, a| (1.0 + 2.0 / (a - 1.0) * x.abs()).powf(-a),
    },
    SurrogateKind {
        name: "s2nn",
        alpha: 4.0,
        formula: "sigmoid below 0, 1 / (1 + x) from 0 on",
        source: "Suetake et al., \"S2NN\", 2022; SpikingJelly S2NN with beta = 1",
        slope: |x, a| {
            let s = |x: f64| 1.0 / (1.0 + (-x).exp());
            if x < 0.0 { a * s(a * x) * s(-a * x) } else { 1.0 / (1.0 + x) }
        },
    },
    SurrogateKind {
        name: "log-tailed",
        alpha: 0.0,
        formula: "a up to 0, 1 up to 1, 1 / x beyond",
        source: "SpikingJelly LogTailedReLU",
        slope: |x, a| {
            if x <= 0.0 {
                a
            } else if x <= 1.0 {
                1.0
            } else {
                1.0 / x
            }
        },
    },
    SurrogateKind {
        name: "escape-rate",
        alpha: 25.0,
        formula: "a exp(-|x - 1|)",
        source: "snnTorch spike_rate_escape with beta = 1",
        slope: |x, a| a * (-(x - 1.0).abs()).exp(),
    },
];

const FRAC_1_SQRT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI / 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Value of the derivative at -1, -0.5, 0, 0.1, 0.3, 0.5 and 1 in the packages that use it: larq 0.14.0, snnTorch
    /// 1.0.0, SpikingJelly 2.0.0, Norse 1.1.0, all in float32.
    #[derive(Debug)]
    struct Case(&'static str, f64, [f64; 7]);

    const X: [f64; 7] = [-1.0, -0.5, 0.0, 0.1, 0.3, 0.5, 1.0];

    #[test]
    fn slopes_are_those_of_the_packages() {
        let cases = [
            Case("rectangle", 1.0, [1.0; 7]),
            Case("identity", 1.0, [1.0; 7]),
            Case("triangle", 1.0, [0.0, 0.5, 1.0, 0.9, 0.7, 0.5, 0.0]),
            Case("triangle", 100.0, [0.0, 50.0, 100.0, 90.0, 70.0, 50.0, 0.0]),
            Case("piecewise-quadratic", 1.0, [0.0, 0.5, 1.0, 0.9, 0.7, 0.5, 0.0]),
            Case("approx-sign", 1.0, [0.0, 1.0, 2.0, 1.8, 1.4, 1.0, 0.0]),
            Case("atan", 2.0, [0.0919996649, 0.288400412, 1.0, 0.910169899, 0.529586792, 0.288400412, 0.0919996649]),
            Case("atan", 4.0, [0.049409043, 0.18399933, 2.0, 1.43391359, 0.439265192, 0.18399933, 0.049409043]),
            Case(
                "fast-sigmoid",
                25.0,
                [0.00147928996, 0.00548696844, 1.0, 0.0816326514, 0.0138408309, 0.00548696844, 0.00147928996],
            ),
            Case("fast-sigmoid", 1.0, [0.25, 0.444444448, 1.0, 0.826446235, 0.591716051, 0.444444448, 0.25]),
            Case(
                "sigmoid",
                25.0,
                [3.47198575e-10, 9.31656323e-05, 6.25, 1.75259292, 0.0138118183, 9.31656396e-05, 3.47198603e-10],
            ),
            Case("sigmoid", 4.0, [0.0706508234, 0.419974327, 1.0, 0.961043, 0.711577654, 0.419974506, 0.0706509352]),
            Case("soft-sign", 2.0, [0.111111112, 0.25, 1.0, 0.694444418, 0.39062497, 0.25, 0.111111112]),
            Case(
                "piecewise-exp",
                1.0,
                [0.183939725, 0.303265333, 0.5, 0.452418715, 0.370409101, 0.303265333, 0.183939725],
            ),
            Case(
                "erf",
                2.0,
                [0.0206669867, 0.415107518, 1.12837923, 1.08413482, 0.787243426, 0.415107518, 0.0206669867],
            ),
            Case(
                "gaussian",
                1.0,
                [0.415107489, 0.87878257, 1.12837911, 1.11715162, 1.03126085, 0.87878257, 0.415107489],
            ),
            Case("tanh", 1.0, [0.419974327, 0.786447704, 1.0, 0.99006629, 0.915136933, 0.786447704, 0.419974327]),
            Case("circ", 1.0, [0.353553385, 0.71554172, 1.0, 0.985185266, 0.878739715, 0.71554172, 0.353553385]),
            Case("circ", 100.0, [0.999849916, 0.999962568, 1.0, 0.99999851, 0.99998647, 0.999962568, 0.999849916]),
            Case("window", 1.0, [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
            Case("leaky-window", 1.0, [0.01, 0.5, 0.5, 0.5, 0.5, 0.5, 0.01]),
            Case("log-abs", 1.0, [0.5, 0.666666687, 1.0, 0.909090877, 0.769230783, 0.666666687, 0.5]),
            Case("q-pseudo-spike", 2.0, [0.111111112, 0.25, 1.0, 0.694444418, 0.39062497, 0.25, 0.111111112]),
            Case("s2nn", 4.0, [0.0706508234, 0.419974327, 1.0, 0.909090877, 0.769230783, 0.666666687, 0.5]),
            Case("log-tailed", 0.0, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
            Case("escape-rate", 25.0, [3.38338208, 5.57825422, 9.1969862, 10.1642418, 12.4146328, 15.1632671, 25.0]),
        ];
        let mut seen = Vec::new();
        for Case(name, alpha, expected) in &cases {
            let surrogate = Surrogate { alpha: *alpha, ..Surrogate::named(name).expect("registered") };
            for (x, expected) in X.iter().zip(expected) {
                let found = surrogate.slope(*x);
                // The packages compute in float32, some with a difference of numbers near 1.
                let tolerance = 1e-6 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= tolerance, "{name} a={alpha} at {x}: {found}, expected {expected}");
            }
            seen.push(*name);
        }
        // larq SwishSign(beta = 5).
        let swish = Surrogate::named("swish-sign").expect("registered");
        for (x, expected) in [(-2.0, -0.00363125256), (-1.5, -0.0303402096), (-1.0, -0.194992244), (-0.9, -0.260910988)]
        {
            assert!((swish.slope(x) - expected).abs() < 1e-6, "{x}: {}", swish.slope(x));
        }
        seen.push("swish-sign");
        for kind in SURROGATES {
            assert!(seen.contains(&kind.name), "{kind:?} has no vector");
        }
    }
}
