// What a CUDA source sees when g++ compiles it to run on the CPU, thread by thread, with real numbers and no speed.
//
// Compile:   g++ -x c++ -std=c++17 -O2 -fPIC -shared -Wl,-Bsymbolic -fno-strict-aliasing -fno-gnu-unique
//                -fsanitize=alignment,bounds -fno-sanitize-recover=all       (optional: misaligned vectors, overruns)
//                -DFIDELIO_EMULATED -include emulated_cuda.h [-DHEAD_DIM=64 …] kernels.cu -o kernels.so
// Run:       every `EXPORT(k)` of the source makes `k__bind`. After dlopen(kernels.so), call
//                void* closure = k__bind(params);    // params[i] points to argument i, as for cuLaunchKernel; copied
//                emulated_run(closure, gx, gy, gz, bx, by, bz, shared_bytes);          // as often as you like
//                emulated_free(closure);
//            Pointers among the arguments are addresses of ordinary memory.
// Seed:      EMULATED_GPU_SEED draws the order of blocks, warps and lanes; it is read at every run.
// Errors:    threads that cannot meet, writes beyond dynamic shared memory and the like are told on stderr, with
//            the kernel, block and thread, and abort the process.
// Poison:    shared memory is NaN when a block starts (__shared__ arrays within templates are not: g++ ignores the
//            section of those; ldmatrix refuses them for the same reason).
#pragma once

#include "emulated_block.h"
#include "emulated_tensor.h"

#include <math.h>
#include <tuple>
#include <type_traits>

// NVRTC has no headers: a source that uses their macros must fail here too.
#undef INFINITY
#undef NAN
#undef HUGE_VALF

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("emulated_shared")))
#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(emulated::launch.dynamic_shared)

#define threadIdx (emulated::running->index)
#define blockIdx (emulated::launch.block)
#define blockDim (emulated::launch.block_size)
#define gridDim (emulated::launch.grid)

struct __align__(8) int2 { int x, y; };
struct __align__(16) int4 { int x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };

inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// --- What threads do together -------------------------------------------------------------------------------------

namespace emulated {
namespace {

inline unsigned lane_id() { return static_cast<unsigned>(running - threads) % WARP; }

inline void require_full(unsigned mask) {
    if (mask != 0xFFFFFFFF) fail(running, "only collectives of the full warp are emulated");
}

template <class T> struct ShuffleOperands {
    T value;
    unsigned source;
};

template <class T> void complete_shuffle(void* const* lanes) {
    T values[WARP];
    for (unsigned lane = 0; lane < WARP; lane++) values[lane] = static_cast<ShuffleOperands<T>*>(lanes[lane])->value;
    for (unsigned lane = 0; lane < WARP; lane++) {
        auto* operands = static_cast<ShuffleOperands<T>*>(lanes[lane]);
        operands->value = values[operands->source];
    }
}

template <class T> const Collective SHUFFLE{"__shfl_sync", complete_shuffle<T>};
template <class T> const Collective SHUFFLE_XOR{"__shfl_xor_sync", complete_shuffle<T>};
template <class T> const Collective SHUFFLE_DOWN{"__shfl_down_sync", complete_shuffle<T>};

template <class T> T shuffle(const Collective& kind, Site site, unsigned mask, T value, unsigned source) {
    require_full(mask);
    ShuffleOperands<T> operands{value, source % WARP};
    meet(kind, site, &operands);
    return operands.value;
}

struct BallotOperands {
    bool vote;
    unsigned votes;
};

inline void complete_ballot(void* const* lanes) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < WARP; lane++)
        votes |= static_cast<unsigned>(static_cast<BallotOperands*>(lanes[lane])->vote) << lane;
    for (unsigned lane = 0; lane < WARP; lane++) static_cast<BallotOperands*>(lanes[lane])->votes = votes;
}

const Collective BALLOT{"__ballot_sync", complete_ballot};
const Collective WARP_BARRIER{"__syncwarp", [](void* const*) {}};

} // namespace
} // namespace emulated

