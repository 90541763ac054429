// Self tests of what kernels see: collectives, tensor cores, shared memory, and mistakes that must be found.
#include "self_test.h"

#include <set>
#include <stdlib.h>

static void test_shuffles() {
    constexpr unsigned N = 96;
    Buffer<float> out(5 * N);
    launch("shuffles", {1, N}, out.address);
    std::vector<float> got = out.read();
    for (unsigned t = 0; t < N; t++) {
        unsigned first = t / 32 * 32, lane = t % 32, votes = 0;
        auto value = [&](unsigned of) { return float((first + of) * (first + of)); };
        for (unsigned i = 0; i < 32; i++) votes |= unsigned((first + i) % 3 == 0) << i;
        check(got[t] == value(lane ^ 5), "__shfl_xor_sync");
        check(got[N + t] == value(7), "__shfl_sync");
        check(got[2 * N + t] == value(lane + 3 < 32 ? lane + 3 : lane), "__shfl_down_sync");
        check(got[3 * N + t] == float(votes >> 8), "__ballot_sync");
        check(got[4 * N + t] == -value(lane ^ 1), "a shuffle of eight bytes");
    }
}

static void set_seed(int seed) { setenv("EMULATED_GPU_SEED", std::to_string(seed).c_str(), 1); }

// With blocks of a single warp it is the order of lanes that matters, otherwise also that of warps.
static void test_barriers(unsigned block) {
    constexpr unsigned BLOCKS = 3;
    std::vector<int> in(BLOCKS * block), reversed(in.size());
    for (unsigned i = 0; i < in.size(); i++) in[i] = int(i);
    for (unsigned i = 0; i < in.size(); i++) reversed[i] = in[i / block * block + (block - 1 - i % block)];
    Buffer<int> from(in);
    std::set<std::vector<int>> without;
    for (int seed = 0; seed < 8; seed++) {
        set_seed(seed);
        Buffer<int> to(in.size());
        launch("reverse", {BLOCKS, block, block * 4}, from.address, to.address);
        check(to.read() == reversed, "a barrier");
        launch("reverse_without_barrier", {BLOCKS, block, block * 4}, from.address, to.address);
        without.insert(to.read());
    }
    check(without.size() > 1, "a missing barrier shows over the seeds");
}

static void test_order_of_blocks() {
    Buffer<unsigned> counter(std::vector<unsigned>{0});
    std::set<std::vector<unsigned>> orders;
    for (int seed : {1, 2, 1}) {
        set_seed(seed);
        Buffer<unsigned> out(8);
        launch("arrivals", {8, 32}, counter.address, out.address);
        orders.insert(out.read());
    }
    check(orders.size() == 2, "a seed gives an order of blocks, and the same again");
}

static void test_last_block() {
    Buffer<unsigned> counter(std::vector<unsigned>{0});
    Buffer<int> partial(20), sum(std::vector<int>{0});
    for (int round = 1; round <= 2; round++) {
        launch("last_block", {20, 64}, counter.address, partial.address, sum.address);
        check(sum.read()[0] == round * 210, "the last block has seen the others, and the counter has reset itself");
    }
}

static std::vector<uint16_t> random_matrix(Numbers& numbers, size_t count) {
    std::vector<uint16_t> matrix(count);
    for (uint16_t& element : matrix) element = to_bf16(numbers.small());
    return matrix;
}

static void test_mma() {
    Numbers numbers;
    for (int round = 0; round < 10; round++) {
        std::vector<uint16_t> a = random_matrix(numbers, 16 * 16), b = random_matrix(numbers, 16 * 8);
        Buffer<uint16_t> on_a(a), on_b(b);
        Buffer<float> d(16 * 8);
        launch("mma_by_elements", {}, on_a.address, on_b.address, d.address);
        std::vector<float> got = d.read();
        for (int row = 0; row < 16; row++)
            for (int col = 0; col < 8; col++) {
                float want = 1;
                for (int k = 0; k < 16; k++) want += from_bf16(a[row * 16 + k]) * from_bf16(b[col * 16 + k]);
                check(got[row * 8 + col] == want, "mma");
            }
    }
}

static void test_ldmatrix() {
    Numbers numbers;
    for (bool b_has_rows : {false, true}) {
        std::vector<uint16_t> a = random_matrix(numbers, 16 * 16), b = random_matrix(numbers, 16 * 16);
        Buffer<uint16_t> on_a(a), on_b(b);
        Buffer<float> d(16 * 16);
        launch("mma_by_ldmatrix", {}, on_a.address, on_b.address, d.address, b_has_rows);
        std::vector<float> got = d.read();
        for (int row = 0; row < 16; row++)
            for (int col = 0; col < 16; col++) {
                float want = 0;
                for (int k = 0; k < 16; k++)
                    want += from_bf16(a[row * 16 + k]) * from_bf16(b_has_rows ? b[k * 16 + col] : b[col * 16 + k]);
                check(got[row * 16 + col] == want, b_has_rows ? "ldmatrix.trans" : "ldmatrix");
            }
    }
}

static void test_poisoned_shared() {
    Buffer<float> out(32);
    launch("read_shared", {5, 32, 128}, out.address);
    for (float value : out.read()) check(value != value, "shared memory is NaN when a block starts");
}

static void test_mistakes() {
    Buffer<int> out(256);
    auto mistake = [&](const char* name, Shape shape, const char* message) {
        check_dies(message, [&] { launch(name, shape, out.address); });
    };
    mistake("different_collectives", {2, 64}, "thread (5,0,0) at __syncwarp");
    mistake("different_lines", {1, 32}, "cannot meet");
    mistake("lane_that_ended", {2, 64}, "thread (40,0,0) at the end of the kernel");
    mistake("different_barriers", {1, 64}, "another __syncthreads");
    mistake("part_of_the_mask", {1, 64}, "full warp");
    mistake("beyond_dynamic_shared", {1, 64, 64 * 4 - 1}, "beyond its dynamic shared memory");
    mistake("beyond_fixed_shared", {1, 64}, "out of bounds");
    mistake("misaligned_vector", {}, "misaligned");
    mistake("misaligned_ldmatrix", {1, 32, 1024}, "16 aligned bytes");
    mistake("part_of_the_mask", {1, 48}, "whole warps");
}

void test_kernels() {
    test_shuffles();
    test_barriers(32);
    test_barriers(128);
    test_order_of_blocks();
    test_last_block();
    test_mma();
    test_ldmatrix();
    test_poisoned_shared();
    test_mistakes();
}
