// cuBLASLt: the matrix products that the engine asks for, of bf16 matrices with sums in f32, and nothing else.
#include "gpu.h"

#include <string.h>

namespace gpu {

enum BlasResult {
    BLAS_SUCCESS = 0,
    BLAS_NOT_INITIALIZED = 1,
    BLAS_INVALID_VALUE = 7,
    BLAS_EXECUTION_FAILED = 13,
    BLAS_NOT_SUPPORTED = 15,
};

enum DataType { R_32F = 0, R_16BF = 14 };

struct Handle {};

struct MatmulDesc {
    int transposes_a = 0, transposes_b = 0;
};

struct Layout {
    Layout(int type, uint64_t rows, uint64_t cols, int64_t ld) : type(type), rows(rows), cols(cols), ld(uint64_t(ld)) {}
    int type;
    uint64_t rows, cols, ld;

    size_t element() const { return type == R_16BF ? 2 : 4; }
    size_t bytes() const { return ((cols - 1) * ld + rows) * element(); }
};

struct Preference {
    uint64_t max_workspace = 0;
};

static Handles<Handle>& handles = *new Handles<Handle>;
static Handles<MatmulDesc>& descs = *new Handles<MatmulDesc>;
static Handles<Layout>& layouts = *new Handles<Layout>;
static Handles<Preference>& preferences = *new Handles<Preference>;

// As in cublasLt.h. The algorithms all compute the same; they differ in the workspace that they ask for.
struct Algorithm {
    uint64_t magic, index, workspace, unused[5];
};

struct HeuristicResult {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

constexpr uint64_t ALGORITHM_MAGIC = 0x6D6C612D756D65;
constexpr uint64_t NUM_ALGORITHMS = 3, WORKSPACE_STEP = 4096;

// One product D = alpha op(A) op(B) + beta C, everything by value.
struct Product {
    Layout a, b, c, d;
    bool transposes_a, transposes_b;
    const void *a_data, *b_data, *c_data;
    void* d_data;
    float alpha, beta;
};

static float bf16_at(const void* data, size_t index) {
    uint32_t bits = uint32_t(static_cast<const uint16_t*>(data)[index]) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float element_at(const void* data, const Layout& layout, size_t index) {
    return layout.type == R_16BF ? bf16_at(data, index) : static_cast<const float*>(data)[index];
}

// To the nearest, ties to even; NaN stays NaN.
static uint16_t round_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return 0x7FFF;
    return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static void store(void* data, const Layout& layout, size_t index, float value) {
    if (layout.type == R_16BF)
        static_cast<uint16_t*>(data)[index] = round_to_bf16(value);
    else
        static_cast<float*>(data)[index] = value;
}

constexpr size_t LANES = 8;
typedef float Lanes __attribute__((vector_size(4 * LANES)));

// Vectors along k as f32, each padded with zeros to whole lanes: the columns of the matrix, or its rows.
static std::vector<Lanes> gather(const void* data, const Layout& layout, bool columns) {
    size_t count = columns ? layout.cols : layout.rows, k = columns ? layout.rows : layout.cols;
    size_t stride = (k + LANES - 1) / LANES;
    std::vector<Lanes> vectors(count * stride);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < k; j++)
            vectors[i * stride + j / LANES][j % LANES] =
                bf16_at(data, columns ? i * layout.ld + j : j * layout.ld + i);
    return vectors;
}

static float dot(const Lanes* x, const Lanes* y, size_t count) {
    Lanes sum{};
    for (size_t i = 0; i < count; i++) sum += x[i] * y[i];
    float total = 0;
    for (size_t lane = 0; lane < LANES; lane++) total += sum[lane];
    return total;
}

static void multiply(const Product& p) {
    std::vector<Lanes> a = gather(p.a_data, p.a, p.transposes_a), b = gather(p.b_data, p.b, !p.transposes_b);
    size_t stride = a.size() / p.d.rows;
    for (size_t col = 0; col < p.d.cols; col++)
        for (size_t row = 0; row < p.d.rows; row++) {
            float value = p.alpha * dot(&a[row * stride], &b[col * stride], stride);
            if (p.beta != 0) value += p.beta * element_at(p.c_data, p.c, col * p.c.ld + row);
            store(p.d_data, p.d, col * p.d.ld + row, value);
        }
}

static bool is_same_shape(const Layout& x, const Layout& y) { return x.rows == y.rows && x.cols == y.cols; }

static BlasResult check_shapes(const MatmulDesc& desc, const Layout& a, const Layout& b, const Layout& c,
                               const Layout& d) {
    if (a.type != R_16BF || b.type != R_16BF || c.type != d.type || (d.type != R_16BF && d.type != R_32F))
        return BLAS_NOT_SUPPORTED;
    uint64_t m = desc.transposes_a ? a.cols : a.rows, k = desc.transposes_a ? a.rows : a.cols;
    uint64_t n = desc.transposes_b ? b.rows : b.cols, k_of_b = desc.transposes_b ? b.cols : b.rows;
    bool fits = m == d.rows && n == d.cols && k == k_of_b && is_same_shape(c, d) && m * n * k > 0;
    for (const Layout* layout : {&a, &b, &c, &d}) fits &= layout->ld >= layout->rows;
    return fits ? BLAS_SUCCESS : BLAS_INVALID_VALUE;
}

static bool is_usable(const void* data, const Layout& layout) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && is_device_range(data, layout.bytes());
}

static BlasResult check_data(const Product& p, const Algorithm* algorithm, const void* workspace, size_t bytes) {
    if (!is_usable(p.a_data, p.a) || !is_usable(p.b_data, p.b) || !is_usable(p.d_data, p.d)) return BLAS_INVALID_VALUE;
    if (p.beta != 0 && !is_usable(p.c_data, p.c)) return BLAS_INVALID_VALUE;
    if (bytes > 0 && !is_device_range(workspace, bytes)) return BLAS_INVALID_VALUE;
    if (!algorithm) return BLAS_SUCCESS;
    bool known = algorithm->magic == ALGORITHM_MAGIC && algorithm->index < NUM_ALGORITHMS;
    return known && algorithm->workspace <= bytes ? BLAS_SUCCESS : BLAS_INVALID_VALUE;
}

// The layouts of a call; all are there or the call is wrong.
struct Layouts {
    std::shared_ptr<Layout> a, b, c, d;
    Layouts(const void* a, const void* b, const void* c, const void* d)
        : a(layouts.find(a)), b(layouts.find(b)), c(layouts.find(c)), d(layouts.find(d)) {}
    bool known() const { return a && b && c && d; }
};

template <class T> static BlasResult destroy(Handles<T>& all, const void* handle) {
    return all.remove(handle) ? BLAS_SUCCESS : BLAS_INVALID_VALUE;
}

} // namespace gpu

