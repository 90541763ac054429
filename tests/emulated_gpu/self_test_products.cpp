// Self tests of cuBLASLt against a naive product: transposes, leading dimensions, types, alpha and beta.
#include "self_test.h"

constexpr int R_32F = 0, R_16BF = 14, COMPUTE_32F = 68, TRANSA = 3, TRANSB = 4;
constexpr int INVALID_VALUE = 7, NOT_SUPPORTED = 15;

// A column-major matrix with room between its columns, as host values and on the device.
struct Matrix {
    size_t rows, cols, ld;
    std::vector<float> values;

    Matrix(Numbers& numbers, size_t rows, size_t cols) : rows(rows), cols(cols), ld((rows + 15) / 8 * 8) {
        for (size_t i = 0; i < ld * cols; i++) values.push_back(numbers.small());
    }
    float at(size_t row, size_t col) const { return values[col * ld + row]; }
    std::vector<uint16_t> rounded() const {
        std::vector<uint16_t> bits;
        for (float value : values) bits.push_back(to_bf16(value));
        return bits;
    }
    void* layout(int type) const {
        void* made;
        check(cublasLtMatrixLayoutCreate(&made, type, rows, cols, int64_t(ld)) == 0, "a layout");
        return made;
    }
};

static void test_product(void* handle, Numbers& numbers, bool transposes_a, bool transposes_b, int type) {
    constexpr size_t M = 21, N = 5, K = 37;
    Matrix a = transposes_a ? Matrix(numbers, K, M) : Matrix(numbers, M, K);
    Matrix b = transposes_b ? Matrix(numbers, N, K) : Matrix(numbers, K, N);
    Matrix c(numbers, M, N);
    void* desc;
    int trans_a = transposes_a, trans_b = transposes_b;
    check(cublasLtMatmulDescCreate(&desc, COMPUTE_32F, R_32F) == 0, "a description");
    check(cublasLtMatmulDescSetAttribute(desc, TRANSA, &trans_a, sizeof trans_a) == 0, "TRANSA");
    check(cublasLtMatmulDescSetAttribute(desc, TRANSB, &trans_b, sizeof trans_b) == 0, "TRANSB");
    Buffer<uint16_t> on_a(a.rounded()), on_b(b.rounded()), on_c(c.rounded());
    Buffer<float> wide(c.values);
    bool is_wide = type == R_32F;
    void* d = is_wide ? wide.pointer() : on_c.pointer();
    float alpha = 0.5f, beta = 2.0f;
    auto multiply = [&](const void* a_data) {
        return cublasLtMatmul(handle, desc, &alpha, a_data, a.layout(R_16BF), on_b.pointer(), b.layout(R_16BF), &beta,
                              d, c.layout(type), d, c.layout(type), nullptr, nullptr, 0, nullptr);
    };
    check(multiply(static_cast<char*>(on_a.pointer()) + 2) == INVALID_VALUE, "a misaligned matrix");
    check(multiply(static_cast<char*>(on_a.pointer()) + 2 * a.ld) == INVALID_VALUE, "a matrix beyond its memory");
    check(multiply(on_a.pointer()) == 0, "a product");
    std::vector<float> got_wide = wide.read();
    std::vector<uint16_t> got = on_c.read();
    for (size_t i = 0; i < c.values.size(); i++) {
        size_t row = i % c.ld, col = i / c.ld;
        double want = 0;
        for (size_t k = 0; row < M && k < K; k++)
            want += double(transposes_a ? a.at(k, row) : a.at(row, k)) * (transposes_b ? b.at(col, k) : b.at(k, col));
        want = row < M ? alpha * want + beta * c.values[i] : c.values[i];
        float was = is_wide ? got_wide[i] : from_bf16(got[i]);
        double allowed = is_wide ? 0 : (want < 0 ? -want : want) / 256;
        check(was >= want - allowed && was <= want + allowed, "a product's value, or one between columns");
    }
}

static void test_refusals(void* handle) {
    void* desc;
    int value = 1;
    constexpr int COMPUTE_16F = 64, EPILOGUE = 7;
    check(cublasLtMatmulDescCreate(&desc, COMPUTE_16F, R_32F) == NOT_SUPPORTED, "sums in f16");
    check(cublasLtMatmulDescCreate(&desc, COMPUTE_32F, R_32F) == 0, "a description");
    check(cublasLtMatmulDescSetAttribute(desc, EPILOGUE, &value, sizeof value) == NOT_SUPPORTED, "an epilogue");
    Numbers numbers;
    Matrix a(numbers, 8, 8), wrong(numbers, 8, 9);
    void *square = a.layout(R_16BF), *other = wrong.layout(R_16BF), *of_f32 = a.layout(R_32F);
    float one = 1, zero = 0;
    auto multiply = [&](void* layout_a, void* layout_b) {
        return cublasLtMatmul(handle, desc, &one, nullptr, layout_a, nullptr, layout_b, &zero, nullptr, square, nullptr,
                              square, nullptr, nullptr, 0, nullptr);
    };
    check(multiply(square, other) == INVALID_VALUE, "shapes that do not fit");
    check(multiply(of_f32, square) == NOT_SUPPORTED, "an f32 operand");
}

void test_products() {
    void* handle;
    check(cublasLtCreate(&handle) == 0, "a handle");
    Numbers numbers;
    for (bool transposes_a : {false, true})
        for (bool transposes_b : {false, true})
            for (int type : {R_16BF, R_32F}) test_product(handle, numbers, transposes_a, transposes_b, type);
    test_refusals(handle);
}
