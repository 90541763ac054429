// The threads of a block as fibers: which run, where they wait for each other, and what is wrong when they cannot meet.
//
// Blocks run one after another. The threads of a warp run one after another up to a collective; a collective of the
// warp completes when all 32 are at it, a barrier of the block when every thread that has not ended is. Blocks, warps
// and lanes run in an order drawn from EMULATED_GPU_SEED, so that a missing barrier gives results that depend on it.
#pragma once

#include "emulated_fiber.h"

#include <mutex>
#include <string.h>
#include <utility>
#include <vector>

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

// Where the linker puts the limits of the section that __shared__ arrays are in.
extern "C" {
extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
}

namespace emulated {
namespace {

constexpr unsigned WARP = 32, MAX_THREADS = 1024;
constexpr unsigned char POISON = 0xFF; // NaN, as bf16 and as f32

// Something that threads do together; `complete` gets the operands of the 32 lanes once all have arrived.
struct Collective {
    const char* name;
    void (*complete)(void* const* lanes);
};

const Collective BARRIER{"__syncthreads", nullptr}; // of the block, hence not completed by a warp
const Collective END{"the end of the kernel", nullptr};

// A line of the kernel's source: as a default argument, that of the call.
struct Site {
    int line;
    explicit Site(int line = __builtin_LINE()) : line(line) {}
};

struct Thread {
    Context context;
    uint3 index;
    const Collective* waits_at;
    int line;
    void* operands;
};

// A kernel with its arguments, by value.
struct Closure {
    const char* name;
    explicit Closure(const char* name) : name(name) {}
    virtual void run() const = 0;
    virtual ~Closure() = default;
};

struct Random {
    uint64_t state;
    uint64_t next() { // splitmix64
        uint64_t z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    unsigned below(unsigned bound) { return static_cast<unsigned>(next() % bound); }
};

// The launch that runs now. One at a time: __shared__ arrays are static.
struct Launch {
    const Closure* closure;
    uint3 grid, block_size, block;
    unsigned num_threads;
    unsigned char* dynamic_shared;
    unsigned dynamic_bytes;
};
Launch launch;
Thread threads[MAX_THREADS];
Thread* running;
Context scheduler;
unsigned num_stacks;

[[noreturn]] void fail(const Thread* thread, const char* problem) {
    fprintf(stderr, "emulated GPU: kernel %s, block (%u,%u,%u)", launch.closure->name, launch.block.x, launch.block.y,
            launch.block.z);
    if (thread) {
        fprintf(stderr, ", thread (%u,%u,%u)", thread->index.x, thread->index.y, thread->index.z);
        if (thread->waits_at) fprintf(stderr, " at %s of line %d", thread->waits_at->name, thread->line);
    }
    fprintf(stderr, ": %s\n", problem);
    abort();
}

[[noreturn]] void fail_apart(const Thread& one, const Thread& other) {
    char problem[256];
    snprintf(problem, sizeof problem, "cannot meet thread (%u,%u,%u), which is at %s of line %d", other.index.x,
             other.index.y, other.index.z, other.waits_at->name, other.line);
    fail(&one, problem);
}

// Not inlined, and between two fences for the compiler: while it waits, other threads change shared memory.
__attribute__((noinline)) void wait_at(const Collective& where, Site site, void* operands) {
    running->waits_at = &where;
    running->line = site.line;
    running->operands = operands;
    switch_context(running->context, scheduler);
}

inline __attribute__((always_inline)) void meet(const Collective& where, Site site, void* operands) {
    asm volatile("" ::: "memory");
    wait_at(where, site, operands);
    asm volatile("" ::: "memory");
}

// What every fiber runs, from one launch to the next: its thread of the block, then again.
void run_fiber() {
    for (;;) {
        launch.closure->run();
        wait_at(END, Site(0), nullptr);
    }
}

void complete_for_warp(Thread* warp) {
    void* operands[WARP];
    for (unsigned lane = 0; lane < WARP; lane++) {
        const Thread& thread = warp[lane];
        if (thread.waits_at != warp->waits_at || thread.line != warp->line) fail_apart(thread, *warp);
        operands[lane] = thread.operands;
    }
    warp->waits_at->complete(operands);
    for (unsigned lane = 0; lane < WARP; lane++) warp[lane].waits_at = nullptr;
}

// Runs a warp until all of its threads are at a barrier of the block or have ended.
void run_warp(Thread* warp, unsigned lane_order) {
    for (;;) {
        Thread* at_collective = nullptr;
        for (unsigned i = 0; i < WARP; i++) {
            Thread& thread = warp[i ^ lane_order];
            if (!thread.waits_at) {
                running = &thread;
                switch_context(scheduler, thread.context);
            }
            if (thread.waits_at->complete) at_collective = &thread;
        }
        if (!at_collective) return;
        if (!warp->waits_at->complete) fail_apart(*warp, *at_collective);
        complete_for_warp(warp);
    }
}

// Lets the threads go on that wait at a barrier; false when all have ended.
bool release_barrier() {
    const Thread* first = nullptr;
    for (unsigned i = 0; i < launch.num_threads; i++) {
        Thread& thread = threads[i];
        if (thread.waits_at == &END) continue;
        if (first && thread.line != first->line) {
            thread.waits_at = &BARRIER;
            fail(&thread, "other threads of the block are at another __syncthreads");
        }
        if (!first) first = &thread;
        thread.waits_at = nullptr;
    }
    return first != nullptr;
}

// Dynamic shared memory lies between two zones that nobody may write; 16-byte aligned, as on a GPU, and no better.
constexpr size_t RED_ZONE = 4096, MAX_SHARED = 228 * 1024, SHARED_OFFSET = RED_ZONE + 16;
alignas(1024) unsigned char shared_memory[SHARED_OFFSET + MAX_SHARED + RED_ZONE];

void poison_shared() {
    memset(shared_memory, POISON, SHARED_OFFSET + launch.dynamic_bytes + RED_ZONE);
    if (__start_emulated_shared)
        memset(__start_emulated_shared, POISON, size_t(__stop_emulated_shared - __start_emulated_shared));
}

bool is_poison(const unsigned char* bytes, size_t count) {
    unsigned char all = POISON;
    for (size_t i = 0; i < count; i++) all &= bytes[i];
    return all == POISON;
}

void check_red_zones() {
    if (!is_poison(shared_memory, SHARED_OFFSET)) fail(nullptr, "wrote below its dynamic shared memory");
    if (!is_poison(launch.dynamic_shared + launch.dynamic_bytes, RED_ZONE))
        fail(nullptr, "wrote beyond its dynamic shared memory");
}

// Whether the bytes lie in shared memory, as far as that is known.
bool is_shared(const void* address, size_t bytes) {
    const char* low = static_cast<const char*>(address);
    const char* dynamic = reinterpret_cast<const char*>(launch.dynamic_shared);
    return (low >= dynamic && low + bytes <= dynamic + launch.dynamic_bytes) ||
           (low >= __start_emulated_shared && low + bytes <= __stop_emulated_shared);
}

void run_block(Random random) {
    poison_shared();
    unsigned num_warps = launch.num_threads / WARP, order[MAX_THREADS / WARP];
    for (unsigned i = 0; i < launch.num_threads; i++) threads[i].waits_at = nullptr;
    for (unsigned i = 0; i < num_warps; i++) order[i] = i;
    do {
        for (unsigned i = 0; i < num_warps; i++) {
            std::swap(order[i], order[i + random.below(num_warps - i)]);
            run_warp(threads + order[i] * WARP, random.below(WARP));
        }
    } while (release_barrier());
    check_red_zones();
}

void prepare_threads() {
    static Stacks stacks(MAX_THREADS);
    for (; num_stacks < launch.num_threads; num_stacks++)
        prepare_context(threads[num_stacks].context, stacks.stack(num_stacks), Stacks::usable_bytes(num_stacks),
                        run_fiber);
    for (unsigned i = 0; i < launch.num_threads; i++) {
        unsigned x = launch.block_size.x, y = launch.block_size.y;
        threads[i].index = uint3{i % x, i / x % y, i / x / y};
    }
}

uint64_t seed() {
    const char* text = getenv("EMULATED_GPU_SEED");
    return text ? strtoull(text, nullptr, 0) : 0;
}

void run_launch(const Closure* closure, uint3 grid, uint3 block_size, unsigned dynamic_bytes) {
    static std::mutex one_launch;
    std::lock_guard<std::mutex> lock(one_launch);
    unsigned num_threads = block_size.x * block_size.y * block_size.z, num_blocks = grid.x * grid.y * grid.z;
    launch = Launch{closure, grid, block_size, {0, 0, 0}, num_threads, shared_memory + SHARED_OFFSET, dynamic_bytes};
    if (num_threads == 0 || num_threads > MAX_THREADS || num_threads % WARP != 0)
        fail(nullptr, "the threads of a block must be whole warps, 1024 threads at most");
    if (dynamic_bytes > MAX_SHARED) fail(nullptr, "more shared memory than any GPU has");
    prepare_threads();
    Random random{seed()};
    std::vector<unsigned> order(num_blocks);
    for (unsigned i = 0; i < num_blocks; i++) order[i] = i;
    for (unsigned i = 0; i < num_blocks; i++) {
        std::swap(order[i], order[i + random.below(num_blocks - i)]);
        launch.block = uint3{order[i] % grid.x, order[i] / grid.x % grid.y, order[i] / grid.x / grid.y};
        run_block(Random{random.next()});
    }
}

} // namespace
} // namespace emulated
