//! What the CUDA engine asks of the driver: counted by the emulated GPU.

use std::path::Path;
use std::process::Command;

use fidelio::engine::Executor;
use fidelio::engine::cuda::CudaOptions;
use fidelio_shared::serving::{Batch, BatchItem};
use fidelio_shared::workload::synthetic_prompt;

use super::device::{Shape, emulated, folder};

/// As the emulated GPU counts them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    kernel_launches: u64,
    programmatic_launches: u64,
    graph_launches: u64,
    graph_nodes_run: u64,
    allocations: u64,
    frees: u64,
    copies_to_device: u64,
    copies_to_host: u64,
    copies_on_device: u64,
    memsets: u64,
    module_loads: u64,
    function_lookups: u64,
    heuristic_queries: u64,
    matmuls: u64,
    stream_synchronizations: u64,
    event_synchronizations: u64,
    captures: u64,
}

fn counts() -> Counts {
    let library = folder().unwrap().join("libemulated_gpu.so");
    let mut counts = Counts::default();
    // SAFETY: the function writes the structure above.
    unsafe {
        let library = libloading::Library::new(library).unwrap();
        let read: libloading::Symbol<'_, unsafe extern "C" fn(*mut Counts)> =
            library.get(b"emulated_gpu_counts").unwrap();
        read(&mut counts);
    }
    counts
}

/// What changed while `run` ran.
fn counted(run: impl FnOnce()) -> Counts {
    let before = counts();
    run();
    let after = counts();
    Counts {
        kernel_launches: after.kernel_launches - before.kernel_launches,
        programmatic_launches: after.programmatic_launches - before.programmatic_launches,
        graph_launches: after.graph_launches - before.graph_launches,
        graph_nodes_run: after.graph_nodes_run - before.graph_nodes_run,
        allocations: after.allocations - before.allocations,
        frees: after.frees - before.frees,
        copies_to_device: after.copies_to_device - before.copies_to_device,
        copies_to_host: after.copies_to_host - before.copies_to_host,
        copies_on_device: after.copies_on_device - before.copies_on_device,
        memsets: after.memsets - before.memsets,
        module_loads: after.module_loads - before.module_loads,
        function_lookups: after.function_lookups - before.function_lookups,
        heuristic_queries: after.heuristic_queries - before.heuristic_queries,
        matmuls: after.matmuls - before.matmuls,
        stream_synchronizations: after.stream_synchronizations - before.stream_synchronizations,
        event_synchronizations: after.event_synchronizations - before.event_synchronizations,
        captures: after.captures - before.captures,
    }
}

fn decode(index: u64, num_seqs: u32, start: u32) -> Batch {
    let item = |request_id| BatchItem { request_id, start, num_tokens: 1, emits_token: true, is_decode: true };
    Batch::listed(index, (0..num_seqs).map(item).collect(), Vec::new())
}

#[test]
fn a_decode_step_is_one_graph_launch_and_two_copies() {
    let Some(_turn) = emulated() else { return };
    let shape = Shape::SMALL;
    let mut gpu = shape.gpu(shape.options());
    (0..7).for_each(|id| gpu.register(id, &synthetic_prompt(1, id, 10, 500)));
    gpu.execute(&decode(0, 7, 0)).unwrap();
    for (step, num_seqs) in [(1, 7), (2, 3), (3, 1)] {
        let calls = counted(|| {
            gpu.execute(&decode(step, num_seqs, step as u32)).unwrap();
        });
        let graph_nodes_run = calls.graph_nodes_run;
        // One synchronisation to wait for the tokens; reading device time from two events that are done adds no wait.
        let expected = Counts {
            graph_launches: 1,
            graph_nodes_run,
            matmuls: calls.matmuls,
            copies_to_device: 1,
            copies_to_host: 1,
            stream_synchronizations: 1,
            event_synchronizations: calls.event_synchronizations,
            ..Counts::default()
        };
        assert_eq!(calls, Counts { kernel_launches: 0, programmatic_launches: 0, ..expected }, "{num_seqs} sequences");
        println!("a decode step of {num_seqs}: 1 graph launch of {graph_nodes_run} nodes");
    }
}

#[test]
fn eager_steps_launch_every_kernel_and_still_allocate_nothing() {
    let Some(_turn) = emulated() else { return };
    let shape = Shape::SMALL;
    let mut gpu = shape.gpu(CudaOptions { cuda_graphs: false, ..shape.options() });
    (0..2).for_each(|id| gpu.register(id, &synthetic_prompt(1, id, 10, 500)));
    gpu.execute(&decode(0, 2, 0)).unwrap();
    let calls = counted(|| {
        gpu.execute(&decode(1, 2, 1)).unwrap();
    });
    // Five kernels a layer, embedding, head and argmax.
    assert_eq!(calls.kernel_launches, 5 * shape.layers as u64 + 3);
    assert_eq!(calls.programmatic_launches, calls.kernel_launches);
    let nothing = [calls.graph_launches, calls.allocations, calls.module_loads, calls.function_lookups];
    assert_eq!(nothing, [0; 4]);
}

#[test]
fn what_was_allocated_is_freed() {
    let Some(_turn) = emulated() else { return };
    let calls = counted(|| drop(Shape::SMALL.gpu(Shape::SMALL.options())));
    assert!(calls.allocations > 10);
    assert_eq!(calls.allocations, calls.frees);
}

#[test]
fn an_engine_that_does_not_fit_says_what_to_lower() {
    let Some(_turn) = emulated() else { return };
    let shape = Shape::SMALL;
    let error = shape.try_gpu(CudaOptions { num_blocks: Some(40_000_000), ..shape.options() }).err().unwrap();
    let message = format!("{error:#}");
    assert!(message.contains("out of memory") && message.contains("the KV blocks"), "{message}");
}

#[test]
fn the_emulated_gpu_passes_its_own_tests() {
    let Some(folder) = folder() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/emulated_gpu/build.sh");
    let ran = Command::new("bash").arg(script).arg(folder).arg("--test").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
}
