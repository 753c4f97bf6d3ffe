//! Inverses of positive definite matrices, in double precision and a fixed order.

/// Of a symmetric matrix `a` of `n` rows, given by the part on and above its diagonal: the upper triangle `u` with
/// `a⁻¹ = uᵀ u`, row by row; `None` if the matrix is not positive definite to working precision.
///
/// From the Cholesky factors of `a` with rows and columns in reverse order, which give the triangle without `a⁻¹` itself.
pub(crate) fn inverse_factor(a: &[f64], n: usize) -> Option<Vec<f64>> {
    // r: reversed a = rᵀ r, r upper.
    let mut r = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            let (row, column) = (n - 1 - j, n - 1 - i);
            r[i * n + j] = a[row * n + column];
        }
    }
    for k in 0..n {
        let (done, rest) = r.split_at_mut((k + 1) * n);
        let pivot_row = &mut done[k * n..];
        let pivot = pivot_row[k];
        // Not above 0 or NaN.
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        let root = pivot.sqrt();
        pivot_row[k..].iter_mut().for_each(|x| *x /= root);
        for (i, row) in (k + 1..n).zip(rest.chunks_exact_mut(n)) {
            let factor = pivot_row[i];
            if factor.abs() > 0.0 {
                row[i..].iter_mut().zip(&pivot_row[i..]).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    // m: the inverse of the lower triangle rᵀ, row by row.
    let mut m = vec![0.0; n * n];
    for i in 0..n {
        let (done, rest) = m.split_at_mut(i * n);
        let row = &mut rest[..n];
        for (k, known) in done.chunks_exact(n).enumerate() {
            let factor = r[k * n + i];
            if factor.abs() > 0.0 {
                row[..=k].iter_mut().zip(&known[..=k]).for_each(|(x, y)| *x -= factor * y);
            }
        }
        row[i] = 1.0;
        let pivot = r[i * n + i];
        row[..=i].iter_mut().for_each(|x| *x /= pivot);
    }
    let mut u = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            u[i * n + j] = m[(n - 1 - i) * n + (n - 1 - j)];
        }
    }
    u.iter().all(|x| x.is_finite()).then_some(u)
}

/// `uᵀ u` of an upper triangle.
pub(crate) fn product_of_factor(u: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    for row in u.chunks_exact(n.max(1)) {
        for (i, to) in product.chunks_exact_mut(n).enumerate() {
            let factor = row[i];
            if factor.abs() > 0.0 {
                to.iter_mut().zip(row).for_each(|(x, y)| *x += factor * y);
            }
        }
    }
    product
}

/// `a⁻¹ b`, with the triangle `u` of [`inverse_factor`].
pub(crate) fn solved(u: &[f64], n: usize, b: &[f64]) -> Vec<f64> {
    let mut x = vec![0.0; n];
    for (i, row) in u.chunks_exact(n.max(1)).enumerate() {
        let product: f64 = row[i..].iter().zip(&b[i..]).map(|(u, b)| u * b).sum();
        x[i..].iter_mut().zip(&row[i..]).for_each(|(x, u)| *x += u * product);
    }
    x
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    #[test]
    fn inverses() {
        let mut draws = Draws::new(4, stream("matrix"));
        for n in [1, 2, 3, 7, 20] {
            let x: Vec<f64> = (0..(n + 3) * n).map(|_| draws.normal()).collect();
            let mut a = vec![0.0; n * n];
            for row in x.chunks(n) {
                (0..n * n).for_each(|i| a[i] += row[i / n] * row[i % n]);
            }
            // The part below the diagonal is not read.
            let mut upper = a.clone();
            (0..n * n).filter(|i| i / n > i % n).for_each(|i| upper[i] = f64::NAN);
            let u = inverse_factor(&upper, n).unwrap();
            assert!((0..n * n).filter(|i| i / n > i % n).all(|i| u[i].to_bits() == 0));
            let inverse = product_of_factor(&u, n);
            let b: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
            for (i, found) in solved(&u, n, &b).into_iter().enumerate() {
                let expected: f64 = (0..n).map(|j| inverse[i * n + j] * b[j]).sum();
                assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{n}: {found}, {expected}");
            }
            for i in 0..n {
                for j in 0..n {
                    let found: f64 = (0..n).map(|k| a[i * n + k] * inverse[k * n + j]).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((found - expected).abs() < 1e-8, "{n}: [{i}, {j}] is {found}");
                }
            }
        }
        assert_eq!(inverse_factor(&[0.0], 1), None);
        assert_eq!(inverse_factor(&[1.0, 2.0, 0.0, 1.0], 2), None);
    }
}
