// Attention over disjoint keys, computed in parts, becomes one: of a block's warps, then of a sequence's blocks.

__device__ __forceinline__ float4 scaled(const float4& v, float factor) {
    return make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
}

// Several softmaxes over disjoint keys as one: the value is not yet divided by the sum.
struct Merged {
    float max, sum;
    float4 value;
};

// The loads of AT_ONCE parts are in flight together.
template <int AT_ONCE>
__device__ __forceinline__ Merged merge(const float2* max_sum, const float* values, int count, int max_sum_stride,
                                        int values_stride) {
    Merged merged = {MASKED, 0.0f, make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
#pragma unroll 1
    for (int first = 0; first < count; first += AT_ONCE) {
        float2 parts[AT_ONCE];
        float4 part_values[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const int part = min(first + i, count - 1);
            parts[i] = max_sum[part * max_sum_stride];
            part_values[i] = *reinterpret_cast<const float4*>(values + part * values_stride);
        }
        const float before = merged.max;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) merged.max = fmaxf(merged.max, parts[i].x);
        const float keep = exp2f(before - merged.max);
        merged.sum *= keep;
        merged.value = scaled(merged.value, keep);
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const float weight = first + i < count ? exp2f(parts[i].x - merged.max) : 0.0f;
            merged.sum += parts[i].y * weight;
            merged.value.x += part_values[i].x * weight;
            merged.value.y += part_values[i].y * weight;
            merged.value.z += part_values[i].z * weight;
            merged.value.w += part_values[i].w * weight;
        }
    }
    return merged;
}

__device__ __forceinline__ void store_quotient(bf16* out, const Merged& merged) {
    const float4 value = scaled(merged.value, 1.0f / merged.sum);
    *reinterpret_cast<uint2*>(out) = make_uint2(pack_bf16(value.x, value.y), pack_bf16(value.z, value.w));
}

// Whether this block is the last of `blocks` to arrive; it may then read what all wrote before they arrived. The
// fences of one thread do for its block: a barrier puts the others' accesses before the first or after the second.
__device__ __forceinline__ bool is_last_arrival(bool& is_last, unsigned* counter, int blocks) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        is_last = atomicInc(counter, blocks - 1) == static_cast<unsigned>(blocks - 1);
        __threadfence();
    }
    __syncthreads();
    return is_last;
}
