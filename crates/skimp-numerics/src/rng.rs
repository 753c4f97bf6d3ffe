//! Random numbers keyed by `(seed, stream, index)`.
//!
//! A number is a pure function of its key, so results never depend on the order in which threads draw them. A seed
//! belongs to a run, a stream to one purpose within it (see [`stream`]), an index to one draw of that purpose.
//! Not for cryptography.

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The stream of a named purpose (`"dropout/conv1"`): FNV-1a, 64 bits.
///
/// # Source
/// Fowler, Noll, Vo and Eastlake, "The FNV Non-Cryptographic Hash Algorithm", IETF.
pub const fn stream(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        i += 1;
    }
    hash
}

/// 64 uniform random bits.
///
/// # Source
/// The output function of SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
/// OOPSLA 2014, figure 17, with Stafford's mix 13.
/// Differs: the start of the sequence is itself the hash of seed and stream.
pub const fn random_u64(seed: u64, stream: u64, index: u64) -> u64 {
    let start = mix(mix(seed.wrapping_add(GOLDEN)) ^ mix(stream.wrapping_add(GOLDEN.wrapping_mul(2))));
    mix(start.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// A multiple of 2^−24 in `[0, 1)`.
pub fn uniform_f32(seed: u64, stream: u64, index: u64) -> f32 {
    const STEP: f32 = 1.0 / (1_u32 << 24) as f32;
    (random_u64(seed, stream, index) >> 40) as f32 * STEP
}

/// A multiple of 2^−53 in `[0, 1)`.
pub fn uniform_f64(seed: u64, stream: u64, index: u64) -> f64 {
    unit_f64(random_u64(seed, stream, index))
}

/// An integer in `0 .. bound`, or 0 where `bound` is 0.
///
/// The bias is below `bound / 2^64`.
pub const fn below(seed: u64, stream: u64, index: u64, bound: u64) -> u64 {
    ((random_u64(seed, stream, index) as u128 * bound as u128) >> 64) as u64
}

/// A draw from the standard normal distribution.
///
/// # Determinism
/// Fixed by the key up to the last bits of the platform's `ln` and `cos`.
///
/// # Source
/// Box and Muller, "A Note on the Generation of Random Normal Deviates", Annals of Mathematical Statistics 29, 1958.
pub fn normal(seed: u64, stream: u64, index: u64) -> f64 {
    let first = random_u64(seed, stream, index);
    // In (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit_f64(first)).ln()).sqrt();
    let angle = std::f64::consts::TAU * unit_f64(mix(first ^ GOLDEN));
    radius * angle.cos()
}

/// What random numbers about one image at one step are drawn from: a run's seed, the stream of one purpose (see
/// [`stream`]), the training or time step, and the image's index in its data set.
///
/// Numbers under a key do not depend on the batch that the image is in, on threads, or on other images. Where no image
/// is meant (a weight), its number is 0; where there is one step only, that is 0.
///
/// # Examples
/// ```
/// use skimp_numerics::rng::{Key, stream};
///
/// let key = Key { seed: 1, stream: stream("noise/conv1"), step: 0, image: 17 };
/// let (mut once, mut again) = (key.draws(), key.draws());
/// assert_eq!(once.normal().to_bits(), again.normal().to_bits());
/// assert_ne!(key.draws().next_u64(), Key { image: 18, ..key }.draws().next_u64());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Seed of the run.
    pub seed: u64,
    /// Stream of the purpose.
    pub stream: u64,
    /// Training step, or time step of a spiking network.
    pub step: u64,
    /// Index of the image in its data set.
    pub image: u64,
}

impl Key {
    /// The numbers under this key, from the first one on.
    pub const fn draws(self) -> Draws {
        // Each part has a generator of its own, so that (step, image, index) is not squeezed into one counter.
        let of_step = random_u64(self.seed, stream("key/step"), self.step);
        Draws::new(random_u64(of_step, stream("key/image"), self.image), self.stream)
    }
}

/// A uniform random order of `0 .. n`.
///
/// # Source
/// Durstenfeld, "Algorithm 235: Random Permutation", Communications of the ACM 7(7), 1964.
pub fn permutation(seed: u64, stream: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(seed, stream, i as u64, i as u64 + 1) as usize);
    }
    order
}

/// Consecutive draws of one `(seed, stream)`, for code that is sequential anyway.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: u64,
    stream: u64,
    index: u64,
}

