// The kernels that only move rows through registers: embed, rms_norm, silu_mul, argmax. All are bound by memory.

// The residual stream begins as the tokens' rows of the table. The step's argmax keys are cleared on the way,
// because this is the first kernel of a step and argmax the last.
extern "C" __global__ void __launch_bounds__(128)
    embed(const int* ids, const bf16* table, float* residual, unsigned long long* best, int num_best) {
    grid_dependency_trigger();
    grid_dependency_wait();
    const int token = blockIdx.x;
    if (token < num_best && threadIdx.x == 0) best[token] = 0;
    const bf16* from = table + static_cast<size_t>(ids[token]) * HIDDEN;
    float* to = residual + static_cast<size_t>(token) * HIDDEN;
#pragma unroll 1
    for (int i = threadIdx.x * 8; i < HIDDEN; i += 128 * 8) {
        const uint4 eight = *reinterpret_cast<const uint4*>(from + i);
        float4* out = reinterpret_cast<float4*>(to + i);
        out[0] = make_float4(low_bf16(eight.x), high_bf16(eight.x), low_bf16(eight.y), high_bf16(eight.y));
        out[1] = make_float4(low_bf16(eight.z), high_bf16(eight.z), low_bf16(eight.w), high_bf16(eight.w));
    }
}
EXPORT(embed)

// A row is read once, kept in registers between its sum of squares and its scaling.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm(const float* residual, const bf16* weight, const int* rows, bf16* out) {
    constexpr int ELEMENTS = 256 * 4, PASSES = (HIDDEN + ELEMENTS - 1) / ELEMENTS;
    __shared__ float warp_sums[8];
    grid_dependency_trigger();
    const int first = threadIdx.x * 4;
    uint2 weights[PASSES] = {};
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        const int i = first + pass * ELEMENTS;
        if (i < HIDDEN) weights[pass] = *reinterpret_cast<const uint2*>(weight + i);
    }
    grid_dependency_wait();
    const int row = rows ? rows[blockIdx.x] : blockIdx.x;
    float4 values[PASSES];
    float squares = 0.0f;
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        const int i = first + pass * ELEMENTS;
        values[pass] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (row >= 0 && i < HIDDEN) {
            values[pass] = *reinterpret_cast<const float4*>(residual + static_cast<size_t>(row) * HIDDEN + i);
        }
        const float4 v = values[pass];
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = squares;
    __syncthreads();
    float total = 0.0f;
    for (int warp = 0; warp < 8; warp++) total += warp_sums[warp];
    const float scale = rsqrtf(total / HIDDEN + RMS_EPS);
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        const int i = first + pass * ELEMENTS;
        if (i >= HIDDEN) break;
        const float4 v = values[pass];
        const uint2 w = weights[pass];
        *reinterpret_cast<uint2*>(out + static_cast<size_t>(blockIdx.x) * HIDDEN + i) =
            make_uint2(pack_bf16(v.x * scale * low_bf16(w.x), v.y * scale * high_bf16(w.x)),
                       pack_bf16(v.z * scale * low_bf16(w.y), v.w * scale * high_bf16(w.y)));
    }
}
EXPORT(rms_norm)

__device__ __forceinline__ unsigned silu_times_pair(unsigned gates, unsigned ups) {
    return pack_bf16(silu_times(low_bf16(gates), low_bf16(ups)), silu_times(high_bf16(gates), high_bf16(ups)));
}

extern "C" __global__ void __launch_bounds__(128) silu_mul(const bf16* gate_up, bf16* out, int num_rows) {
    grid_dependency_trigger();
    grid_dependency_wait();
    const int i = (blockIdx.x * 128 + threadIdx.x) * 8;
    if (i >= INTERMEDIATE) return;
    for (int row = blockIdx.y; row < num_rows; row += gridDim.y) {
        const bf16* gates = gate_up + static_cast<size_t>(row) * (2 * INTERMEDIATE) + i;
        const uint4 g = *reinterpret_cast<const uint4*>(gates);
        const uint4 u = *reinterpret_cast<const uint4*>(gates + INTERMEDIATE);
        *reinterpret_cast<uint4*>(out + static_cast<size_t>(row) * INTERMEDIATE + i) =
            make_uint4(silu_times_pair(g.x, u.x), silu_times_pair(g.y, u.y), silu_times_pair(g.z, u.z),
                       silu_times_pair(g.w, u.w));
    }
}
EXPORT(silu_mul)

struct Candidate {
    float value;
    int column;

    // Strictly greater: NaN and -inf never win, and of equals the first one offered stays.
    __device__ __forceinline__ void offer(float other, int other_column) {
        if (other > value) {
            value = other;
            column = other_column;
        }
    }

    // A number that orders as the value does and, of equal values, puts the lowest column first. Never 0 for a
    // finite value, so 0 says "nothing".
    __device__ __forceinline__ unsigned long long key() const {
        if (column < 0) return 0;
        const unsigned bits = __float_as_uint(value == 0.0f ? 0.0f : value);  // -0 and 0 are equal
        const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        return static_cast<unsigned long long>(ordered) << 32 | (0xffffffffu - column);
    }
};

// Splits of a row meet in one atomicMax each, so a few rows still occupy the whole GPU.
extern "C" __global__ void __launch_bounds__(256)
    argmax(const float* logits, unsigned long long* best, int vocab, int stride) {
    __shared__ unsigned long long warp_keys[8];
    grid_dependency_trigger();
    grid_dependency_wait();
    const float* row = logits + static_cast<size_t>(blockIdx.x) * stride;
    const int splits = gridDim.y, part = (vocab + splits * 4 - 1) / (splits * 4) * 4;
    const int begin = blockIdx.y * part, end = begin + part < vocab ? begin + part : vocab;
    const int scalar_begin = begin >= end ? end : stride % 4 == 0 ? begin + (end - begin) / 4 * 4 : begin;
    Candidate winner = {__uint_as_float(0xff800000u), -1};  // -inf
#pragma unroll 4
    for (int i = begin + threadIdx.x * 4; i < scalar_begin; i += 256 * 4) {
        const float4 four = *reinterpret_cast<const float4*>(row + i);
        winner.offer(four.x, i);
        winner.offer(four.y, i + 1);
        winner.offer(four.z, i + 2);
        winner.offer(four.w, i + 3);
    }
#pragma unroll 1
    for (int i = scalar_begin + threadIdx.x; i < end; i += 256) winner.offer(row[i], i);

    unsigned long long key = winner.key();
    for (int distance = 16; distance > 0; distance /= 2) {
        const unsigned long long other = __shfl_xor_sync(ALL_LANES, key, distance);
        key = other > key ? other : key;
    }
    if (threadIdx.x % 32 == 0) warp_keys[threadIdx.x / 32] = key;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < 8; warp++) key = warp_keys[warp] > key ? warp_keys[warp] : key;
    if (key != 0) atomicMax(best + blockIdx.x, key);
}
EXPORT(argmax)
