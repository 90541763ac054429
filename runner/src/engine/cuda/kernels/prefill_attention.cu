// Prompts: prefill_qkv norms, rotates and caches a chunk's heads; prefill_attention attends from it, causally.

extern "C" __global__ void __launch_bounds__(256)
    prefill_qkv(bf16* qkv, const bf16* q_norm, const bf16* k_norm, const int* positions, const int* slots,
                const float2* rope, bf16* k_cache, bf16* v_cache, int first_row) {
    grid_dependency_trigger();
    grid_dependency_wait();
    const int token = first_row + blockIdx.x;
    const int slot = load_now(slots + token), position = load_now(positions + token);
    if (slot < 0) return;  // a padding row
    bf16* row = qkv + static_cast<size_t>(token) * QKV_WIDTH;
    const float2* angles = rope + static_cast<size_t>(position) * (HEAD_DIM / 2);
    for (int head = threadIdx.x / 32; head < NUM_Q_HEADS + NUM_KV_HEADS; head += 256 / 32) {
        const bool is_query = head < NUM_Q_HEADS;
        const size_t new_row = cache_row_of_slot(slot, head - NUM_Q_HEADS);
        norm_and_rotate(row + head * HEAD_DIM, is_query ? q_norm : k_norm, angles,
                        is_query ? row + head * HEAD_DIM : k_cache + new_row * HEAD_DIM);
    }
#pragma unroll 1
    for (int i = threadIdx.x * 8; i < NUM_KV_HEADS * HEAD_DIM; i += 256 * 8) {
        const size_t new_row = cache_row_of_slot(slot, i / HEAD_DIM);
        *reinterpret_cast<uint4*>(v_cache + new_row * HEAD_DIM + i % HEAD_DIM) =
            *reinterpret_cast<const uint4*>(row + VALUES_AT + i);
    }
}
EXPORT(prefill_qkv)

// Flash attention: 64 query rows a block, 16 a warp, with queries and output in registers; keys and values pass
// through shared memory in tiles of 64, the next tile being copied while this one is multiplied.
// Dynamic shared memory: 2 stages of keys and values, 2 * 2 * 64 * HEAD_DIM * sizeof(bf16) = 512 * HEAD_DIM bytes.
// HOST: PREFILL_SHARED_64 32768
// HOST: PREFILL_SHARED_128 65536

constexpr int PREFILL_WARPS = 4;
constexpr int PREFILL_KEYS = 64;
constexpr int ROW_CHUNKS = HEAD_DIM / 8;  // of 16 bytes
constexpr int TILE_ELEMENTS = PREFILL_KEYS * HEAD_DIM;

// Rows are as long as the banks are wide, or longer: without the swizzle, a column of 8 rows would be in one bank.
// All exclusive ors, so that a loop over chunks costs one of them and not a register for each.
__device__ __forceinline__ bf16* swizzled(bf16* tile, int row, int chunk) {
    return tile + ((row * HEAD_DIM) ^ (row % 8 * 8) ^ (chunk * 8));
}

// A warp copies its 16 rows of a tile. `cache_row` is that of row `lane % 16`, -1 past the last key: zeros then,
// because a probability of 0 would not silence a NaN.
__device__ __forceinline__ void copy_tile(bf16* stage, const bf16* k_cache, const bf16* v_cache, int cache_row) {
    constexpr int ROWS_AT_ONCE = 32 / ROW_CHUNKS;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, chunk = lane % ROW_CHUNKS;
#pragma unroll
    for (int first = 0; first < 16; first += ROWS_AT_ONCE) {
        const int row = first + lane / ROW_CHUNKS, from = __shfl_sync(ALL_LANES, cache_row, row);
        const size_t offset = from < 0 ? 0 : static_cast<size_t>(from) * HEAD_DIM + chunk * 8;
        bf16* key = swizzled(stage + warp * 16 * HEAD_DIM, row, chunk);
        copy_async_16(key, k_cache + offset, from >= 0);
        copy_async_16(key + TILE_ELEMENTS, v_cache + offset, from >= 0);
    }
}

