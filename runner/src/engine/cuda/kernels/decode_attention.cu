// Attention of decode rows, one new token per sequence, over the paged cache, read once and at the memory's rate.
//
// A block serves one key head, so all query heads of its group share what it reads. Both products run on the
// tensor cores with keys, then dimensions, as the 16 rows and the group's heads as the 8 columns:
//     scores (keys x heads) = K * Q^T,    output (dimensions x heads) = V^T * P^T.
// Their operands come straight from 16-byte loads, without shared memory: the order in which a product sums is
// free, so a lane's 8 consecutive elements of a key serve as its share of two mma; and pairing the elements of two
// values makes V^T in registers. A lane is (g, c) = (lane / 4, lane % 4), as mma has it.

constexpr int DECODE_WARPS = 4;
constexpr int TILE_KEYS = 16;           // of one warp at a time
constexpr int K_LOADS = HEAD_DIM / 32;  // a lane's 16-byte loads of a key: 4 lanes share a key
constexpr int V_LOADS = HEAD_DIM / 64;  // and of a value: 8 lanes share it

// Both are filled long before they are used, and refilled as soon as they have been: 8 KB a warp in flight.
struct KeyTile {
    uint4 low[K_LOADS], high[K_LOADS];  // dimensions 32 i + 8 c.. of keys g and g + 8
};

struct ValueTile {
    uint4 of_key[4][V_LOADS];  // dimensions 64 i + 8 g.. of keys 2c, 2c + 1, 2c + 8, 2c + 9
};

// A warp's running softmax of heads 2c and 2c + 1.
struct HeadPair {
    float max[2], sum[2];            // `sum` is of this lane's keys only, until the end
    float output[HEAD_DIM / 16][4];  // [4 i + j]: dimensions 64 i + 8 g + 2 j and the next, each of both heads
};

// `row` is the cache row of key `lane % 16`: every lane looks one up, ahead of time, and they are dealt out here.
__device__ __forceinline__ void load_keys(KeyTile& keys, const bf16* k_cache, int row) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
    const size_t low_row = __shfl_sync(ALL_LANES, row, g), high_row = __shfl_sync(ALL_LANES, row, g + 8);
    const uint4* low = reinterpret_cast<const uint4*>(k_cache + low_row * HEAD_DIM) + c;
    const uint4* high = reinterpret_cast<const uint4*>(k_cache + high_row * HEAD_DIM) + c;
#pragma unroll
    for (int i = 0; i < K_LOADS; i++) {
        keys.low[i] = low[4 * i];
        keys.high[i] = high[4 * i];
    }
}

__device__ __forceinline__ void load_values(ValueTile& values, const bf16* v_cache, int row) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
    for (int key = 0; key < 4; key++) {
        const size_t value_row = __shfl_sync(ALL_LANES, row, 2 * c + key % 2 + key / 2 * 8);
        const uint4* value = reinterpret_cast<const uint4*>(v_cache + value_row * HEAD_DIM) + g;
#pragma unroll
        for (int i = 0; i < V_LOADS; i++) values.of_key[key][i] = value[8 * i];
    }
}

// scores[0..2]: key g with heads 2c and 2c + 1; scores[2..4]: key g + 8. There are two chains of mma, because each
// mma waits for the one it adds to.
__device__ __forceinline__ void score_tile(float scores[4], const KeyTile& keys, const uint4 (&query)[K_LOADS]) {
    float other[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < 4; i++) scores[i] = 0.0f;
#pragma unroll
    for (int i = 0; i < K_LOADS; i++) {
        const uint4 low = keys.low[i], high = keys.high[i];
        const unsigned first_half[4] = {low.x, high.x, low.y, high.y};
        const unsigned second_half[4] = {low.z, high.z, low.w, high.w};
        mma_bf16(scores, first_half, query[i].x, query[i].y);
        mma_bf16(other, second_half, query[i].z, query[i].w);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) scores[i] = (scores[i] + other[i]) * SCORE_SCALE;
}

