// What all kernels are written in: bf16, a wrapper for each instruction that C++ has no word for, shared steps.
//
// The kernels are one source, compiled twice: by NVRTC for the GPU at hand, with the model's shape as macros (so
// loops over heads and dimensions unroll), and by g++ with FIDELIO_EMULATED for tests that run every thread on the
// CPU.
//
// Programmatic dependent launch lets a kernel start while its predecessor drains. What a kernel of the step has
// written is therefore read through plain pointers, after grid_dependency_wait(), and never through `const
// __restrict__`: such loads, "read-only for the whole kernel", the compiler may move above the wait.

typedef unsigned short bf16;

constexpr int GROUP = NUM_Q_HEADS / NUM_KV_HEADS;  // query heads that share a key and value head
constexpr int QKV_WIDTH = (NUM_Q_HEADS + 2 * NUM_KV_HEADS) * HEAD_DIM;
constexpr int KEYS_AT = NUM_Q_HEADS * HEAD_DIM;  // where a row of qkv has its keys, and its values
constexpr int VALUES_AT = (NUM_Q_HEADS + NUM_KV_HEADS) * HEAD_DIM;

static_assert(HEAD_DIM == 64 || HEAD_DIM == 128, "the kernels are laid out for heads of 64 and 128");
static_assert(NUM_Q_HEADS % NUM_KV_HEADS == 0 && GROUP <= 8, "a group of query heads is one mma tile, 8 wide");
static_assert(HIDDEN % 32 == 0 && INTERMEDIATE % 32 == 0, "rows are multiplied 32 elements at a time");

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr float MASKED = -1e30f;  // a score that never counts; finite, so that MASKED - MASKED is 0 and not NaN
// Scores are kept in units of log2: 1/sqrt(HEAD_DIM) and log2(e) in one factor, exp2f is one instruction.
constexpr float SCORE_SCALE = (HEAD_DIM == 64 ? 0.125f : 0.08838834764831845f) * 1.4426950408889634f;

#ifdef FIDELIO_EMULATED

__device__ __forceinline__ unsigned rounded_bf16(float value) {
    const unsigned bits = __float_as_uint(value);
    return value != value ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
    return rounded_bf16(low) | rounded_bf16(high) << 16;
}

__device__ __forceinline__ void mma_bf16(float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
    emu_mma(d, a, b0, b1);
}

__device__ __forceinline__ void ldmatrix_x4(unsigned r[4], const void* shared_row) {
    emu_ldmatrix_x4(r, shared_row, false);
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned r[4], const void* shared_row) {
    emu_ldmatrix_x4(r, shared_row, true);
}

__device__ __forceinline__ unsigned transpose_8x8(unsigned row_pair) {
    const int lane = threadIdx.x % 32, row = lane / 4, column = lane % 4 * 2;
    const unsigned first = __shfl_sync(ALL_LANES, row_pair, column * 4 + row / 2) >> 16 * (row % 2);
    const unsigned second = __shfl_sync(ALL_LANES, row_pair, column * 4 + 4 + row / 2) >> 16 * (row % 2);
    return (first & 0xffffu) | second << 16;
}

__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
    *static_cast<uint4*>(shared) = valid ? *static_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ void copy_async_commit() {}

template <int GROUPS_LEFT> __device__ __forceinline__ void copy_async_wait() {}

__device__ __forceinline__ uint4 load_once(const void* global) { return *static_cast<const uint4*>(global); }

__device__ __forceinline__ int load_now(const int* global) { return *global; }

__device__ __forceinline__ void prefetch_l2(const void*) {}

#else

#define EXPORT(kernel)
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]

__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
    unsigned packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// d (16 x 8) += a (16 x 16) * b (16 x 8). Lane (g, c) = (lane / 4, lane % 4) holds of a: rows g and g + 8 at k 2c
// and 2c + 1, then both at k 2c + 8 and 2c + 9; of b: column g at those k; of d: row g at columns 2c and 2c + 1,
// then row g + 8.
__device__ __forceinline__ void mma_bf16(float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

__device__ __forceinline__ void ldmatrix_x4(unsigned r[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row))
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned r[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row))
                 : "memory");
}

// An 8 x 8 matrix of bf16 held by a warp, lane (g, c) having row g at columns 2c, 2c + 1, becomes its transpose.
__device__ __forceinline__ unsigned transpose_8x8(unsigned row_pair) {
    unsigned transposed;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(row_pair));
    return transposed;
}