impl Draws {
    /// Draws from index 0 on.
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, index: 0 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        random_u64(self.seed, self.stream, self.advance())
    }

    /// The next integer in `0 .. bound`, or 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        below(self.seed, self.stream, self.advance(), bound as u64) as usize
    }

    /// The next number of `low ..= high`; `low` where `high < low`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// The next f32 in `[low, high)`, up to rounding.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * uniform_f32(self.seed, self.stream, self.advance())
    }

    /// The next standard normal number.
    pub fn normal(&mut self) -> f64 {
        normal(self.seed, self.stream, self.advance())
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        uniform_f64(self.seed, self.stream, self.advance()) < probability
    }

    fn advance(&mut self) -> u64 {
        let index = self.index;
        self.index = index.wrapping_add(1);
        index
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn unit_f64(bits: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (bits >> 11) as f64 * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_is_splitmix64() {
        // First outputs of SplitMix64 started at 0 and at 1234567 (the vectors that accompany xoshiro's public code).
        assert_eq!(mix(GOLDEN), 0xE220_A839_7B1D_CDAF);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (i, expected) in expected.into_iter().enumerate() {
            assert_eq!(mix(1_234_567_u64.wrapping_add((i as u64 + 1).wrapping_mul(GOLDEN))), expected);
        }
    }

    #[test]
    fn fnv_1a_vectors() {
        assert_eq!(stream(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(stream("a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(stream("foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn moments_are_right() {
        // 40,000 draws: the mean of a uniform has sigma 0.289 / 200 = 0.0014, of a normal 0.005; its variance sigma
        // sqrt(2 / 40000) = 0.0071, its fourth moment sqrt(96 / 40000) = 0.049. Bounds are about five sigma.
        let n = 40_000;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        assert!((mean(&|i| f64::from(uniform_f32(1, 2, i))) - 0.5).abs() < 0.0075);
        assert!((mean(&|i| uniform_f64(1, 3, i).powi(2)) - 1.0 / 3.0).abs() < 0.0075);
        assert!(mean(&|i| normal(1, 4, i)).abs() < 0.025);
        assert!((mean(&|i| normal(1, 4, i).powi(2)) - 1.0).abs() < 0.036);
        assert!((mean(&|i| normal(1, 4, i).powi(4)) - 3.0).abs() < 0.25);
        // Neighbouring keys are uncorrelated: sigma of the mean product of centred uniforms is (1/12) / 200 = 0.0004.
        let centred = |s: u64, t: u64, i: u64| uniform_f64(s, t, i) - 0.5;
        assert!(mean(&|i| centred(1, 2, i) * centred(1, 2, i + 1)).abs() < 0.0021);
        assert!(mean(&|i| centred(1, 2, i) * centred(2, 2, i)).abs() < 0.0021);
        assert!(mean(&|i| centred(1, 2, i) * centred(1, 3, i)).abs() < 0.0021);
    }

    #[test]
    fn bounds_hold() {
        for i in 0..1000 {
            assert!(below(7, 0, i, 3) < 3);
            assert!((0.0..1.0).contains(&uniform_f32(7, 1, i)));
        }
        assert_eq!(below(7, 0, 0, 0), 0);
        let mut draws = Draws::new(1, 2);
        assert_eq!(draws.next_u64(), random_u64(1, 2, 0));
        assert_eq!(draws.between(5, 5), 5);
        assert_eq!(draws.between(5, 4), 5);
    }

    #[test]
    fn every_part_of_a_key_counts() {
        let key = Key { seed: 1, stream: 2, step: 3, image: 4 };
        let others = [
            Key { seed: 0, ..key },
            Key { stream: 0, ..key },
            Key { step: 4, image: 3, ..key },
            Key { step: 0, ..key },
            Key { image: 0, ..key },
        ];
        let first = |key: Key| key.draws().next_u64();
        assert_eq!(first(key), first(key));
        assert!(others.iter().all(|&other| first(other) != first(key)));
        // Means over steps and images alike are those of independent numbers: 0.5 within 4 deviations.
        let mean: f64 = (0..100)
            .flat_map(|step| (0..100).map(move |image| f64::from(Key { step, image, ..key }.draws().uniform(0.0, 1.0))))
            .sum::<f64>()
            / 1e4;
        assert!((mean - 0.5).abs() < 4.0 * (1.0 / 12.0_f64).sqrt() / 100.0, "{mean}");
    }

    #[test]
    fn permutation_holds_each_index_once() {
        for n in [0, 1, 2, 17, 100] {
            let mut order = permutation(3, 4, n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
        assert_ne!(permutation(3, 4, 100), permutation(4, 4, 100));
    }
}