// Scores become probabilities relative to the new maximum; what was summed before is rescaled once per tile.
__device__ __forceinline__ void absorb_scores(HeadPair& heads, float scores[4]) {
#pragma unroll
    for (int head = 0; head < 2; head++) {
        float highest = fmaxf(scores[head], scores[2 + head]);
        for (int distance = 4; distance < 32; distance *= 2) {
            highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, distance));
        }
        highest = fmaxf(highest, heads.max[head]);
        const float keep = exp2f(heads.max[head] - highest);
        heads.max[head] = highest;
        scores[head] = exp2f(scores[head] - highest);
        scores[2 + head] = exp2f(scores[2 + head] - highest);
        heads.sum[head] = heads.sum[head] * keep + scores[head] + scores[2 + head];
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 16; i++) {
            heads.output[i][head] *= keep;
            heads.output[i][2 + head] *= keep;
        }
    }
}

__device__ __forceinline__ void absorb_values(HeadPair& heads, const float probabilities[4],
                                              const ValueTile& values) {
    const unsigned b0 = transpose_8x8(pack_bf16(probabilities[0], probabilities[1]));
    const unsigned b1 = transpose_8x8(pack_bf16(probabilities[2], probabilities[3]));
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 16; i++) {
        unsigned pair[4];
#pragma unroll
        for (int key = 0; key < 4; key++) pair[key] = word(values.of_key[key][i / 4], i % 4);
        const unsigned a[4] = {low_halves(pair[0], pair[1]), high_halves(pair[0], pair[1]),
                               low_halves(pair[2], pair[3]), high_halves(pair[2], pair[3])};
        mma_bf16(heads.output[i], a, b0, b1);
    }
}

// The block's parts of a softmax: one of each warp, and one of the new token in the split that has it.
struct Parts {
    static constexpr int NEW_TOKEN = DECODE_WARPS, ROW_STRIDE = HEAD_DIM + 4;  // 4: fewer bank conflicts
    alignas(16) float outputs[DECODE_WARPS + 1][GROUP][ROW_STRIDE];
    float2 max_sum[DECODE_WARPS + 1][GROUP];

    __device__ __forceinline__ void put(HeadPair& heads) {
        const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int head = 2 * c + i;
            for (int distance = 4; distance < 32; distance *= 2) {
                heads.sum[i] += __shfl_xor_sync(ALL_LANES, heads.sum[i], distance);
            }
            if (head >= GROUP) continue;
            if (g == 0) max_sum[warp][head] = make_float2(heads.max[i], heads.sum[i]);
#pragma unroll
            for (int j = 0; j < HEAD_DIM / 16; j += 2) {
                *reinterpret_cast<float4*>(outputs[warp][head] + j / 4 * 64 + 8 * g + j % 4 * 2) =
                    make_float4(heads.output[j][i], heads.output[j][2 + i], heads.output[j + 1][i],
                                heads.output[j + 1][2 + i]);
            }
        }
    }

    // One warp. The new token does not go through the cache: its score is a dot product. So no load of a cached
    // key waits for a key to be written.
    __device__ __forceinline__ void put_new_token(int head, const bf16* query, const bf16* key,
                                                  const bf16* value) {
        float score = 0.0f;
#pragma unroll
        for (int i = threadIdx.x % 32 * 2; i < HEAD_DIM; i += 64) {
            const unsigned q = *reinterpret_cast<const unsigned*>(query + i);
            const unsigned k = *reinterpret_cast<const unsigned*>(key + i);
            const unsigned v = *reinterpret_cast<const unsigned*>(value + i);
            score += low_bf16(q) * low_bf16(k) + high_bf16(q) * high_bf16(k);
            *reinterpret_cast<float2*>(outputs[NEW_TOKEN][head] + i) = make_float2(low_bf16(v), high_bf16(v));
        }
        score = warp_sum(score);
        if (threadIdx.x % 32 == 0) max_sum[NEW_TOKEN][head] = make_float2(score * SCORE_SCALE, 1.0f);
    }

    __device__ __forceinline__ void put(int part, int head, int dimension, const Merged& merged) {
        *reinterpret_cast<float4*>(&outputs[part][head][dimension]) = merged.value;
        if (dimension == 0) max_sum[part][head] = make_float2(merged.max, merged.sum);
    }

    __device__ __forceinline__ Merged merged(int count, int head, int dimension) const {
        return merge<DECODE_WARPS + 1>(&max_sum[0][head], &outputs[0][head][dimension], count, GROUP,
                                       GROUP * ROW_STRIDE);
    }
};

