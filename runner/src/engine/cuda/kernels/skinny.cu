// Products of few rows (decode: 1 to 16) with weights W [N][K], bound by reading W once: built to stream it.
//
// A block owns some tiles of 8 rows of W; its 8 warps share K out in steps of 32. Two tiles are the left operand
// of mma, 8 rows of the activations the right one, so that up to 8 rows fill it exactly. The order in which a
// product sums is free: lane (g, c) = (lane / 4, lane % 4) loads 16 consecutive bytes of row g of each tile and of
// the activations, and has its share of two mma without any exchange or shared memory. Loads of W run DEPTH steps
// ahead, and start before the previous kernel has ended; those of the activations, from L2, AHEAD steps.
// The RMS norm is fused: its weight is applied to the activations on the way in, and 1 / rms, a factor of the row,
// to the sums at the end, when the squares have been gathered too.
//
// Columns of `out` a block computes. All but the sums with few columns take 4 tiles: for K = 1024 a block then has
// its whole 64 KB of W in flight at once, and a projection of a small model all of it in one wave of blocks.
// HOST: SKINNY_QKV_COLUMNS 32
// HOST: SKINNY_SILU_COLUMNS 16
// HOST: SKINNY_ADD_COLUMNS 8
// HOST: SKINNY_LOGITS_COLUMNS 32

constexpr int SKINNY_WARPS = 8;
constexpr int SKINNY_THREADS = SKINNY_WARPS * 32;
constexpr int STEP = 32;  // elements of K: 4 lanes * 8

// W's tiles, DEPTH steps of this warp ahead of their use.
template <int TILES, int DEPTH> struct WeightStream {
    const bf16* row;    // the lane's, of the first tile
    int to_row[TILES];  // elements from there to its row of each tile: pointers would take more registers
    uint4 steps[DEPTH][TILES];

    // `first_rows` are the tiles' first rows; rows past the last are read as the last and dropped in the end.
    __device__ __forceinline__ void start(const bf16* W, const int (&first_rows)[TILES], int last_row, int K) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const int first = min(first_rows[0] + lane / 4, last_row);
        row = W + static_cast<size_t>(first) * K + lane % 4 * 8;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            to_row[tile] = (min(first_rows[tile] + lane / 4, last_row) - first) * K;
        }
#pragma unroll
        for (int slot = 0; slot < DEPTH; slot++) {
            const int k = (warp + slot * SKINNY_WARPS) * STEP;
            if (k < K) load(slot, k);
        }
    }

    __device__ __forceinline__ void load(int slot, int k) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) steps[slot][tile] = load_once(row + (to_row[tile] + k));
    }
};

// Activations that still need their RMS norm. HALVES is 1 for up to 8 rows: nothing is held for rows 8 to 15.
template <int HALVES> struct NormedRows {
    struct Step {
        float4 x[HALVES][2];
        uint4 norm;
    };

    const float* rows[HALVES];  // the lane's, null where there is none
    const bf16* norm;
    float squares[HALVES];

    __device__ __forceinline__ void start(const float* x, const bf16* norm_weight, const int* row_ids, int K,
                                          int num_rows) {
        const int g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
        norm = norm_weight + c * 8;
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            const int row = g + half * 8, id = row >= num_rows ? -1 : row_ids ? row_ids[row] : row;
            rows[half] = id < 0 ? nullptr : x + static_cast<size_t>(id) * K + c * 8;
            squares[half] = 0.0f;
        }
    }

    __device__ __forceinline__ void load(Step& step, int k) const {
        step.norm = *reinterpret_cast<const uint4*>(norm + k);
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            step.x[half][0] = step.x[half][1] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (rows[half]) {
                step.x[half][0] = reinterpret_cast<const float4*>(rows[half] + k)[0];
                step.x[half][1] = reinterpret_cast<const float4*>(rows[half] + k)[1];
            }
        }
    }

    // The right operands of the step's two mma: words 0 and 1, words 2 and 3.
    __device__ __forceinline__ uint4 operands(const Step& step, int half) {
        const float4 a = step.x[half][0], b = step.x[half][1];
        squares[half] += a.x * a.x + a.y * a.y + a.z * a.z + a.w * a.w;
        squares[half] += b.x * b.x + b.y * b.y + b.z * b.z + b.w * b.w;
        const uint4 w = step.norm;
        return make_uint4(pack_bf16(a.x * low_bf16(w.x), a.y * high_bf16(w.x)),
                          pack_bf16(a.z * low_bf16(w.y), a.w * high_bf16(w.y)),
                          pack_bf16(b.x * low_bf16(w.z), b.y * high_bf16(w.z)),
                          pack_bf16(b.z * low_bf16(w.w), b.w * high_bf16(w.w)));
    }
};

