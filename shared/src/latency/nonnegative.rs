//! Non-negative least squares by cyclic coordinate descent on the normal equations.

/// Finds `x >= 0` minimising `sum over rows of (row . x - target)^2`. Coordinate descent on a convex
/// quadratic with bounds converges to the optimum (Franc, Hlavac and Navara 2005, "Sequential
/// coordinate-wise algorithm for the non-negative least squares problem"); the order of updates is
/// fixed, so the result has the same bits everywhere.
pub fn solve(rows: &[Vec<f64>], targets: &[f64]) -> Vec<f64> {
    let width = rows.first().map_or(0, Vec::len);
    let mut gram = vec![vec![0.0; width]; width];
    let mut gradient = vec![0.0; width];
    for (row, target) in rows.iter().zip(targets) {
        for i in 0..width {
            gradient[i] -= row[i] * target;
            for j in 0..width {
                gram[i][j] += row[i] * row[j];
            }
        }
    }
    let mut x = vec![0.0; width];
    for _ in 0..20_000 {
        let mut largest = 0.0f64;
        for i in 0..width {
            if gram[i][i] <= 0.0 {
                continue;
            }
            let next = (x[i] - gradient[i] / gram[i][i]).max(0.0);
            let change = next - x[i];
            if change != 0.0 {
                x[i] = next;
                for (slope, weight) in gradient.iter_mut().zip(&gram[i]) {
                    *slope += change * weight;
                }
                largest = largest.max(libm::fabs(change) * libm::sqrt(gram[i][i]));
            }
        }
        // Rows are relative errors, so this is a millionth of a percent of the fitted times.
        if largest < 1e-10 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn an_exact_solution_is_found_and_a_negative_one_is_held_at_zero() {
        let rows = vec![vec![1.0, 1.0], vec![1.0, 2.0], vec![1.0, 3.0]];
        let x = solve(&rows, &[5.0, 7.0, 9.0]);
        assert!((x[0] - 3.0).abs() < 1e-6 && (x[1] - 2.0).abs() < 1e-6, "{x:?}");
        // The free optimum is (4, -1); with x1 >= 0 it is the mean of the targets.
        let x = solve(&rows, &[3.0, 2.0, 1.0]);
        assert!((x[0] - 2.0).abs() < 1e-6 && x[1] == 0.0, "{x:?}");
    }
}
