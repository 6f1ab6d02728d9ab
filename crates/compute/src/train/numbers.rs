//! Floating point in a fixed order: eight running sums, then their sum in pairs. No fused operations, no reordering,
//! `libm` for what the hardware does not round exactly.

/// The scalar product of a row and weights of the same length.
pub(super) fn dot(row: &[f32], weights: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (rows, weight_rows) = (row.chunks_exact(LANES), weights.chunks_exact(LANES));
    let rest = rows.remainder().iter().zip(weight_rows.remainder());
    for (row, weights) in rows.zip(weight_rows) {
        for lane in 0..LANES {
            lanes[lane] += f64::from(row[lane]) * weights[lane];
        }
    }
    rest.fold(pairwise(lanes), |sum, (value, weight)| sum + f64::from(*value) * weight)
}

/// The sum of the squares of a row.
pub(super) fn square(row: &[f32]) -> f64 {
    row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum()
}

/// The scalar product of two vectors of the same length.
pub(super) fn product(one: &[f64], other: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest = ones.remainder().iter().zip(others.remainder());
    for (one, other) in ones.zip(others) {
        for lane in 0..LANES {
            lanes[lane] += one[lane] * other[lane];
        }
    }
    rest.fold(pairwise(lanes), |sum, (one, other)| sum + one * other)
}

fn pairwise(lanes: [f64; LANES]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// `1 / (1 + e^-score)` without overflow.
pub(super) fn sigmoid(score: f64) -> f64 {
    // Both sides are computed and one is chosen: a branch on the score would be mispredicted every second time.
    let power = libm::exp(-score.abs());
    let high = 1.0 / (1.0 + power);
    let low = power * high;
    if score >= 0.0 { high } else { low }
}

/// `ln(1 + e^score)` without overflow.
pub(super) fn softplus(score: f64) -> f64 {
    score.max(0.0) + libm::log1p(libm::exp(-score.abs()))
}

/// Solves `matrix * x = right` for a symmetric positive definite matrix by Cholesky's decomposition, both in place:
/// the solution stands in `right`. `matrix` has the rows one after the other; only its lower half is read. `false`
/// where a pivot is not positive.
pub(super) fn solve(matrix: &mut [f64], right: &mut [f64]) -> bool {
    let size = right.len();
    for column in 0..size {
        let (done, rest) = matrix.split_at_mut((column + 1) * size);
        let pivot_row = &mut done[column * size..];
        let pivot = pivot_row[column] - product(&pivot_row[..column], &pivot_row[..column]);
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        let root = pivot.sqrt();
        pivot_row[column] = root;
        for row in rest.chunks_exact_mut(size) {
            row[column] = (row[column] - product(&row[..column], &pivot_row[..column])) / root;
        }
    }
    for at in 0..size {
        let known = product(&matrix[at * size..at * size + at], &right[..at]);
        right[at] = (right[at] - known) / matrix[at * size + at];
    }
    for at in (0..size).rev() {
        let mut value = right[at];
        for below in at + 1..size {
            value -= matrix[below * size + at] * right[below];
        }
        right[at] = value / matrix[at * size + at];
    }
    true
}

const LANES: usize = 8;