// Activations as they are.
template <int HALVES> struct PlainRows {
    struct Step {
        uint4 x[HALVES];
    };

    const bf16* rows[HALVES];  // the lane's, null where there is none

    __device__ __forceinline__ void start(const bf16* x, int K, int num_rows) {
        const int g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            const int row = g + half * 8;
            rows[half] = row < num_rows ? x + static_cast<size_t>(row) * K + c * 8 : nullptr;
        }
    }

    __device__ __forceinline__ void load(Step& step, int k) const {
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            step.x[half] = rows[half] ? *reinterpret_cast<const uint4*>(rows[half] + k) : make_uint4(0, 0, 0, 0);
        }
    }

    __device__ __forceinline__ uint4 operands(const Step& step, int half) const { return step.x[half]; }
};

// A warp's part of the products: [pair of tiles][half of the rows], as mma leaves it.
template <int TILES, int HALVES> struct Sums {
    float d[(TILES + 1) / 2][HALVES][4];
};

template <int AHEAD, int TILES, int DEPTH, template <int> class Activations, int HALVES>
__device__ __forceinline__ Sums<TILES, HALVES> multiply(WeightStream<TILES, DEPTH>& weights,
                                                        Activations<HALVES>& activations, int K) {
    static_assert(DEPTH % AHEAD == 0, "a step's registers are known when the loop is unrolled");
    const int first = threadIdx.x / 32 * STEP, stride = SKINNY_WARPS * STEP;
    Sums<TILES, HALVES> sums = {};
    typename Activations<HALVES>::Step steps[AHEAD];
#pragma unroll
    for (int slot = 0; slot < AHEAD; slot++) {
        if (first + slot * stride < K) activations.load(steps[slot], first + slot * stride);
    }
#pragma unroll 1
    for (int cycle = first; cycle < K; cycle += DEPTH * stride) {
#pragma unroll
        for (int slot = 0; slot < DEPTH; slot++) {
            const int k = cycle + slot * stride;
            if (k >= K) break;
#pragma unroll
            for (int half = 0; half < HALVES; half++) {
                const uint4 x = activations.operands(steps[slot % AHEAD], half);
#pragma unroll
                for (int tile = 0; tile < TILES; tile += 2) {
                    const uint4 upper = weights.steps[slot][tile];
                    const uint4 lower = tile + 1 < TILES ? weights.steps[slot][tile + 1] : make_uint4(0, 0, 0, 0);
                    const unsigned near[4] = {upper.x, lower.x, upper.y, lower.y};
                    const unsigned far[4] = {upper.z, lower.z, upper.w, lower.w};
                    mma_bf16(sums.d[tile / 2][half], near, x.x, x.y);
                    mma_bf16(sums.d[tile / 2][half], far, x.z, x.w);
                }
            }
            if (k + AHEAD * stride < K) activations.load(steps[slot % AHEAD], k + AHEAD * stride);
            if (k + DEPTH * stride < K) weights.load(slot, k + DEPTH * stride);
        }
    }
    return sums;
}