using namespace gpu;

API int cublasLtCreate(void** handle) {
    trace("cublasLtCreate");
    if (require_context() || require_no_capture()) return BLAS_NOT_INITIALIZED;
    *handle = handles.create().get();
    return BLAS_SUCCESS;
}

API int cublasLtDestroy(void* handle) { return destroy(handles, handle); }

API size_t cublasLtGetVersion() { return 130000; }

API int cublasLtMatmulDescCreate(void** desc, int compute_type, int scale_type) {
    constexpr int COMPUTE_32F = 68;
    if (compute_type != COMPUTE_32F || scale_type != R_32F) return BLAS_NOT_SUPPORTED;
    *desc = descs.create().get();
    return BLAS_SUCCESS;
}

API int cublasLtMatmulDescDestroy(void* desc) { return destroy(descs, desc); }

API int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const int* value, size_t bytes) {
    constexpr int TRANSA = 3, TRANSB = 4;
    auto desc = descs.find(handle);
    if (!desc || bytes != sizeof *value) return BLAS_INVALID_VALUE;
    if ((attribute != TRANSA && attribute != TRANSB) || (*value != 0 && *value != 1)) return BLAS_NOT_SUPPORTED;
    (attribute == TRANSA ? desc->transposes_a : desc->transposes_b) = *value;
    return BLAS_SUCCESS;
}

