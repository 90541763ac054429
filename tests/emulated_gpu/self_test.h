// What the self tests of the emulated GPU share: its API, checks, and kernels that are compiled and launched.
#pragma once

#include <functional>
#include <stddef.h>
#include <stdint.h>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemGetInfo_v2(size_t*, size_t*);
int cuMemAlloc_v2(uint64_t*, size_t);
int cuMemAllocAsync(uint64_t*, size_t, void*);
int cuMemFree_v2(uint64_t);
int cuMemcpyHtoDAsync_v2(uint64_t, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*);
int cuMemsetD8Async(uint64_t, unsigned char, size_t, void*);
int cuModuleLoadData(void**, const void*);
int cuModuleUnload(void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamIsCapturing(void*, int*);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuEventQuery(void*);
int cuGraphInstantiateWithFlags(void**, void*, unsigned long long);
int cuGraphLaunch(void*, void*);
int cuGraphDestroy(void*);
int cuGraphExecDestroy(void*);
int nvrtcCreateProgram(void**, const char*, const char*, int, const char* const*, const char* const*);
int nvrtcCompileProgram(void*, int, const char* const*);
int nvrtcGetProgramLogSize(void*, size_t*);
int nvrtcGetProgramLog(void*, char*);
int nvrtcGetCUBINSize(void*, size_t*);
int nvrtcGetCUBIN(void*, char*);
int nvrtcDestroyProgram(void**);
int cublasLtCreate(void**);
int cublasLtMatmulDescCreate(void**, int, int);
int cublasLtMatmulDescSetAttribute(void*, int, const int*, size_t);
int cublasLtMatrixLayoutCreate(void**, int, uint64_t, uint64_t, int64_t);
int cublasLtMatmul(void*, const void*, const float*, const void*, const void*, const void*, const void*, const float*,
                   const void*, const void*, void*, const void*, const void*, void*, size_t, void*);
void emulated_gpu_counts(uint64_t*);
}

// Ends the program unless the condition holds.
void check(bool condition, const char* what, int line = __builtin_LINE());

// Runs something in a process of its own, which must die, saying `message`.
void check_dies(const std::string& message, const std::function<void()>& run, int line = __builtin_LINE());

// Compiles by NVRTC; an empty image when that fails, with the compiler's output in `log`.
std::string compile(const std::string& source, const std::vector<const char*>& options, std::string* log = nullptr);

// Device memory with the values of a vector.
template <class T> struct Buffer {
    uint64_t address;
    size_t count;

    explicit Buffer(size_t count) : count(count) {
        check(cuMemAlloc_v2(&address, count * sizeof(T)) == 0, "device memory");
    }
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
        check(cuMemcpyHtoDAsync_v2(address, values.data(), count * sizeof(T), nullptr) == 0, "copy to the device");
    }
    ~Buffer() { check(cuMemFree_v2(address) == 0, "free"); }
    Buffer(const Buffer&) = delete;

    std::vector<T> read() const {
        std::vector<T> values(count);
        check(cuMemcpyDtoHAsync_v2(values.data(), address, count * sizeof(T), nullptr) == 0, "copy to the host");
        return values;
    }
    void* pointer() const { return reinterpret_cast<void*>(address); }
};

// Launches a kernel of self_test.cu; returns the driver's result.
struct Shape {
    unsigned grid = 1, block = 32, shared_bytes = 0;
    void* stream = nullptr;
};
int try_launch(const char* name, Shape shape, std::vector<void*> params);

template <class... Arguments> int launch_result(const char* name, Shape shape, Arguments... arguments) {
    return try_launch(name, shape, {&arguments...});
}

template <class... Arguments> void launch(const char* name, Shape shape, Arguments... arguments) {
    check(launch_result(name, shape, arguments...) == 0, name);
}

// Values that a bf16 holds exactly, whose products sum without rounding: results can be compared exactly.
struct Numbers {
    uint64_t state = 1;
    int below(int bound) {
        state = state * 6364136223846793005 + 1442695040888963407;
        return int((state >> 33) % uint64_t(bound));
    }
    float small() { return float(below(17) - 8) / 4; }
};
uint16_t to_bf16(float value);
float from_bf16(uint16_t bits);

// The parts.
void test_kernels();  // self_test_kernels.cpp
void test_driver();   // self_test_driver.cpp
void test_products(); // self_test_products.cpp