// Zeros where !valid; `global` is not read then.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int GROUPS_LEFT> __device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS_LEFT) : "memory");
}

// 16 bytes of a weight: read once by the whole grid, so L1 is left to the activations. Not `.nc`: ptxas, which knows
// no volatile, takes a read-only load past grid_dependency_wait(), and leaves this one before it.
__device__ __forceinline__ uint4 load_once(const void* global) {
    uint4 value;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(global));
    return value;
}

// A word of the step's, issued where it is written: ptxas moves a weak load past a branch that only needs another
// one, and the two are waited for one after the other. L1 serves this scope: every warp of a block reads the word.
__device__ __forceinline__ int load_now(const int* global) {
    int value;
    asm volatile("ld.relaxed.cta.global.b32 %0, [%1];" : "=r"(value) : "l"(global));
    return value;
}

__device__ __forceinline__ void prefetch_l2(const void* global) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}

#endif

// Lets the next kernel of the stream start as soon as every block of this one has got here.
__device__ __forceinline__ void grid_dependency_trigger() {
#if !defined(FIDELIO_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits until the kernels before this one have finished and their writes can be seen.
__device__ __forceinline__ void grid_dependency_wait() {
#if !defined(FIDELIO_EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }

__device__ __forceinline__ float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ __forceinline__ float round_to_bf16(float value) { return low_bf16(pack_bf16(value, 0.0f)); }

__device__ __forceinline__ unsigned low_halves(unsigned a, unsigned b) { return (a & 0xffffu) | b << 16; }

__device__ __forceinline__ unsigned high_halves(unsigned a, unsigned b) { return a >> 16 | (b & 0xffff0000u); }

__device__ __forceinline__ unsigned word(const uint4& words, int i) {
    return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

__device__ __forceinline__ float warp_sum(float value) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

__device__ __forceinline__ float silu_times(float gate, float up) { return gate / (1.0f + __expf(-gate)) * up; }

// The row of HEAD_DIM elements in which a layer's key or value cache keeps one token of one head.
__device__ __forceinline__ int cache_row(int block, int offset, int kv_head) {
    return (block * NUM_KV_HEADS + kv_head) * BLOCK_SIZE + offset;
}

__device__ __forceinline__ int cache_row_of_slot(int slot, int kv_head) {
    return cache_row(slot / BLOCK_SIZE, slot % BLOCK_SIZE, kv_head);
}

__device__ __forceinline__ int cache_row_of_key(const int* blocks, int key, int kv_head) {
    return cache_row(blocks[key / BLOCK_SIZE], key % BLOCK_SIZE, kv_head);
}

// One warp: the head's RMS norm times `weight`, then its rotation by the position whose (cos, sin) are `angles`.
// A lane reads and writes the same elements, so `destination` may be `head`.
__device__ __forceinline__ void norm_and_rotate(const bf16* head, const bf16* weight, const float2* angles,
                                                bf16* destination) {
    constexpr int HALF = HEAD_DIM / 2;  // element i is rotated with element i + HALF
    const int i = threadIdx.x % 32 * 2;
    const bool has_elements = i < HALF;  // every lane has, unless HEAD_DIM is 64
    unsigned near = 0, far = 0, near_weight = 0, far_weight = 0;
    float4 turn = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (has_elements) {
        near = *reinterpret_cast<const unsigned*>(head + i);
        far = *reinterpret_cast<const unsigned*>(head + HALF + i);
        near_weight = *reinterpret_cast<const unsigned*>(weight + i);
        far_weight = *reinterpret_cast<const unsigned*>(weight + HALF + i);
        turn = *reinterpret_cast<const float4*>(angles + i);
    }
    const float a = low_bf16(near), b = high_bf16(near), c = low_bf16(far), d = high_bf16(far);
    const float scale = rsqrtf(warp_sum(a * a + b * b + c * c + d * d) / HEAD_DIM + RMS_EPS);
    if (!has_elements) return;
    const float x0 = a * scale * low_bf16(near_weight), x1 = b * scale * high_bf16(near_weight);
    const float y0 = c * scale * low_bf16(far_weight), y1 = d * scale * high_bf16(far_weight);
    *reinterpret_cast<unsigned*>(destination + i) =
        pack_bf16(x0 * turn.x - y0 * turn.y, x1 * turn.z - y1 * turn.w);
    *reinterpret_cast<unsigned*>(destination + HALF + i) =
        pack_bf16(y0 * turn.x + x0 * turn.y, y1 * turn.z + x1 * turn.w);
}