API int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    if (ld <= 0 || rows == 0 || cols == 0) return BLAS_INVALID_VALUE;
    *layout = layouts.create(type, rows, cols, ld).get();
    return BLAS_SUCCESS;
}

API int cublasLtMatrixLayoutDestroy(void* layout) { return destroy(layouts, layout); }

API int cublasLtMatrixLayoutSetAttribute(void*, int attribute, const void*, size_t) {
    trace("cublasLtMatrixLayoutSetAttribute %d is not emulated", attribute);
    return BLAS_NOT_SUPPORTED;
}

API int cublasLtMatmulPreferenceCreate(void** preference) {
    *preference = preferences.create().get();
    return BLAS_SUCCESS;
}

API int cublasLtMatmulPreferenceDestroy(void* preference) { return destroy(preferences, preference); }

API int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
    constexpr int MAX_WORKSPACE_BYTES = 1, FIRST_ALIGNMENT = 5, LAST_ALIGNMENT = 8;
    auto preference = preferences.find(handle);
    if (!preference) return BLAS_INVALID_VALUE;
    if (attribute >= FIRST_ALIGNMENT && attribute <= LAST_ALIGNMENT) return BLAS_SUCCESS; // 16 bytes do for all
    if (attribute != MAX_WORKSPACE_BYTES) return BLAS_NOT_SUPPORTED;
    if (bytes != sizeof preference->max_workspace) return BLAS_INVALID_VALUE;
    memcpy(&preference->max_workspace, value, bytes);
    return BLAS_SUCCESS;
}

API int cublasLtMatmulAlgoGetHeuristic(void* handle, const void* desc_handle, const void* a, const void* b,
                                       const void* c, const void* d, const void* preference_handle, int requested,
                                       HeuristicResult* results, int* returned) {
    trace("cublasLtMatmulAlgoGetHeuristic");
    count(HEURISTIC_QUERIES);
    *returned = 0;
    Layouts of(a, b, c, d);
    auto desc = descs.find(desc_handle);
    auto preference = preferences.find(preference_handle);
    if (!handles.find(handle) || !desc || !preference || !of.known() || requested <= 0) return BLAS_INVALID_VALUE;
    if (BlasResult error = check_shapes(*desc, *of.a, *of.b, *of.c, *of.d)) return error;
    for (uint64_t i = 0; i < NUM_ALGORITHMS && *returned < requested; i++) {
        uint64_t workspace = i * WORKSPACE_STEP;
        if (workspace > preference->max_workspace) break;
        results[(*returned)++] = {{ALGORITHM_MAGIC, i, workspace, {}}, workspace, BLAS_SUCCESS, 1.0f, {}};
    }
    return BLAS_SUCCESS;
}

API int cublasLtMatmul(void* handle, const void* desc_handle, const float* alpha, const void* a_data, const void* a,
                       const void* b_data, const void* b, const float* beta, const void* c_data, const void* c,
                       void* d_data, const void* d, const Algorithm* algorithm, void* workspace,
                       size_t workspace_bytes, void* stream) {
    count(MATMULS);
    Layouts of(a, b, c, d);
    auto desc = descs.find(desc_handle);
    if (!handles.find(handle) || !desc || !of.known() || !alpha || !beta) return BLAS_INVALID_VALUE;
    trace("cublasLtMatmul %zux%zu stream %p", size_t(of.d->rows), size_t(of.d->cols), stream);
    if (BlasResult error = check_shapes(*desc, *of.a, *of.b, *of.c, *of.d)) return error;
    Product product{*of.a,  *of.b,  *of.c,  *of.d,  desc->transposes_a == 1, desc->transposes_b == 1,
                    a_data, b_data, c_data, d_data, *alpha,                  *beta};
    if (BlasResult error = check_data(product, algorithm, workspace, workspace_bytes)) return error;
    return submit(stream, {"a matrix product", [product] { multiply(product); }}) ? BLAS_EXECUTION_FAILED
                                                                                  : BLAS_SUCCESS;
}
