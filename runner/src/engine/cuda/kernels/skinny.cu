// Products of a few rows (decode: 1 to 16) with a weight matrix, W [N][K]: bound by reading W once, so built to stream it.
//
// A block owns some tiles of 8 rows of W, its 8 warps share K out in steps of 32. A tile is the right operand of mma,
// the activations the left one. The order in which a product sums is free, so lane (g, c) = (lane / 4, lane % 4) loads
// 16 consecutive bytes of W's row g and of the activations' rows g and g + 8, and has its share of two mma without any
// exchange or shared memory. Loads of W run DEPTH steps ahead, and start before the previous kernel has ended.
// The RMS norm is fused: its weight is applied to the activations on the way in, and 1 / rms, a factor of the row, to
// the sums at the end, when the squares have been gathered too.
//
// Columns of `out` a block computes; each makes 32 KB of W in flight for K = 1024, o's and down's K twice and thrice that:
// HOST: SKINNY_QKV_COLUMNS 16
// HOST: SKINNY_SILU_COLUMNS 8
// HOST: SKINNY_ADD_COLUMNS 8
// HOST: SKINNY_LOGITS_COLUMNS 32

constexpr int SKINNY_WARPS = 8;
constexpr int SKINNY_THREADS = SKINNY_WARPS * 32;
constexpr int STEP = 32;  // elements of K: 4 lanes * 8

// W's tiles, DEPTH steps of this warp ahead of their use.
template <int TILES, int DEPTH> struct WeightStream {
    const bf16* rows[TILES];  // where the lane's next load is, in its row of each tile
    uint4 steps[DEPTH][TILES];

    // `first_rows` are the tiles' first rows; rows past the last are read as the last and dropped in the end.
    __device__ __forceinline__ void start(const bf16* W, const int (&first_rows)[TILES], int last_row, int K) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            const int row = min(first_rows[tile] + lane / 4, last_row);
            rows[tile] = W + static_cast<size_t>(row) * K + lane % 4 * 8;
        }
#pragma unroll
        for (int slot = 0; slot < DEPTH; slot++) {
            const int k = (warp + slot * SKINNY_WARPS) * STEP;
            if (k < K) load(slot, k);
        }
    }

    __device__ __forceinline__ void load(int slot, int k) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) steps[slot][tile] = load_once(rows[tile] + k);
    }
};

// Activations that still need their RMS norm. HALVES is 1 for up to 8 rows: nothing is loaded or held for rows 8 to 15.
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

    // The left operands of the step's two mma.
    __device__ __forceinline__ void fragments(const Step& step, unsigned (&a)[2][4]) {
        const unsigned norms[2][2] = {{step.norm.x, step.norm.y}, {step.norm.z, step.norm.w}};
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float4 x = step.x[half][i];
                squares[half] += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
                a[i][half] = pack_bf16(x.x * low_bf16(norms[i][0]), x.y * high_bf16(norms[i][0]));
                a[i][2 + half] = pack_bf16(x.z * low_bf16(norms[i][1]), x.w * high_bf16(norms[i][1]));
            }
        }
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

    __device__ __forceinline__ void fragments(const Step& step, unsigned (&a)[2][4]) {
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            a[0][half] = step.x[half].x;
            a[0][2 + half] = step.x[half].y;
            a[1][half] = step.x[half].z;
            a[1][2 + half] = step.x[half].w;
        }
    }
};

// sums[tile]: rows g and g + 8 with the tile's columns 2c and 2c + 1, of this warp's steps.
template <int TILES, int DEPTH, class Activations>
__device__ __forceinline__ void multiply(WeightStream<TILES, DEPTH>& weights, Activations& activations, int K,
                                         float (&sums)[TILES][4]) {
    static_assert(DEPTH % 2 == 0, "activations run 2 steps ahead: they come from L2, weights from memory");
    const int first = threadIdx.x / 32 * STEP, stride = SKINNY_WARPS * STEP;
    typename Activations::Step steps[2];
    if (first < K) activations.load(steps[0], first);
    if (first + stride < K) activations.load(steps[1], first + stride);
    for (int block_k = first; block_k < K; block_k += DEPTH * stride) {
#pragma unroll
        for (int slot = 0; slot < DEPTH; slot++) {
            const int k = block_k + slot * stride;
            if (k >= K) break;
            unsigned a[2][4] = {};
            activations.fragments(steps[slot % 2], a);
            if (k + 2 * stride < K) activations.load(steps[slot % 2], k + 2 * stride);
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                const uint4 weight = weights.steps[slot][tile];
                mma_bf16(sums[tile], a[0], weight.x, weight.y);
                mma_bf16(sums[tile], a[1], weight.z, weight.w);
            }
            if (k + DEPTH * stride < K) weights.load(slot, k + DEPTH * stride);
        }
    }
}

