// The driver's calls about the one device, its context and errors.
#include "gpu.h"

#include <string.h>

namespace gpu {

static std::atomic<bool> initialized;
static std::atomic<int> retained;
static char the_context;
static thread_local void* current_context;

unsigned arch() { return static_cast<unsigned>(number_of_env("EMULATED_GPU_ARCH", 90)); }

size_t max_shared_per_block() {
    switch (arch()) {
    case 80:
    case 87:
        return 163 * 1024;
    case 86:
    case 89:
    case 120:
    case 121:
        return 99 * 1024;
    default:
        return 227 * 1024;
    }
}

Result require_context() {
    if (!initialized) return NOT_INITIALIZED;
    return current_context ? SUCCESS : INVALID_CONTEXT;
}

// Attributes by CUdevice_attribute; -1 for one that nobody has asked for yet.
static int attribute(int which) {
    switch (which) {
    case 1: // threads per block
    case 2: // x of a block
    case 3: // y of a block
        return 1024;
    case 4: // z of a block
        return 64;
    case 5: // x of a grid
        return 0x7FFFFFFF;
    case 6: // y of a grid
    case 7: // z of a grid
        return 65535;
    case 8: // shared memory per block, without asking for more
        return 48 * 1024;
    case 10: // threads of a warp
        return 32;
    case 12: // registers per block
    case 82: // registers per multiprocessor
        return 65536;
    case 13: // clock, kHz
        return 1500000;
    case 16: // multiprocessors
        return 4;
    case 33: // bus, device and domain on PCI: where NVML finds it
    case 34:
    case 50:
        return 0;
    case 18: // integrated
    case 32: // ECC
        return 0;
    case 31: // concurrent kernels
    case 41: // unified addressing
    case 115: // memory pools, hence cuMemAllocAsync
        return 1;
    case 36: // memory clock, kHz
        return 2000000;
    case 37: // memory bus, bits
        return 512;
    case 38: // L2 cache
        return 60 * 1024 * 1024;
    case 39: // threads per multiprocessor
        return 2048;
    case 40: // copy engines
        return 2;
    case 75: // compute capability
        return static_cast<int>(arch() / 10);
    case 76:
        return static_cast<int>(arch() % 10);
    case 81: // shared memory per multiprocessor
        return static_cast<int>(max_shared_per_block() + 1024);
    case 97: // shared memory per block, asked for
        return static_cast<int>(max_shared_per_block());
    case 106: // blocks per multiprocessor
        return 32;
    default:
        return -1;
    }
}

struct ErrorText {
    int value;
    const char *name, *meaning;
};

static const ErrorText ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

static const ErrorText* error_text(int value) {
    for (const ErrorText& error : ERRORS)
        if (error.value == value) return &error;
    return nullptr;
}

} // namespace gpu

API int cuInit(unsigned) {
    gpu::trace("cuInit");
    gpu::initialized = true;
    return SUCCESS;
}

API int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

API int cuGetErrorName(int error, const char** name) {
    const gpu::ErrorText* text = gpu::error_text(error);
    *name = text ? text->name : nullptr;
    return text ? SUCCESS : INVALID_VALUE;
}

API int cuGetErrorString(int error, const char** meaning) {
    const gpu::ErrorText* text = gpu::error_text(error);
    *meaning = text ? text->meaning : nullptr;
    return text ? SUCCESS : INVALID_VALUE;
}

API int cuDeviceGetCount(int* count) {
    *count = 1;
    return gpu::initialized ? SUCCESS : NOT_INITIALIZED;
}

API int cuDeviceGet(int* device, int ordinal) {
    if (!gpu::initialized) return NOT_INITIALIZED;
    *device = 0;
    return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}

API int cuDeviceGetName(char* name, int size, int device) {
    if (device != 0) return INVALID_DEVICE;
    if (size <= 0) return INVALID_VALUE;
    strncpy(name, gpu::NAME, size_t(size) - 1);
    name[size - 1] = 0;
    return SUCCESS;
}

API int cuDeviceGetUuid_v2(char* uuid, int device) {
    memcpy(uuid, "fidelio emulator", 16); // the bytes of UUID_TEXT
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

API int cuDeviceGetUuid(char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }

API int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    *bytes = gpu::memory_info().total;
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

API int cuDeviceGetAttribute(int* value, int which, int device) {
    if (device != 0) return INVALID_DEVICE;
    int known = gpu::attribute(which);
    if (known < 0) {
        gpu::trace("cuDeviceGetAttribute %d is not emulated", which);
        return INVALID_VALUE;
    }
    *value = known;
    return SUCCESS;
}

API int cuDevicePrimaryCtxRetain(void** context, int device) {
    gpu::trace("cuDevicePrimaryCtxRetain");
    if (!gpu::initialized) return NOT_INITIALIZED;
    if (device != 0) return INVALID_DEVICE;
    gpu::retained++;
    *context = &gpu::the_context;
    return SUCCESS;
}

API int cuDevicePrimaryCtxRelease_v2(int device) {
    gpu::trace("cuDevicePrimaryCtxRelease_v2");
    if (device != 0) return INVALID_DEVICE;
    if (gpu::retained == 0) return INVALID_CONTEXT;
    gpu::retained--;
    return SUCCESS;
}

API int cuCtxGetCurrent(void** context) {
    *context = gpu::current_context;
    return gpu::initialized ? SUCCESS : NOT_INITIALIZED;
}

API int cuCtxSetCurrent(void* context) {
    if (context && context != &gpu::the_context) return INVALID_CONTEXT;
    gpu::current_context = context;
    return SUCCESS;
}

API int cuCtxSetFlags(unsigned) { return gpu::require_context(); }

API int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return gpu::require_context();
}