// The warp's 16 rows of a query head, as the left operands of mma.
__device__ __forceinline__ void load_queries(unsigned (&query)[HEAD_DIM / 16][4], const bf16* rows, int num_rows) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 16; i++) {
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const int row = g + part % 2 * 8, dimension = i * 16 + 2 * c + part / 2 * 8;
            query[i][part] =
                row < num_rows
                    ? *reinterpret_cast<const unsigned*>(rows + static_cast<size_t>(row) * QKV_WIDTH + dimension)
                    : 0;
        }
    }
}

// scores[i]: this lane's rows g and g + 8 with keys 8 i + 2 c and the next.
__device__ __forceinline__ void score_keys(float (&scores)[PREFILL_KEYS / 8][4],
                                           const unsigned (&query)[HEAD_DIM / 16][4], bf16* keys) {
    const int lane = threadIdx.x % 32, row = lane / 16 * 8 + lane % 8, half = lane / 8 % 2;
#pragma unroll
    for (int i = 0; i < PREFILL_KEYS / 8; i++) {
#pragma unroll
        for (int x = 0; x < 4; x++) scores[i][x] = 0.0f;
    }
#pragma unroll
    for (int step = 0; step < HEAD_DIM / 16; step++) {
#pragma unroll
        for (int i = 0; i < PREFILL_KEYS / 8; i += 2) {
            unsigned b[4];
            ldmatrix_x4(b, swizzled(keys + i * 8 * HEAD_DIM, row, step * 2 + half));
            mma_bf16(scores[i], query[step], b[0], b[1]);
            mma_bf16(scores[i + 1], query[step], b[2], b[3]);
        }
    }
}

// Keys are of positions first_key.., the lane's first row is of `position`.
__device__ __forceinline__ void mask_future(float (&scores)[PREFILL_KEYS / 8][4], int first_key, int position) {
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < PREFILL_KEYS / 8; i++) {
#pragma unroll
        for (int x = 0; x < 4; x++) {
            if (first_key + i * 8 + 2 * c + x % 2 > position + x / 2 * 8) scores[i][x] = MASKED;
        }
    }
}

// A warp's running softmax: of rows g and g + 8, dimensions 8 i + 2 c and the next.
struct QueryRows {
    float max[2], sum[2];  // `sum` is of this lane's keys only, until the end
    float output[HEAD_DIM / 8][4];
};

// Scores become probabilities relative to the new maximum; what was summed before is rescaled.
__device__ __forceinline__ void absorb_scores(QueryRows& rows, float (&scores)[PREFILL_KEYS / 8][4]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float highest = scores[0][2 * half];
#pragma unroll
        for (int i = 0; i < PREFILL_KEYS / 8; i++) {
            highest = fmaxf(highest, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
        }
        highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(ALL_LANES, highest, 2));
        highest = fmaxf(highest * SCORE_SCALE, rows.max[half]);
        const float keep = exp2f(rows.max[half] - highest);
        rows.max[half] = highest;
        rows.sum[half] *= keep;
#pragma unroll
        for (int i = 0; i < PREFILL_KEYS / 8; i++) {
#pragma unroll
            for (int x = 2 * half; x < 2 * half + 2; x++) {
                scores[i][x] = exp2f(scores[i][x] * SCORE_SCALE - highest);
                rows.sum[half] += scores[i][x];
            }
        }
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 8; i++) {
            rows.output[i][2 * half] *= keep;
            rows.output[i][2 * half + 1] *= keep;
        }
    }
}

