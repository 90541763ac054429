// Device memory: host memory of its own pages, filled with NaN, between red zones, within a budget; and copies.
//
// The NaNs are those of one file, mapped as often as it takes and copied where somebody writes, so that an engine may
// reserve all of the emulated memory while the host spends only what is used.
#include "gpu.h"

#include <algorithm>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gpu {

static constexpr unsigned char POISON = 0xFF;
static constexpr size_t PAGE = 4096, RED_ZONE = 512, GRANULE = 512, POISON_FILE = size_t(16) << 20;

struct Allocation {
    char* mapped;
    size_t mapped_bytes, bytes;
};

static std::mutex memory_mutex;
static std::map<DeviceAddress, Allocation>& allocations = *new std::map<DeviceAddress, Allocation>; // see Handles
static size_t used;

static size_t budgeted(size_t bytes) { return (bytes + GRANULE - 1) / GRANULE * GRANULE; }

MemoryInfo memory_info() {
    static const size_t total = number_of_env("EMULATED_GPU_MEMORY", size_t(8) << 30);
    std::lock_guard<std::mutex> lock(memory_mutex);
    return {total, used};
}

static int open_poison_file() {
    int file = memfd_create("emulated_memory", MFD_CLOEXEC);
    const std::vector<unsigned char> page(PAGE, POISON);
    for (size_t at = 0; at < POISON_FILE; at += PAGE)
        if (write(file, page.data(), PAGE) != ssize_t(PAGE)) return -1;
    return file;
}

// Whole pages of poison, or null.
static char* map_poison(size_t bytes) {
    static const int file = open_poison_file();
    if (file < 0) return nullptr;
    void* mapped = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    char* low = static_cast<char*>(mapped);
    for (size_t at = 0; at < bytes; at += POISON_FILE) {
        size_t part = std::min(POISON_FILE, bytes - at);
        void* placed = mmap(low + at, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file, 0);
        if (placed != MAP_FAILED) continue;
        munmap(mapped, bytes);
        return nullptr;
    }
    return low;
}

static bool is_poison(const char* bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (static_cast<unsigned char>(bytes[i]) != POISON) return false;
    return true;
}

static void check_zones_of(DeviceAddress address, const Allocation& allocation, const char* after) {
    const char* data = reinterpret_cast<const char*>(address);
    bool below = !is_poison(data - RED_ZONE, RED_ZONE);
    if (!below && is_poison(data + allocation.bytes, RED_ZONE)) return;
    fprintf(stderr, "emulated GPU: something was written %s the allocation of %zu bytes at %p, found after %s\n",
            below ? "below" : "beyond", allocation.bytes, static_cast<const void*>(data), after);
    abort();
}

void check_red_zones(const char* after) {
    std::lock_guard<std::mutex> lock(memory_mutex);
    for (auto& [address, allocation] : allocations) check_zones_of(address, allocation, after);
}

// When the process ends, what was never freed is looked at too.
static struct CheckAtExit {
    ~CheckAtExit() { check_red_zones("the last kernel"); }
} check_at_exit;

bool is_device_range(DeviceAddress address, size_t bytes) {
    std::lock_guard<std::mutex> lock(memory_mutex);
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return false;
    auto& [start, allocation] = *std::prev(next);
    size_t offset = address - start;
    return offset <= allocation.bytes && bytes <= allocation.bytes - offset;
}

// Its own pages, so that a use after the free is a crash; the data starts 512 bytes into them, aligned no better.
static Result allocate(DeviceAddress* address, size_t bytes) {
    if (!address || bytes == 0) return INVALID_VALUE;
    MemoryInfo info = memory_info();
    if (bytes > info.total || info.used + budgeted(bytes) > info.total) return OUT_OF_MEMORY;
    size_t mapped_bytes = (RED_ZONE + bytes + RED_ZONE + PAGE - 1) / PAGE * PAGE;
    char* mapped = map_poison(mapped_bytes);
    if (!mapped) return OUT_OF_MEMORY;
    *address = reinterpret_cast<DeviceAddress>(mapped) + RED_ZONE;
    std::lock_guard<std::mutex> lock(memory_mutex);
    allocations[*address] = {mapped, mapped_bytes, bytes};
    used += budgeted(bytes);
    count(ALLOCATIONS);
    return SUCCESS;
}

static Result release(DeviceAddress address) {
    if (address == 0) return SUCCESS;
    std::lock_guard<std::mutex> lock(memory_mutex);
    auto found = allocations.find(address);
    if (found == allocations.end()) return INVALID_VALUE;
    const Allocation& allocation = found->second;
    check_zones_of(address, allocation, "everything until its free");
    munmap(allocation.mapped, allocation.mapped_bytes);
    used -= budgeted(allocation.bytes);
    allocations.erase(found);
    count(FREES);
    return SUCCESS;
}

static Result require_allocation_allowed() {
    if (Result error = require_context()) return error;
    return require_no_capture();
}

// A copy as part of a stream's work; the device side must lie within one allocation.
static Result copy(void* stream, const char* name, void* to, const void* from, size_t bytes) {
    return submit(stream, {name, [=] { memcpy(to, from, bytes); }});
}

