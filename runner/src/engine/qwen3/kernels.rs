//! Inner loops over f32 slices, compiled for plain and for wide vector registers, chosen at run time.
//! Knows no model.

/// Makes a function that calls its body, compiled with AVX2 and FMA where the processor has both.
macro_rules! vectorised {
    ($($(#[$doc:meta])* $name:ident [$($m:ident)?] ($($arg:ident: $kind:ty),*) = $body:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name<$(const $m: usize)?>($($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide<$(const $m: usize)?>($($arg: $kind),*) {
                    $body::<$($m,)? true>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor was asked for both features just above.
                    unsafe { wide::<$($m)?>($($arg),*) };
                    return;
                }
            }
            $body::<$($m,)? { cfg!(target_arch = "aarch64") }>($($arg),*);
        }
    )*};
}

vectorised! {
    /// `outputs[m][r] = weight row r · inputs[m]`; `weight` has one row of `inputs[0].len()` values per output.
    multiply_rows[M](weight: &[f32], inputs: [&[f32]; M], outputs: &mut [&mut [f32]]) = multiply_rows_body;
    /// `scores[i] = scale * query · key i`; `keys` has one row of `query.len()` values per score.
    score_keys[](query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) = score_keys_body;
    /// `output += sum over i of weights[i] * value i`; `values` has one row of `output.len()` values per weight.
    add_values[](weights: &[f32], values: &[f32], output: &mut [f32]) = add_values_body;
    /// Softmax in place.
    softmax[](scores: &mut [f32]) = softmax_body;
    /// `output[i] = silu(gate[i]) * up[i]`.
    silu_times[](gate: &[f32], up: &[f32], output: &mut [f32]) = silu_times_body;
}

/// Values of one vector register.
const LANES: usize = 8;

/// How far ahead weights are asked for, in values (16 KiB): some hundred nanoseconds of work.
const PREFETCH_DISTANCE: usize = 4096;

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    // Without the instruction a fused multiply-add is a slow library call.
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

/// The values one register holds, from `start` on.
#[inline(always)]
fn register(values: &[f32], start: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[start..start + LANES]);
    lanes
}

#[inline(always)]
fn multiply_add_lanes<const FUSED: bool>(a: [f32; LANES], b: [f32; LANES], sum: [f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| multiply_add::<FUSED>(a[lane], b[lane], sum[lane]))
}

/// Adds pairs in a fixed order.
#[inline(always)]
fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    // Four running sums, to hide the latency of additions.
    let b = &b[..a.len()];
    let whole = a.len() - a.len() % (4 * LANES);
    let mut sums = [[0.0; LANES]; 4];
    for start in (0..whole).step_by(4 * LANES) {
        for (part, sum) in sums.iter_mut().enumerate() {
            let at = start + part * LANES;
            *sum = multiply_add_lanes::<FUSED>(register(a, at), register(b, at), *sum);
        }
    }
    let lanes = std::array::from_fn(|lane| (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]));
    let tail = a[whole..].iter().zip(&b[whole..]);
    sum_lanes(lanes) + tail.fold(0.0, |sum, (x, y)| multiply_add::<FUSED>(*x, *y, sum))
}

#[inline(always)]
fn multiply_rows_body<const M: usize, const FUSED: bool>(
    weight: &[f32],
    inputs: [&[f32]; M],
    outputs: &mut [&mut [f32]],
) {
    // The quickest tile heights, measured: wider ones need more registers than there are.
    match M {
        1 => {
            for (weights, output) in weight.chunks_exact(inputs[0].len()).zip(outputs[0].iter_mut()) {
                *output = dot::<FUSED>(weights, inputs[0]);
            }
        }
        2 => multiply_tiles::<M, 4, FUSED>(weight, inputs, outputs),
        _ => multiply_tiles::<M, 3, FUSED>(weight, inputs, outputs),
    }
}

/// All weight rows, `R` at a time, those left over one by one.
#[inline(always)]
fn multiply_tiles<const M: usize, const R: usize, const FUSED: bool>(
    weight: &[f32],
    inputs: [&[f32]; M],
    outputs: &mut [&mut [f32]],
) {
    let width = inputs[0].len();
    let tiles = weight.chunks_exact(R * width);
    let rest = tiles.remainder();
    let first_of_rest = (weight.len() - rest.len()) / width;
    for (tile, weights) in tiles.enumerate() {
        prefetch_after(weights);
        multiply_tile::<M, R, FUSED>(weights, inputs, outputs, tile * R);
    }
    for (row, weights) in rest.chunks_exact(width).enumerate() {
        multiply_tile::<M, 1, FUSED>(weights, inputs, outputs, first_of_rest + row);
    }
}

/// Asks for as many bytes as `weights` has, `PREFETCH_DISTANCE` values further on: reading several rows
/// side by side is a pattern the processor does not foresee, and it would wait for memory instead.
#[inline(always)]
fn prefetch_after(weights: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..weights.len()).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let address = weights.as_ptr().wrapping_add(PREFETCH_DISTANCE + line);
        // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (weights, PREFETCH_DISTANCE);
}

