//! Quantiles of the normal and of Student's t law, through `libm`, for intervals.

/// Distribution function of the standard normal law.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// Density of the standard normal law.
pub fn normal_density(x: f64) -> f64 {
    libm::exp(-0.5 * x * x) / libm::sqrt(std::f64::consts::TAU)
}

/// Quantile of the standard normal law at `p` in (0, 1): a rational start (Abramowitz and Stegun 1964,
/// 26.2.23) and Halley's steps on the distribution function, which triple the correct digits each.
pub fn normal_quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p);
    let t = libm::sqrt(-2.0 * libm::log(tail));
    let start = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    // In the lower tail, where the distribution function keeps its digits.
    let mut x = -start;
    for _ in 0..3 {
        let step = (normal_cdf(x) - tail) / normal_density(x);
        x -= step / (1.0 + 0.5 * x * step);
    }
    if p < 0.5 { x } else { -x }
}

/// Quantile of Student's t law with `freedom` degrees of freedom (not necessarily whole, at least 1) at
/// `p` in (0, 1): exact for one and two degrees, else Hill's expansion (1970, algorithm 396 of the ACM), good
/// to four digits or better from three degrees on.
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    if p == 0.5 {
        return 0.0;
    }
    let sign = if p < 0.5 { -1.0 } else { 1.0 };
    let both_tails = 2.0 * p.min(1.0 - p);
    let half_turn = both_tails * std::f64::consts::FRAC_PI_2;
    if freedom < 1.5 {
        return sign * libm::cos(half_turn) / libm::sin(half_turn);
    }
    if freedom < 2.5 {
        return sign * libm::sqrt(2.0 / (both_tails * (2.0 - both_tails)) - 2.0);
    }
    sign * hill(both_tails, freedom)
}

fn hill(both_tails: f64, freedom: f64) -> f64 {
    let n = freedom;
    let a = 1.0 / (n - 0.5);
    let b = 48.0 / (a * a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * libm::sqrt(a * std::f64::consts::FRAC_PI_2) * n;
    let mut y = libm::pow(d * both_tails, 2.0 / n);
    if y > 0.05 + a {
        let mut x = normal_quantile(0.5 * both_tails);
        y = x * x;
        if n < 5.0 {
            c += 0.3 * (n - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        x = a * y * y;
        y = if x > 0.002 { libm::expm1(x) } else { 0.5 * x * x + x };
    } else {
        let tail = ((1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0)) * y - 1.0)
            * (n + 1.0)
            / (n + 2.0);
        y = tail + 1.0 / y;
    }
    libm::sqrt(n * y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_the_tabled_ones() {
        let tabled = [(0.975, 1.959963984540054), (0.5, 0.0), (0.999, 3.090232306167813), (1e-6, -4.753424308822899)];
        for (p, expected) in tabled {
            assert!((normal_quantile(p) - expected).abs() < 1e-12, "{p}: {}", normal_quantile(p));
        }
        for step in 1..200 {
            let p = f64::from(step) / 200.0;
            assert!((normal_cdf(normal_quantile(p)) - p).abs() < 1e-14, "{p}");
        }
    }

    #[test]
    fn quantiles_of_students_law_are_the_tabled_ones() {
        let tabled = [
            (0.975, 1.0, 12.7062),
            (0.975, 2.0, 4.3027),
            (0.975, 3.0, 3.1824),
            (0.975, 4.0, 2.7764),
            (0.975, 10.0, 2.2281),
            (0.995, 5.0, 4.0321),
            (0.975, 120.0, 1.9799),
            (0.025, 7.0, -2.3646),
        ];
        for (p, freedom, expected) in tabled {
            let found = student_quantile(p, freedom);
            assert!((found - expected).abs() < 2e-4 * expected.abs(), "{p} {freedom}: {found} for {expected}");
        }
    }
}