// Before the wait it reads the step's words and cached keys and values. No kernel of the step writes them before
// this one: words are copied before the first kernel, which starts when the copy is complete, and cached tokens are
// of earlier steps, complete before that copy; this step's own token does not go through the cache.
extern "C" __global__ void __launch_bounds__(DECODE_WARPS * 32, 3)
    decode_attention(const bf16* qkv, const bf16* q_norm, const bf16* k_norm, const int* positions,
                     const int* slots, const int* table_start, const int* block_ids, const float2* rope,
                     bf16* k_cache, bf16* v_cache, float* partial, float2* partial_ml, unsigned* counters,
                     bf16* out, int splits) {
    constexpr int THREADS = DECODE_WARPS * 32, OUTPUTS = GROUP * HEAD_DIM, CHUNKS = OUTPUTS / 4;
    __shared__ __align__(16) bf16 new_heads[GROUP + 1][HEAD_DIM];  // the queries, then the new key
    __shared__ Parts parts;
    __shared__ bool is_last;

    grid_dependency_trigger();
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4, c = lane % 4;
    if (thread * 64 < HEAD_DIM) {
        prefetch_l2(q_norm + thread * 64);
        prefetch_l2(k_norm + thread * 64);
    }
    const int kv_head = blockIdx.x, sequence = blockIdx.y, split = blockIdx.z;
    const int slot = load_now(slots + sequence), position = load_now(positions + sequence);
    const int* blocks = block_ids + load_now(table_start + sequence);
    bf16* out_heads = out + (static_cast<size_t>(sequence) * NUM_KV_HEADS + kv_head) * OUTPUTS;

    // Every warp of a block gets a tile before another block does: a short sequence has fewer `active` splits.
    const int tiles = (position + TILE_KEYS - 1) / TILE_KEYS;  // cached ones; the new token is a part of its own
    const int tiles_per_split = max((tiles + splits - 1) / splits, DECODE_WARPS);
    const int active = max((tiles + tiles_per_split - 1) / tiles_per_split, 1);
    if (slot < 0 || split >= active) {
        grid_dependency_wait();
#pragma unroll 1
        for (int i = thread; i < CHUNKS && slot < 0 && split == 0; i += THREADS) {  // a padding row
            reinterpret_cast<uint2*>(out_heads)[i] = make_uint2(0, 0);
        }
        return;
    }
    const int begin = split * tiles_per_split * TILE_KEYS;
    const int end = min(begin + tiles_per_split * TILE_KEYS, position);
    const bool has_new_token = split == active - 1;

    // Lanes past the last cached key stay on it: no stray reads, and a finite value for the probability 0 to meet.
    const auto row_of_lane = [&](int first) {
        return cache_row_of_key(blocks, max(min(first + lane % TILE_KEYS, position - 1), 0), kv_head);
    };
    const int stride = DECODE_WARPS * TILE_KEYS;
    int first = begin + warp * TILE_KEYS;
    int row = row_of_lane(first);
    KeyTile keys;
    ValueTile values;
    if (first < end) {
        load_keys(keys, k_cache, row);
        load_values(values, v_cache, row);
    }

    grid_dependency_wait();

    // While those arrive, the heads of this token.
    const bf16* qkv_row = qkv + static_cast<size_t>(sequence) * QKV_WIDTH;
    const bf16* new_value = qkv_row + VALUES_AT + kv_head * HEAD_DIM;
    const float2* angles = rope + static_cast<size_t>(position) * (HEAD_DIM / 2);
#pragma unroll 1
    for (int head = warp; head < GROUP + has_new_token; head += DECODE_WARPS) {
        const bool is_query = head < GROUP;
        norm_and_rotate(qkv_row + (is_query ? kv_head * OUTPUTS + head * HEAD_DIM : KEYS_AT + kv_head * HEAD_DIM),
                        is_query ? q_norm : k_norm, angles, new_heads[head]);
    }
    __syncthreads();
    uint4 query[K_LOADS];
#pragma unroll
    for (int i = 0; i < K_LOADS; i++) {
        query[i] = g < GROUP ? reinterpret_cast<const uint4*>(new_heads[g])[4 * i + c]
                             : make_uint4(0, 0, 0, 0);
    }
    if (has_new_token) {
        const bf16* new_key = new_heads[GROUP];
#pragma unroll 1
        for (int head = warp; head < GROUP; head += DECODE_WARPS) {
            parts.put_new_token(head, new_heads[head], new_key, new_value);
        }
        if (thread < HEAD_DIM / 8) {
            const size_t new_row = cache_row_of_slot(slot, kv_head);
            reinterpret_cast<uint4*>(k_cache + new_row * HEAD_DIM)[thread] =
                reinterpret_cast<const uint4*>(new_key)[thread];
            reinterpret_cast<uint4*>(v_cache + new_row * HEAD_DIM)[thread] =
                reinterpret_cast<const uint4*>(new_value)[thread];
        }
    }

    HeadPair heads = {{MASKED, MASKED}, {0.0f, 0.0f}, {}};
#pragma unroll 1
    for (; first < end; first += stride) {
        const bool has_next = first + stride < end;
        row = row_of_lane(first + stride);
        float scores[4];
        score_tile(scores, keys, query);
        if (has_next) load_keys(keys, k_cache, row);
        if (first + g >= end) scores[0] = scores[1] = MASKED;
        if (first + g + 8 >= end) scores[2] = scores[3] = MASKED;
        absorb_scores(heads, scores);
        absorb_values(heads, scores, values);
        if (has_next) load_values(values, v_cache, row);
    }

    parts.put(heads);
    __syncthreads();

    const size_t group = static_cast<size_t>(sequence) * NUM_KV_HEADS + kv_head;
    float* group_partial = partial + group * splits * OUTPUTS;
    float2* group_max_sum = partial_ml + group * splits * GROUP;
#pragma unroll 1
    for (int i = thread * 4; i < OUTPUTS; i += THREADS * 4) {
        const int head = i / HEAD_DIM, dimension = i % HEAD_DIM;
        const Merged merged = parts.merged(DECODE_WARPS + has_new_token, head, dimension);
        if (active == 1) {
            store_quotient(out_heads + i, merged);
        } else {
            *reinterpret_cast<float4*>(group_partial + split * OUTPUTS + i) = merged.value;
            if (dimension == 0) group_max_sum[split * GROUP + head] = make_float2(merged.max, merged.sum);
        }
    }
    if (active == 1 || !is_last_arrival(is_last, counters + group, active)) return;

    // Every thread merges: where heads are few, a share of the splits, and then the shares.
    constexpr int FITTING = THREADS / CHUNKS;
    constexpr int SHARES = FITTING < 1 ? 1 : FITTING > DECODE_WARPS ? DECODE_WARPS : FITTING;
#pragma unroll 1
    for (int i = thread; i < SHARES * CHUNKS; i += THREADS) {
        const int share = i / CHUNKS, at = i % CHUNKS * 4, head = at / HEAD_DIM;
        parts.put(share, head, at % HEAD_DIM,
                  merge<16>(group_max_sum + share * GROUP + head, group_partial + share * OUTPUTS + at,
                            (active - share + SHARES - 1) / SHARES, SHARES * GROUP, SHARES * OUTPUTS));
    }
    __syncthreads();
#pragma unroll 1
    for (int i = thread * 4; i < OUTPUTS; i += THREADS * 4) {
        store_quotient(out_heads + i, parts.merged(SHARES, i / HEAD_DIM, i % HEAD_DIM));
    }
}
EXPORT(decode_attention)
