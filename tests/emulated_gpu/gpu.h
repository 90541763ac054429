// What the parts of the emulated GPU share: counters, the trace, device memory, streams.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stddef.h>
#include <stdint.h>
#include <thread>
#include <unordered_map>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

typedef uint64_t DeviceAddress;

// The results of the driver that this one gives, with CUDA's values.
enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_ISOLATION = 905,
    CAPTURED_EVENT = 907,
    STREAM_CAPTURE_WRONG_THREAD = 908,
};

namespace gpu {

// --- counts.cpp: calls of the host, whether they run at once or are captured; only GRAPH_NODES_RUN counts replays ---

enum Counter {
    KERNEL_LAUNCHES,
    PROGRAMMATIC_LAUNCHES,
    GRAPH_LAUNCHES,
    GRAPH_NODES_RUN,
    ALLOCATIONS,
    FREES,
    COPIES_TO_DEVICE,
    COPIES_TO_HOST,
    COPIES_ON_DEVICE,
    MEMSETS,
    MODULE_LOADS,
    FUNCTION_LOOKUPS,
    HEURISTIC_QUERIES,
    MATMULS,
    STREAM_SYNCHRONIZATIONS,
    EVENT_SYNCHRONIZATIONS,
    CAPTURES,
    NUM_COUNTERS,
};

void count(Counter counter, uint64_t by = 1);

// A line in the file named by EMULATED_GPU_TRACE.
__attribute__((format(printf, 1, 2))) void trace(const char* format, ...);

uint64_t number_of_env(const char* name, uint64_t otherwise);

// --- driver_device.cpp ---

constexpr const char* NAME = "Emulated GPU";
constexpr const char* UUID_TEXT = "GPU-66696465-6c69-6f20-656d-756c61746f72";
unsigned arch();                 // 90 for compute capability 9.0
size_t max_shared_per_block();   // with cuFuncSetAttribute
Result require_context();        // of the calling thread

// --- driver_memory.cpp ---

struct MemoryInfo {
    size_t total, used;
};
MemoryInfo memory_info();
bool is_device_range(DeviceAddress address, size_t bytes);
inline bool is_device_range(const void* address, size_t bytes) {
    return is_device_range(reinterpret_cast<DeviceAddress>(address), bytes);
}
void check_red_zones(const char* after); // aborts when something was written beside an allocation

// --- driver_stream.cpp ---

struct Node {
    const char* name; // of a kernel or a call; lives as long as `run`
    std::function<void()> run;
};

typedef std::vector<Node> Graph;

// Runs the work of a call on a stream at once, or records it if the stream captures.
Result submit(void* stream, Node node);

// For calls that are an error while a capture forbids them, and spoil it: allocation, synchronisation and the like.
Result require_no_capture();

// --- Handles that the program holds -------------------------------------------------------------------------------

// What the program may pass as a handle: anything else is an error and not a crash. Kept alive while it is in use.
// These lists themselves are never destroyed: other threads of the program may still call while it exits.
template <class T> class Handles {
public:
    template <class... Arguments> std::shared_ptr<T> create(Arguments&&... arguments) {
        auto object = std::make_shared<T>(std::forward<Arguments>(arguments)...);
        std::lock_guard<std::mutex> lock(mutex);
        live.emplace(object.get(), object);
        return object;
    }

    std::shared_ptr<T> find(const void* handle) {
        std::lock_guard<std::mutex> lock(mutex);
        auto found = live.find(handle);
        return found == live.end() ? nullptr : found->second;
    }

    bool remove(const void* handle) {
        std::lock_guard<std::mutex> lock(mutex);
        return live.erase(handle) == 1;
    }

    std::vector<std::shared_ptr<T>> all() {
        std::lock_guard<std::mutex> lock(mutex);
        std::vector<std::shared_ptr<T>> objects;
        for (auto& [handle, object] : live) objects.push_back(object);
        return objects;
    }

private:
    std::mutex mutex;
    std::unordered_map<const void*, std::shared_ptr<T>> live;
};

} // namespace gpu
