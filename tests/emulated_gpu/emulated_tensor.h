// The two instructions of the tensor cores that kernels use, with the layouts of the PTX manual.
#pragma once

#include "emulated_block.h"

namespace emulated {
namespace {

typedef float Row8 __attribute__((vector_size(32)));

inline float low_bf16(unsigned pair) {
    unsigned bits = pair << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline float high_bf16(unsigned pair) { return low_bf16(pair >> 16); }

struct MmaOperands {
    float* d;
    const unsigned *a, b[2];
};

// d (16x8) += a (16x16) * b (16x8). Lane 4g+c holds, as pairs of neighbouring k, rows g and g+8 of a at k 2c and
// 2c+8, column g of b at the same k, and columns 2c and 2c+1 of rows g and g+8 of d.
inline void complete_mma(void* const* lanes) {
    float a[16][16];
    Row8 b[16];
    for (unsigned lane = 0; lane < WARP; lane++) {
        const MmaOperands& mine = *static_cast<const MmaOperands*>(lanes[lane]);
        unsigned g = lane / 4, k = lane % 4 * 2;
        for (unsigned part = 0; part < 4; part++) {
            float* pair = &a[g + part % 2 * 8][k + part / 2 * 8];
            pair[0] = low_bf16(mine.a[part]);
            pair[1] = high_bf16(mine.a[part]);
        }
        for (unsigned part = 0; part < 2; part++) {
            b[k + part * 8][g] = low_bf16(mine.b[part]);
            b[k + part * 8 + 1][g] = high_bf16(mine.b[part]);
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        Row8 sum{};
        for (unsigned k = 0; k < 16; k++) sum += a[row][k] * b[k];
        for (unsigned c = 0; c < 4; c++) {
            float* d = static_cast<const MmaOperands*>(lanes[row % 8 * 4 + c])->d + row / 8 * 2;
            d[0] += sum[2 * c];
            d[1] += sum[2 * c + 1];
        }
    }
}

const Collective MMA{"mma.m16n8k16", complete_mma};

struct LdmatrixOperands {
    unsigned* r;
    const unsigned short* row; // lane 8m+i brings the address of row i of matrix m
};

// Lane l gets, of each of four 8x8 matrices, elements 2(l%4) and the next of row l/4; transposed: of column l/4.
template <bool TRANSPOSED> void complete_ldmatrix(void* const* lanes) {
    for (unsigned lane = 0; lane < WARP; lane++) {
        unsigned* r = static_cast<const LdmatrixOperands*>(lanes[lane])->r;
        for (unsigned matrix = 0; matrix < 4; matrix++) {
            unsigned pair[2];
            for (unsigned i = 0; i < 2; i++) {
                unsigned across = lane % 4 * 2 + i, row = TRANSPOSED ? across : lane / 4;
                const unsigned short* values = static_cast<const LdmatrixOperands*>(lanes[matrix * 8 + row])->row;
                pair[i] = values[TRANSPOSED ? lane / 4 : across];
            }
            r[matrix] = pair[0] | pair[1] << 16;
        }
    }
}

const Collective LDMATRIX{"ldmatrix.x4", complete_ldmatrix<false>};
const Collective LDMATRIX_TRANS{"ldmatrix.x4.trans", complete_ldmatrix<true>};

} // namespace
} // namespace emulated

inline void emu_mma(float* d, const unsigned* a, unsigned b0, unsigned b1, emulated::Site site = emulated::Site()) {
    emulated::MmaOperands operands{d, a, {b0, b1}};
    emulated::meet(emulated::MMA, site, &operands);
}

inline void emu_ldmatrix_x4(unsigned* r, const void* shared_row, bool is_trans,
                            emulated::Site site = emulated::Site()) {
    if (reinterpret_cast<uintptr_t>(shared_row) % 16 != 0 || !emulated::is_shared(shared_row, 16))
        emulated::fail(emulated::running, "ldmatrix of something that is not 16 aligned bytes of shared memory");
    emulated::LdmatrixOperands operands{r, static_cast<const unsigned short*>(shared_row)};
    emulated::meet(is_trans ? emulated::LDMATRIX_TRANS : emulated::LDMATRIX, site, &operands);
}
