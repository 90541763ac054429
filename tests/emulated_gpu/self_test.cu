// Kernels for the self tests of the emulated GPU: what must work, and what must be found out.
typedef unsigned short bf16;

__device__ __forceinline__ unsigned lane() { return threadIdx.x % 32; }

// out[kind][thread]
extern "C" __global__ void shuffles(float* out) {
    unsigned n = blockDim.x, t = threadIdx.x;
    float value = t * t;
    out[t] = __shfl_xor_sync(0xffffffffu, value, 5);
    out[n + t] = __shfl_sync(0xffffffffu, value, 7);
    out[2 * n + t] = __shfl_down_sync(0xffffffffu, value, 3);
    out[3 * n + t] = __ballot_sync(0xffffffffu, t % 3 == 0) >> 8;
    out[4 * n + t] = __shfl_xor_sync(0xffffffffu, make_float2(value, -value), 1).y;
}
EXPORT(shuffles)

// out[t] = in[n - 1 - t], by way of shared memory.
template <bool HAS_BARRIER> __device__ __forceinline__ void reverse_block(const int* in, int* out) {
    DYNAMIC_SHARED(int, values);
    unsigned n = blockDim.x, t = threadIdx.x, first = blockIdx.x * n;
    values[t] = in[first + t];
    if (HAS_BARRIER) __syncthreads();
    out[first + t] = values[n - 1 - t];
}
extern "C" __global__ void reverse(const int* in, int* out) { reverse_block<true>(in, out); }
EXPORT(reverse)
extern "C" __global__ void reverse_without_barrier(const int* in, int* out) { reverse_block<false>(in, out); }
EXPORT(reverse_without_barrier)

// In which order the blocks run.
extern "C" __global__ void arrivals(unsigned* counter, unsigned* out) {
    if (threadIdx.x == 0) out[blockIdx.x] = atomicInc(counter, gridDim.x - 1);
}
EXPORT(arrivals)

// The last block to finish adds up what all have written, and half of the threads end before the barrier.
extern "C" __global__ void last_block(unsigned* counter, int* partial, int* sum) {
    __shared__ unsigned arrived;
    if (threadIdx.x >= blockDim.x / 2) return;
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = blockIdx.x + 1;
        __threadfence();
        arrived = atomicInc(counter, gridDim.x - 1);
    }
    __syncthreads();
    if (arrived == gridDim.x - 1)
        for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x / 2) atomicAdd(sum, partial[i]);
}
EXPORT(last_block)

// d (16x8) = a (16x16, rows) * b (8 columns of 16), fragments loaded as the PTX manual says, element by element.
extern "C" __global__ void mma_by_elements(const bf16* a, const bf16* b, float* d) {
    unsigned fragment[4], group = lane() >> 2, in_group = lane() & 3;
    for (unsigned i = 0; i < 8; i++) {
        unsigned row = group + (i == 2 || i == 3 || i == 6 || i == 7 ? 8 : 0);
        unsigned col = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        if (i % 2 == 0) fragment[i / 2] = 0;
        fragment[i / 2] |= unsigned(a[row * 16 + col]) << 16 * (i % 2);
    }
    unsigned columns[2] = {0, 0};
    for (unsigned i = 0; i < 4; i++)
        columns[i / 2] |= unsigned(b[group * 16 + in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)]) << 16 * (i % 2);
    float sum[4] = {1, 1, 1, 1};
    emu_mma(sum, fragment, columns[0], columns[1]);
    for (unsigned i = 0; i < 4; i++) d[(group + (i >= 2 ? 8 : 0)) * 8 + in_group * 2 + (i & 1)] = sum[i];
}
EXPORT(mma_by_elements)

// d (16x16) = a (16x16, rows) * b (16x16; columns one after another, or transposed: rows), by ldmatrix.
extern "C" __global__ void mma_by_ldmatrix(const bf16* a, const bf16* b, float* d, bool b_has_rows) {
    __shared__ __align__(16) bf16 tile[2][16][24];
    for (unsigned i = lane(); i < 256; i += 32) {
        tile[0][i / 16][i % 16] = a[i];
        tile[1][i / 16][i % 16] = b[i];
    }
    __syncwarp();
    unsigned of_a[4], of_b[4], in_tile = lane() % 8, which = lane() / 8;
    // Matrices: rows 0-7 and 8-15 of a at k 0-7, then at k 8-15.
    emu_ldmatrix_x4(of_a, tile[0][in_tile + which % 2 * 8] + which / 2 * 8, false);
    // The fragments of columns 0-7 (both halves of k), then of columns 8-15.
    if (b_has_rows)
        emu_ldmatrix_x4(of_b, tile[1][in_tile + which % 2 * 8] + which / 2 * 8, true);
    else
        emu_ldmatrix_x4(of_b, tile[1][in_tile + which / 2 * 8] + which % 2 * 8, false);
    for (unsigned half = 0; half < 2; half++) {
        float sum[4] = {0, 0, 0, 0};
        emu_mma(sum, of_a, of_b[2 * half], of_b[2 * half + 1]);
        for (unsigned i = 0; i < 4; i++)
            d[(lane() / 4 + i / 2 * 8) * 16 + half * 8 + lane() % 4 * 2 + i % 2] = sum[i];
    }
}
EXPORT(mma_by_ldmatrix)

extern "C" __global__ void fill(int* out, int value, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = value;
}
EXPORT(fill)

// What shared memory holds when a block starts.
extern "C" __global__ void read_shared(float* out) {
    __shared__ float fixed[32];
    DYNAMIC_SHARED(float, dynamic);
    out[threadIdx.x] = threadIdx.x % 2 ? fixed[threadIdx.x] : dynamic[threadIdx.x];
    fixed[threadIdx.x] = dynamic[threadIdx.x] = 1;
}
EXPORT(read_shared)

// --- Mistakes -----------------------------------------------------------------------------------------------------

extern "C" __global__ void different_collectives(int* out) {
    if (threadIdx.x == 5)
        __syncwarp();
    else
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
}
EXPORT(different_collectives)

extern "C" __global__ void different_lines(int* out) {
    if (threadIdx.x == 5)
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
    else
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 2, 1);
}
EXPORT(different_lines)

extern "C" __global__ void lane_that_ended(int* out) {
    if (threadIdx.x == 40) return;
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
}
EXPORT(lane_that_ended)

extern "C" __global__ void different_barriers(int*) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
EXPORT(different_barriers)

extern "C" __global__ void part_of_the_mask(int* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1, 1); }
EXPORT(part_of_the_mask)

extern "C" __global__ void beyond_dynamic_shared(int*) {
    DYNAMIC_SHARED(int, values);
    values[threadIdx.x] = 0;
}
EXPORT(beyond_dynamic_shared)

extern "C" __global__ void beyond_fixed_shared(int* out) {
    __shared__ int values[32];
    values[threadIdx.x] = 1;
    out[0] = values[0];
}
EXPORT(beyond_fixed_shared)

extern "C" __global__ void misaligned_vector(int* out) {
    *reinterpret_cast<int4*>(out + 1) = make_int4(1, 2, 3, 4);
}
EXPORT(misaligned_vector)

extern "C" __global__ void misaligned_ldmatrix(int* out) {
    DYNAMIC_SHARED(bf16, values);
    unsigned r[4];
    emu_ldmatrix_x4(r, values + threadIdx.x, false);
    out[threadIdx.x] = r[0];
}
EXPORT(misaligned_ldmatrix)