// What the warps have summed, meeting in shared memory. ROWS is 8 or 16.
template <int TILES, int ROWS> struct WarpSums {
    float products[SKINNY_WARPS][TILES][ROWS][8];
    float squares[SKINNY_WARPS][ROWS];

    __device__ __forceinline__ void put(const Sums<TILES, ROWS / 8>& sums) {
        const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int row = 0; row < ROWS; row += 8) {
                const float* d = sums.d[tile / 2][row / 8] + tile % 2 * 2;
                products[warp][tile][row + 2 * c][g] = d[0];
                products[warp][tile][row + 2 * c + 1][g] = d[1];
            }
        }
    }

    __device__ __forceinline__ void put_squares(const float (&lane_squares)[ROWS / 8]) {
#pragma unroll
        for (int half = 0; half < ROWS / 8; half++) {
            float sum = lane_squares[half];
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            if (threadIdx.x % 4 == 0) squares[threadIdx.x / 32][threadIdx.x % 32 / 4 + half * 8] = sum;
        }
    }

    __device__ __forceinline__ float product(int tile, int row, int column) const {
        float sum = 0.0f;
#pragma unroll
        for (int warp = 0; warp < SKINNY_WARPS; warp++) sum += products[warp][tile][row][column];
        return sum;
    }

    __device__ __forceinline__ float inverse_rms(int row, int K) const {
        float sum = 0.0f;
#pragma unroll
        for (int warp = 0; warp < SKINNY_WARPS; warp++) sum += squares[warp][row];
        return rsqrtf(sum / K + RMS_EPS);
    }
};

// W's rows in tiles first_rows[..], times normed rows; returns when every warp's sums are in `shared`.
template <int DEPTH, int AHEAD, int TILES, int ROWS>
__device__ __forceinline__ void multiply_normed(WarpSums<TILES, ROWS>& shared, const bf16* W,
                                                const int (&first_rows)[TILES], int last_row, const float* x,
                                                const bf16* norm, const int* row_ids, int K, int rows) {
    grid_dependency_trigger();
    WeightStream<TILES, DEPTH> weights;
    weights.start(W, first_rows, last_row, K);
#pragma unroll 1
    for (int k = threadIdx.x * 64; k < K; k += SKINNY_THREADS * 64) prefetch_l2(norm + k);
    grid_dependency_wait();
    NormedRows<ROWS / 8> activations;
    activations.start(x, norm, row_ids, K, rows);
    shared.put(multiply<AHEAD>(weights, activations, K));
    shared.put_squares(activations.squares);
    __syncthreads();
}

__device__ __forceinline__ void store(float* out, float value) { *out = value; }

__device__ __forceinline__ void store(bf16* out, float value) { *out = static_cast<bf16>(pack_bf16(value, 0.0f)); }

template <int DEPTH, int AHEAD, int TILES, int ROWS, class Out>
__device__ __forceinline__ void normed_product(WarpSums<TILES, ROWS>& shared, const bf16* W, const float* x,
                                               const bf16* norm, const int* row_ids, Out* out, int N, int K,
                                               int rows) {
    constexpr int COLUMNS = TILES * 8;
    const int first_column = blockIdx.x * COLUMNS;
    int first_rows[TILES];
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) first_rows[tile] = first_column + tile * 8;
    multiply_normed<DEPTH, AHEAD>(shared, W, first_rows, N - 1, x, norm, row_ids, K, rows);
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * COLUMNS; i += SKINNY_THREADS) {
        const int row = i / COLUMNS, column = i % COLUMNS;
        if (first_column + column >= N) continue;
        store(out + static_cast<size_t>(row) * N + first_column + column,
              shared.product(column / 8, row, column % 8) * shared.inverse_rms(row, K));
    }
}