// What the warps have summed, meeting in shared memory. ROWS is 8 or 16.
template <int TILES, int ROWS> struct WarpSums {
    float2 products[SKINNY_WARPS][TILES][ROWS][4];  // of two columns each
    float squares[SKINNY_WARPS][ROWS];

    __device__ __forceinline__ void put(const float (&sums)[TILES][4]) {
        const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int half = 0; half < ROWS / 8; half++) {
                products[warp][tile][g + half * 8][c] = make_float2(sums[tile][2 * half], sums[tile][2 * half + 1]);
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
        for (int warp = 0; warp < SKINNY_WARPS; warp++) {
            const float2 pair = products[warp][tile][row][column / 2];
            sum += column % 2 == 0 ? pair.x : pair.y;
        }
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
template <int TILES, int DEPTH, int ROWS>
__device__ __forceinline__ void multiply_normed(WarpSums<TILES, ROWS>& shared, const bf16* W,
                                                const int (&first_rows)[TILES], int last_row, const float* x,
                                                const bf16* norm, const int* row_ids, int K, int rows) {
    grid_dependency_trigger();
    WeightStream<TILES, DEPTH> weights;
    weights.start(W, first_rows, last_row, K);
    for (int k = threadIdx.x * 64; k < K; k += SKINNY_THREADS * 64) prefetch_l2(norm + k);
    grid_dependency_wait();
    NormedRows<ROWS / 8> activations;
    activations.start(x, norm, row_ids, K, rows);
    float sums[TILES][4] = {};
    multiply(weights, activations, K, sums);
    shared.put(sums);
    shared.put_squares(activations.squares);
    __syncthreads();
}

__device__ __forceinline__ void store(float* out, float value) { *out = value; }

__device__ __forceinline__ void store(bf16* out, float value) { *out = static_cast<bf16>(pack_bf16(value, 0.0f)); }

template <int TILES, int DEPTH, int ROWS, class Out>
__device__ __forceinline__ void normed_product(WarpSums<TILES, ROWS>& shared, const bf16* W, const float* x,
                                               const bf16* norm, const int* row_ids, Out* out, int N, int K,
                                               int rows) {
    constexpr int COLUMNS = TILES * 8;
    const int first_column = blockIdx.x * COLUMNS;
    int first_rows[TILES];
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) first_rows[tile] = first_column + tile * 8;
    multiply_normed<TILES, DEPTH>(shared, W, first_rows, N - 1, x, norm, row_ids, K, rows);
    for (int i = threadIdx.x; i < rows * COLUMNS; i += SKINNY_THREADS) {
        const int row = i / COLUMNS, column = i % COLUMNS;
        if (first_column + column >= N) continue;
        store(out + static_cast<size_t>(row) * N + first_column + column,
              shared.product(column / 8, row, column % 8) * shared.inverse_rms(row, K));
    }
}

// A tile of gate rows and the tile of up rows that goes with it. Both are rounded to bf16, as if they had been stored.
template <int DEPTH, int ROWS>
__device__ __forceinline__ void gated_product(WarpSums<2, ROWS>& shared, const bf16* W, const float* x,
                                              const bf16* norm, bf16* out, int N, int K, int rows) {
    const int first_column = blockIdx.x * 8, first_rows[2] = {first_column, N + first_column};
    multiply_normed<2, DEPTH>(shared, W, first_rows, 2 * N - 1, x, norm, nullptr, K, rows);
    const int row = threadIdx.x / 8, column = threadIdx.x % 8;
    if (row >= rows || first_column + column >= N) return;
    const float inverse_rms = shared.inverse_rms(row, K);
    const float gate = round_to_bf16(shared.product(0, row, column) * inverse_rms);
    const float up = round_to_bf16(shared.product(1, row, column) * inverse_rms);
    store(out + static_cast<size_t>(row) * N + first_column + column, silu_times(gate, up));
}

template <int DEPTH, int ROWS>
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
    float sums[1][4] = {};
    multiply(weights, activations, K, sums);
    shared.put(sums);
    __syncthreads();
    if (has_output) *output = before + shared.product(0, row, threadIdx.x % 8);
}

// DEPTH * tiles is 8, or 16 where few blocks share a multiprocessor: loads in flight are paid for in registers.
#define SKINNY_KERNELS(ROWS, LOGITS_DEPTH)                                                                        \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                               \
        skinny_qkv_##ROWS(const bf16* W, const float* x, const bf16* norm, bf16* out, int N, int K, int rows) {   \
        __shared__ WarpSums<2, ROWS> shared;                                                                      \
        normed_product<2, 4>(shared, W, x, norm, nullptr, out, N, K, rows);                                       \
    }                                                                                                             \
    EXPORT(skinny_qkv_##ROWS)                                                                                     \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                               \
        skinny_silu_##ROWS(const bf16* W, const float* x, const bf16* norm, bf16* out, int N, int K, int rows) {  \
        __shared__ WarpSums<2, ROWS> shared;                                                                      \
        gated_product<4>(shared, W, x, norm, out, N, K, rows);                                                    \
    }                                                                                                             \
    EXPORT(skinny_silu_##ROWS)                                                                                    \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                               \
        skinny_add_##ROWS(const bf16* W, const bf16* x, float* residual, int N, int K, int rows) {                \
        __shared__ WarpSums<1, ROWS> shared;                                                                      \
        added_product<8>(shared, W, x, residual, N, K, rows);                                                     \
    }                                                                                                             \
    EXPORT(skinny_add_##ROWS)                                                                                     \
    extern "C" __global__ void __launch_bounds__(SKINNY_THREADS, 2)                                               \
        skinny_logits_##ROWS(const bf16* W, const float* x, const bf16* norm, const int* row_ids, float* out,     \
                             int N, int K, int rows) {                                                            \
        __shared__ WarpSums<4, ROWS> shared;                                                                      \
        normed_product<4, LOGITS_DEPTH>(shared, W, x, norm, row_ids, out, N, K, rows);                            \
    }                                                                                                             \
    EXPORT(skinny_logits_##ROWS)

SKINNY_KERNELS(8, 4)
SKINNY_KERNELS(16, 2)