static Result copy_to_device(void* stream, DeviceAddress to, const void* from, size_t bytes) {
    count(COPIES_TO_DEVICE);
    if (!is_device_range(to, bytes)) return INVALID_VALUE;
    return copy(stream, "a copy to the device", reinterpret_cast<void*>(to), from, bytes);
}

static Result copy_to_host(void* stream, void* to, DeviceAddress from, size_t bytes) {
    count(COPIES_TO_HOST);
    if (!is_device_range(from, bytes)) return INVALID_VALUE;
    return copy(stream, "a copy to the host", to, reinterpret_cast<const void*>(from), bytes);
}

static Result copy_on_device(void* stream, DeviceAddress to, DeviceAddress from, size_t bytes) {
    count(COPIES_ON_DEVICE);
    if (!is_device_range(to, bytes) || !is_device_range(from, bytes)) return INVALID_VALUE;
    return copy(stream, "a copy on the device", reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from),
                bytes);
}

static Result set_bytes(void* stream, DeviceAddress to, unsigned char value, size_t bytes) {
    count(MEMSETS);
    if (!is_device_range(to, bytes)) return INVALID_VALUE;
    return submit(stream, {"a memset", [=] { memset(reinterpret_cast<void*>(to), value, bytes); }});
}

} // namespace gpu

using namespace gpu;

API int cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    trace("cuMemGetInfo_v2");
    if (Result error = require_context()) return error;
    MemoryInfo info = memory_info();
    *free_bytes = info.total - info.used;
    *total = info.total;
    return SUCCESS;
}

API int cuMemAlloc_v2(DeviceAddress* address, size_t bytes) {
    trace("cuMemAlloc_v2 %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    return allocate(address, bytes);
}

API int cuMemAllocAsync(DeviceAddress* address, size_t bytes, void* stream) {
    trace("cuMemAllocAsync %zu stream %p", bytes, stream);
    if (Result error = require_allocation_allowed()) return error;
    return allocate(address, bytes);
}

API int cuMemFree_v2(DeviceAddress address) {
    trace("cuMemFree_v2 %#zx", size_t(address));
    if (Result error = require_allocation_allowed()) return error;
    return release(address);
}

API int cuMemFreeAsync(DeviceAddress address, void* stream) {
    trace("cuMemFreeAsync %#zx stream %p", size_t(address), stream);
    if (Result error = require_allocation_allowed()) return error;
    return release(address);
}

API int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    trace("cuMemHostAlloc %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    *memory = bytes ? aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE) : nullptr;
    if (!*memory) return bytes ? OUT_OF_MEMORY : INVALID_VALUE;
    memset(*memory, POISON, bytes);
    return SUCCESS;
}

API int cuMemFreeHost(void* memory) {
    trace("cuMemFreeHost");
    if (Result error = require_allocation_allowed()) return error;
    free(memory);
    return SUCCESS;
}

API int cuMemcpyHtoD_v2(DeviceAddress to, const void* from, size_t bytes) {
    trace("cuMemcpyHtoD_v2 %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    return copy_to_device(nullptr, to, from, bytes);
}

API int cuMemcpyDtoH_v2(void* to, DeviceAddress from, size_t bytes) {
    trace("cuMemcpyDtoH_v2 %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    return copy_to_host(nullptr, to, from, bytes);
}

API int cuMemcpyDtoD_v2(DeviceAddress to, DeviceAddress from, size_t bytes) {
    trace("cuMemcpyDtoD_v2 %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    return copy_on_device(nullptr, to, from, bytes);
}

API int cuMemsetD8_v2(DeviceAddress to, unsigned char value, size_t bytes) {
    trace("cuMemsetD8_v2 %zu", bytes);
    if (Result error = require_allocation_allowed()) return error;
    return set_bytes(nullptr, to, value, bytes);
}

API int cuMemcpyHtoDAsync_v2(DeviceAddress to, const void* from, size_t bytes, void* stream) {
    trace("cuMemcpyHtoDAsync_v2 %zu stream %p", bytes, stream);
    if (Result error = require_context()) return error;
    return copy_to_device(stream, to, from, bytes);
}

API int cuMemcpyDtoHAsync_v2(void* to, DeviceAddress from, size_t bytes, void* stream) {
    trace("cuMemcpyDtoHAsync_v2 %zu stream %p", bytes, stream);
    if (Result error = require_context()) return error;
    return copy_to_host(stream, to, from, bytes);
}

API int cuMemcpyDtoDAsync_v2(DeviceAddress to, DeviceAddress from, size_t bytes, void* stream) {
    trace("cuMemcpyDtoDAsync_v2 %zu stream %p", bytes, stream);
    if (Result error = require_context()) return error;
    return copy_on_device(stream, to, from, bytes);
}

API int cuMemsetD8Async(DeviceAddress to, unsigned char value, size_t bytes, void* stream) {
    trace("cuMemsetD8Async %zu stream %p", bytes, stream);
    if (Result error = require_context()) return error;
    return set_bytes(stream, to, value, bytes);
}
