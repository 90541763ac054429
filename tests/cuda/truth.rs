//! Numbers of the CUDA engine against the CPU model's, with the same weights.

use fidelio::engine::cuda::CudaOptions;

use super::device::{Shape, emulated};
use crate::truth::{STEPS, pressed_run, pressed_scheduler, worst_error};

/// Largest ‖GPU − CPU‖ / ‖CPU‖ of a row of logits that bfloat16 explains.
const TOLERANCE: f64 = 2e-2;

/// The largest error of all rows of `steps`.
fn worst(shape: Shape, options: CudaOptions, steps: &[&[(u32, usize, usize)]]) -> f64 {
    let mut gpu = shape.gpu(options);
    worst_error(&mut gpu, |gpu, count| gpu.logits(count).unwrap(), &shape.cpu_model(), steps, TOLERANCE)
}

#[test]
fn logits_are_the_cpu_models_however_they_are_computed() {
    let Some(_turn) = emulated() else { return };
    for shape in [Shape::SMALL, Shape::GROUPED] {
        for cuda_graphs in [true, false] {
            let options = CudaOptions { cuda_graphs, ..shape.options() };
            let error = worst(shape, options, &STEPS);
            println!("{shape:?}, graphs {cuda_graphs}: logits within {error:.2e} of the CPU model");
        }
    }
}

#[test]
fn every_layer_is_the_cpu_models() {
    let Some(_turn) = emulated() else { return };
    for layers in 1..=Shape::SMALL.layers {
        let shape = Shape { layers, ..Shape::SMALL };
        let error = worst(shape, shape.options(), &STEPS[..6]);
        println!("after {layers} layers: logits within {error:.2e} of the CPU model");
    }
}

#[test]
fn every_greedy_token_of_a_pressed_run_is_the_cpu_models() {
    let Some(_turn) = emulated() else { return };
    let scheduler = pressed_scheduler();
    let options = CudaOptions {
        num_blocks: Some(scheduler.num_blocks as usize),
        max_num_seqs: scheduler.max_num_seqs as usize,
        max_num_batched_tokens: scheduler.max_num_batched_tokens as usize,
        max_model_len: scheduler.max_model_len as usize,
        ..Shape::SMALL.options()
    };
    let mut gpu = Shape::SMALL.gpu(options);
    let agreement = pressed_run(&mut gpu);
    println!("{agreement:?}");
    assert_eq!(gpu.num_free_blocks(), 24, "blocks were lost");
    assert!(agreement.worst_gap < 0.03, "the CPU model's best is better by that much of the largest: {agreement:?}");
    assert!(agreement.num_exact * 100 >= agreement.num_tokens * 95, "{agreement:?}");
}