inline void __syncthreads(emulated::Site site = emulated::Site()) { emulated::meet(emulated::BARRIER, site, nullptr); }

inline void __syncwarp(unsigned mask = 0xFFFFFFFF, emulated::Site site = emulated::Site()) {
    emulated::require_full(mask);
    emulated::meet(emulated::WARP_BARRIER, site, nullptr);
}

template <class T> T __shfl_sync(unsigned mask, T value, int lane, emulated::Site site = emulated::Site()) {
    return emulated::shuffle(emulated::SHUFFLE<T>, site, mask, value, unsigned(lane));
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int flip, emulated::Site site = emulated::Site()) {
    return emulated::shuffle(emulated::SHUFFLE_XOR<T>, site, mask, value, emulated::lane_id() ^ unsigned(flip));
}

// Lanes whose source lies beyond the warp keep their own value.
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, emulated::Site site = emulated::Site()) {
    unsigned lane = emulated::lane_id(), source = lane + by < emulated::WARP ? lane + by : lane;
    return emulated::shuffle(emulated::SHUFFLE_DOWN<T>, site, mask, value, source);
}

inline unsigned __ballot_sync(unsigned mask, bool vote, emulated::Site site = emulated::Site()) {
    emulated::require_full(mask);
    emulated::BallotOperands operands{vote, 0};
    emulated::meet(emulated::BALLOT, site, &operands);
    return operands.votes;
}

// --- What a thread does alone; threads never run at once, so that plain code is atomic -----------------------------

template <class T> T atomicAdd(T* address, std::common_type_t<T> value) {
    T old = *address;
    *address = old + value;
    return old;
}

template <class T> T atomicMax(T* address, std::common_type_t<T> value) {
    T old = *address;
    if (value > old) *address = value;
    return old;
}

inline unsigned atomicInc(unsigned* address, unsigned last) {
    unsigned old = *address;
    *address = old >= last ? 0 : old + 1;
    return old;
}

inline void __threadfence() {}
template <class T> T __ldg(const T* address) { return *address; }

template <class To, class From> To emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float value) { return emulated_bits<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return emulated_bits<float>(bits); }
inline int __float_as_int(float value) { return emulated_bits<int>(value); }
inline float __int_as_float(int bits) { return emulated_bits<float>(bits); }

inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }

// --- How the host launches a kernel -------------------------------------------------------------------------------

namespace emulated {
namespace {

template <class... Arguments> struct BoundKernel : Closure {
    void (*kernel)(Arguments...);
    std::tuple<Arguments...> arguments;

    template <size_t... I>
    BoundKernel(const char* name, void (*kernel)(Arguments...), void** params, std::index_sequence<I...>)
        : Closure(name), kernel(kernel), arguments(*static_cast<Arguments*>(params[I])...) {}

    void run() const override { std::apply(kernel, arguments); }
};

template <class... Arguments> Closure* bind(const char* name, void (*kernel)(Arguments...), void** params) {
    return new BoundKernel<Arguments...>(name, kernel, params, std::index_sequence_for<Arguments...>());
}

} // namespace
} // namespace emulated

#define EXPORT(kernel)                                                                                               \
    extern "C" __attribute__((visibility("default"))) void* kernel##__bind(void** params) {                          \
        return emulated::bind(#kernel, kernel, params);                                                              \
    }

extern "C" {

__attribute__((visibility("default"))) void emulated_run(void* closure, unsigned gx, unsigned gy, unsigned gz,
                                                         unsigned bx, unsigned by, unsigned bz,
                                                         unsigned shared_bytes) {
    emulated::run_launch(static_cast<emulated::Closure*>(closure), {gx, gy, gz}, {bx, by, bz}, shared_bytes);
}

__attribute__((visibility("default"))) void emulated_free(void* closure) {
    delete static_cast<emulated::Closure*>(closure);
}
}
