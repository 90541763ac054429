// NVML: what a measurement asks about the state of the device; plausible constants, except for the memory.
#include "gpu.h"

#include <string.h>
#include <unistd.h>

namespace gpu {

enum NvmlResult {
    NVML_SUCCESS = 0,
    NVML_UNINITIALIZED = 1,
    NVML_INVALID_ARGUMENT = 2,
    NVML_NOT_SUPPORTED = 3,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
};

static std::atomic<int> initialized;
static char the_device;

static NvmlResult require(const void* device) {
    if (!initialized) return NVML_UNINITIALIZED;
    return device == &the_device ? NVML_SUCCESS : NVML_INVALID_ARGUMENT;
}

static NvmlResult answer(const void* device, unsigned* where, unsigned value) {
    if (NvmlResult error = require(device)) return error;
    *where = value;
    return NVML_SUCCESS;
}

static NvmlResult answer(const void* device, char* where, unsigned size, const char* text) {
    if (NvmlResult error = require(device)) return error;
    if (strlen(text) >= size) return NVML_INSUFFICIENT_SIZE;
    strcpy(where, text);
    return NVML_SUCCESS;
}

} // namespace gpu

using namespace gpu;

// As in nvml.h.
struct NvmlMemory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct NvmlUtilization {
    unsigned gpu, memory;
};

struct NvmlProcess {
    unsigned pid;
    unsigned long long used_memory;
    unsigned gpu_instance, compute_instance;
};

API int nvmlInit_v2() {
    initialized++;
    return NVML_SUCCESS;
}

API int nvmlShutdown() {
    if (!initialized) return NVML_UNINITIALIZED;
    initialized--;
    return NVML_SUCCESS;
}

API const char* nvmlErrorString(int result) {
    switch (result) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_UNINITIALIZED:
        return "Uninitialized";
    case NVML_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_NOT_FOUND:
        return "Not Found";
    case NVML_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    default:
        return "Unknown Error";
    }
}

API int nvmlSystemGetDriverVersion(char* version, unsigned size) {
    return answer(&the_device, version, size, "580.65.06");
}

API int nvmlDeviceGetCount_v2(unsigned* count) { return answer(&the_device, count, 1); }

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
    if (!initialized) return NVML_UNINITIALIZED;
    if (index != 0) return NVML_INVALID_ARGUMENT;
    *device = &the_device;
    return NVML_SUCCESS;
}

API int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
    if (!initialized) return NVML_UNINITIALIZED;
    if (strcmp(uuid, UUID_TEXT) != 0) return NVML_NOT_FOUND;
    *device = &the_device;
    return NVML_SUCCESS;
}

// The place on PCI that the driver tells of.
API int nvmlDeviceGetHandleByPciBusId_v2(const char* place, void** device) {
    if (!place || strcmp(place, "00000000:00:00.0")) return NVML_NOT_FOUND;
    *device = &the_device;
    return NVML_SUCCESS;
}

API int nvmlDeviceGetName(void* device, char* name, unsigned size) { return answer(device, name, size, NAME); }

API int nvmlDeviceGetUUID(void* device, char* uuid, unsigned size) { return answer(device, uuid, size, UUID_TEXT); }

API int nvmlDeviceGetTemperature(void* device, int, unsigned* degrees) { return answer(device, degrees, 40); }

API int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) { return answer(device, milliwatts, 150000); }

API int nvmlDeviceGetClockInfo(void* device, int clock, unsigned* mhz) {
    constexpr int MEMORY = 2, NUM_CLOCKS = 4;
    if (clock < 0 || clock >= NUM_CLOCKS) return NVML_INVALID_ARGUMENT;
    return answer(device, mhz, clock == MEMORY ? 2000 : 1500);
}

API int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
    *reasons = 0;
    return require(device);
}

API int nvmlDeviceGetUtilizationRates(void* device, NvmlUtilization* percent) {
    *percent = {50, 25};
    return require(device);
}

API int nvmlDeviceGetMemoryInfo_v2(void* device, NvmlMemory* memory) {
    MemoryInfo info = memory_info();
    memory->total = info.total;
    memory->reserved = 0;
    memory->free = info.total - info.used;
    memory->used = info.used;
    return require(device);
}

// This process, and no other.
API int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, NvmlProcess* processes) {
    if (NvmlResult error = require(device)) return error;
    unsigned room = *count;
    *count = 1;
    if (room < 1) return NVML_INSUFFICIENT_SIZE;
    constexpr unsigned NO_INSTANCE = 0xFFFFFFFF;
    *processes = {unsigned(getpid()), memory_info().used, NO_INSTANCE, NO_INSTANCE};
    return NVML_SUCCESS;
}