// The scores' registers are, packed, the probabilities' left operand.
__device__ __forceinline__ void absorb_values(QueryRows& rows, const float (&probabilities)[PREFILL_KEYS / 8][4],
                                              bf16* values) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < PREFILL_KEYS / 8; i += 2) {
        const float* left = probabilities[i];
        const float* right = probabilities[i + 1];
        const unsigned a[4] = {pack_bf16(left[0], left[1]), pack_bf16(left[2], left[3]),
                               pack_bf16(right[0], right[1]), pack_bf16(right[2], right[3])};
#pragma unroll
        for (int chunk = 0; chunk < ROW_CHUNKS; chunk += 2) {
            unsigned b[4];
            ldmatrix_x4_trans(b, swizzled(values + i * 8 * HEAD_DIM, lane % 16, chunk + lane / 16));
            mma_bf16(rows.output[chunk], a, b[0], b[1]);
            mma_bf16(rows.output[chunk + 1], a, b[2], b[3]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(PREFILL_WARPS * 32, 3)
    prefill_attention(const bf16* qkv, const int4* tiles, const int* block_ids, const bf16* k_cache,
                      const bf16* v_cache, bf16* out) {
    DYNAMIC_SHARED(bf16, stages);
    grid_dependency_trigger();
    grid_dependency_wait();
    const int4 tile = tiles[blockIdx.y];
    const int num_rows = tile.y, first_position = tile.z, head = blockIdx.x;
    if (num_rows == 0) return;  // a padding tile
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
    const int num_keys = first_position + num_rows;

    const int* blocks = block_ids + tile.w;
    const auto row_to_copy = [&](int first_key) {
        const int key = first_key + warp * 16 + lane % 16;
        return key < num_keys ? cache_row_of_key(blocks, key, head / GROUP) : -1;
    };
    copy_tile(stages, k_cache, v_cache, row_to_copy(0));
    copy_async_commit();
    int next_row = row_to_copy(PREFILL_KEYS);  // looked up a tile ahead, for its latency

    const int warp_row = tile.x + warp * 16, warp_position = first_position + warp * 16;
    const int warp_end = min(num_keys, warp_position + 16);  // of its rows' positions; it may have none
    unsigned query[HEAD_DIM / 16][4];
    const bf16* first_query = qkv + static_cast<size_t>(warp_row) * QKV_WIDTH + head * HEAD_DIM;
    load_queries(query, first_query, warp_end - warp_position);

    QueryRows rows = {{MASKED, MASKED}, {0.0f, 0.0f}, {}};
    bf16* tile_of_keys = stages;
    bf16* other_tile = stages + 2 * TILE_ELEMENTS;
#pragma unroll 1
    for (int first_key = 0; first_key < num_keys; first_key += PREFILL_KEYS) {
        copy_async_wait<0>();
        __syncthreads();  // this tile has arrived, and nobody reads the other one any more
        if (first_key + PREFILL_KEYS < num_keys) copy_tile(other_tile, k_cache, v_cache, next_row);
        copy_async_commit();
        next_row = row_to_copy(first_key + 2 * PREFILL_KEYS);
        if (first_key < warp_end && warp_position < warp_end) {  // else all keys are ahead, or there are no rows
            float scores[PREFILL_KEYS / 8][4];
            score_keys(scores, query, tile_of_keys);
            if (first_key + PREFILL_KEYS - 1 > warp_position) mask_future(scores, first_key, warp_position + g);
            absorb_scores(rows, scores);
            absorb_values(rows, scores, tile_of_keys + TILE_ELEMENTS);
        }
        bf16* swapped = tile_of_keys;
        tile_of_keys = other_tile;
        other_tile = swapped;
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        rows.sum[half] += __shfl_xor_sync(ALL_LANES, rows.sum[half], 1);
        rows.sum[half] += __shfl_xor_sync(ALL_LANES, rows.sum[half], 2);
        const int row = g + half * 8;
        if (warp_position + row >= warp_end) continue;
        const float scale = 1.0f / rows.sum[half];
        const size_t out_row = tiles[blockIdx.y].x + warp * 16 + row;  // read again: a register less in the loop
        bf16* to = out + (out_row * NUM_Q_HEADS + head) * HEAD_DIM + 2 * c;
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 8; i++) {
            *reinterpret_cast<unsigned*>(to + i * 8) =
                pack_bf16(rows.output[i][2 * half] * scale, rows.output[i][2 * half + 1] * scale);
        }
    }
}
EXPORT(prefill_attention)