/// `R` weight rows with `M` inputs at once: every value loaded serves several products, and with four
/// inputs and three rows the running sums and what they need fill sixteen registers.
#[inline(always)]
fn multiply_tile<const M: usize, const R: usize, const FUSED: bool>(
    weights: &[f32],
    inputs: [&[f32]; M],
    outputs: &mut [&mut [f32]],
    first_row: usize,
) {
    let width = weights.len() / R;
    let rows: [&[f32]; R] = std::array::from_fn(|row| &weights[row * width..(row + 1) * width]);
    let inputs = inputs.map(|input| &input[..width]);
    let whole = width - width % LANES;
    let mut sums = [[[0.0; LANES]; M]; R];
    for start in (0..whole).step_by(LANES) {
        let weights = rows.map(|row| register(row, start));
        for m in 0..M {
            let input = register(inputs[m], start);
            for row in 0..R {
                sums[row][m] = multiply_add_lanes::<FUSED>(weights[row], input, sums[row][m]);
            }
        }
    }
    for (index, (row, sums)) in rows.iter().zip(sums).enumerate() {
        for ((output, input), lanes) in outputs.iter_mut().zip(inputs).zip(sums) {
            let tail = row[whole..].iter().zip(&input[whole..]);
            let tail = tail.fold(0.0, |sum, (x, y)| multiply_add::<FUSED>(*x, *y, sum));
            output[first_row + index] = sum_lanes(lanes) + tail;
        }
    }
}

#[inline(always)]
fn score_keys_body<const FUSED: bool>(query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
    multiply_tiles::<1, 4, FUSED>(keys, [query], &mut [&mut *scores]);
    scores.iter_mut().for_each(|score| *score *= scale);
}

#[inline(always)]
fn add_values_body<const FUSED: bool>(weights: &[f32], values: &[f32], output: &mut [f32]) {
    let width = output.len();
    let four_weights = weights.chunks_exact(4);
    let four_values = values.chunks_exact(4 * width);
    let rest_start = weights.len() - four_weights.remainder().len();
    // Four rows a pass: the output is loaded and stored a quarter as often.
    for (weights, rows) in four_weights.zip(four_values) {
        let (first, rest) = rows.split_at(width);
        let (second, rest) = rest.split_at(width);
        let (third, fourth) = rest.split_at(width);
        for ((((sum, a), b), c), d) in output.iter_mut().zip(first).zip(second).zip(third).zip(fourth) {
            let low = multiply_add::<FUSED>(weights[1], *b, weights[0] * *a);
            let high = multiply_add::<FUSED>(weights[3], *d, weights[2] * *c);
            *sum += low + high;
        }
    }
    for (weight, row) in weights[rest_start..].iter().zip(values[rest_start * width..].chunks_exact(width)) {
        for (sum, value) in output.iter_mut().zip(row) {
            *sum = multiply_add::<FUSED>(*weight, *value, *sum);
        }
    }
}

#[inline(always)]
fn softmax_body<const FUSED: bool>(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = exponential::<FUSED>(*score - largest);
    }
    let inverse = 1.0 / scores.iter().sum::<f32>();
    for score in scores.iter_mut() {
        *score *= inverse;
    }
}

#[inline(always)]
fn silu_times_body<const FUSED: bool>(gate: &[f32], up: &[f32], output: &mut [f32]) {
    for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
        *output = *gate / (1.0 + exponential::<FUSED>(-*gate)) * *up;
    }
}

/// `e^x` within two units in the last place for `x` in `-87 ..= 88`, clamped outside; no branches, so
/// that a loop over it uses vector registers (the standard library's is a call a value).
#[inline(always)]
fn exponential<const FUSED: bool>(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in products with small integers.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = multiply_add::<FUSED>(whole, -LN_2_LOW, multiply_add::<FUSED>(whole, -LN_2_HIGH, x));
    // Taylor's series on |rest| <= ln 2 / 2: the first term left out is below 6e-9.
    let mut series = 1.0 / 5040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        series = multiply_add::<FUSED>(series, rest, 1.0 / factorial);
    }
    let power_of_two = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    series * power_of_two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_the_standard_one() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exponential::<false>(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn kernels_handle_every_remainder() {
        for width in [1, 15, 16, 31, 32, 33, 70] {
            let weight: Vec<f32> = (0..5 * width).map(|i| (i % 7) as f32 - 3.0).collect();
            let input: Vec<f32> = (0..width).map(|i| (i % 5) as f32 - 2.0).collect();
            let expected: Vec<f32> =
                weight.chunks(width).map(|row| row.iter().zip(&input).map(|(a, b)| a * b).sum()).collect();
            let (mut one, mut two) = (vec![0.0; 5], vec![0.0; 5]);
            multiply_rows(&weight, [&input[..], &input[..]], &mut [&mut one, &mut two]);
            assert_eq!((&one, &two), (&expected, &expected));
            multiply_rows(&weight, [&input[..]], &mut [&mut one]);
            assert_eq!(one, expected);
            let mut scores = vec![0.0; 5];
            score_keys(&input, &weight, 1.0, &mut scores);
            assert_eq!(scores, expected);
            let mut sums = vec![0.0; width];
            add_values(&[1.0, 2.0, 3.0, 4.0, 5.0], &weight, &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let expected: f32 = (0..5).map(|row| (row + 1) as f32 * weight[row * width + column]).sum();
                assert_eq!(*sum, expected);
            }
        }
    }
}