// Tiles of gate rows, then the tiles of up rows that go with them. Both are rounded to bf16, as if stored.
template <int DEPTH, int AHEAD, int TILES, int ROWS>
__device__ __forceinline__ void gated_product(WarpSums<TILES, ROWS>& shared, const bf16* W, const float* x,
                                              const bf16* norm, bf16* out, int N, int K, int rows) {
    constexpr int UP = TILES / 2, COLUMNS = UP * 8;
    const int first_column = blockIdx.x * COLUMNS;
    int first_rows[TILES];
#pragma unroll
    for (int tile = 0; tile < UP; tile++) {
        first_rows[tile] = first_column + tile * 8;
        first_rows[UP + tile] = N + first_column + tile * 8;
    }
    multiply_normed<DEPTH, AHEAD>(shared, W, first_rows, 2 * N - 1, x, norm, nullptr, K, rows);
    const int row = threadIdx.x / COLUMNS, column = threadIdx.x % COLUMNS;
    if (row >= rows || first_column + column >= N) return;
    const float inverse_rms = shared.inverse_rms(row, K);
    const float gate = round_to_bf16(shared.product(column / 8, row, column % 8) * inverse_rms);
    const float up = round_to_bf16(shared.product(UP + column / 8, row, column % 8) * inverse_rms);
    store(out + static_cast<size_t>(row) * N + first_column + column, silu_times(gate, up));
}

template <int DEPTH, int AHEAD, int ROWS>
__device__ __forceinline__ void added_product(WarpSums<1, ROWS>& shared, const bf16* W, const bf16* x,
                                              float* residual, int N, int K, int rows) {
    grid_dependency_trigger();
    const int first_rows[1] = {static_cast<int>(blockIdx.x) * 8};
    WeightStream<1, DEPTH> weights;
    weights.start(W, first_rows, N - 1, K);
    grid_dependency_wait();
    const int row = threadIdx.x / 8, column = first_rows[0] + threadIdx.x % 8;
    const bool has_output = row < rows && column < N;
    float* output = residual + static_cast<size_t>(row) * N + column;
    const float before = has_output ? *output : 0.0f;  // read now: it arrives while W does
    PlainRows<ROWS / 8> activations;
    activations.start(x, K, rows);
    shared.put(multiply<AHEAD>(weights, activations, K));
    __syncthreads();
    if (has_output) *output = before + shared.product(0, row, threadIdx.x % 8);
}

// DEPTH and AHEAD are as much as 128 registers hold: two blocks of one kernel share a multiprocessor.
#define SKINNY_KERNELS(ROWS, DEPTH, AHEAD, ADD_AHEAD)                                                            \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                              \
        skinny_qkv_##ROWS(const bf16* W, const float* x, const bf16* norm, bf16* out, int N, int K, int rows) {  \
        __shared__ WarpSums<4, ROWS> shared;                                                                     \
        normed_product<DEPTH, AHEAD>(shared, W, x, norm, nullptr, out, N, K, rows);                              \
    }                                                                                                            \
    EXPORT(skinny_qkv_##ROWS)                                                                                    \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                              \
        skinny_silu_##ROWS(const bf16* W, const float* x, const bf16* norm, bf16* out, int N, int K, int rows) { \
        __shared__ WarpSums<4, ROWS> shared;                                                                     \
        gated_product<DEPTH, AHEAD>(shared, W, x, norm, out, N, K, rows);                                        \
    }                                                                                                            \
    EXPORT(skinny_silu_##ROWS)                                                                                   \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                              \
        skinny_add_##ROWS(const bf16* W, const bf16* x, float* residual, int N, int K, int rows) {               \
        __shared__ WarpSums<1, ROWS> shared;                                                                     \
        added_product<8, ADD_AHEAD>(shared, W, x, residual, N, K, rows);                                         \
    }                                                                                                            \
    EXPORT(skinny_add_##ROWS)                                                                                    \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                              \
        skinny_logits_##ROWS(const bf16* W, const float* x, const bf16* norm, const int* row_ids, float* out,    \
                             int N, int K, int rows) {                                                           \
        __shared__ WarpSums<4, ROWS> shared;                                                                     \
        normed_product<DEPTH, AHEAD>(shared, W, x, norm, row_ids, out, N, K, rows);                              \
    }                                                                                                            \
    EXPORT(skinny_logits_##ROWS)

SKINNY_KERNELS(8, 4, 2, 4)
SKINNY_KERNELS(16, 3, 1, 2)
