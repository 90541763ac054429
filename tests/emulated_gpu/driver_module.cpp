// Modules, which are shared objects that g++ made of the kernels, their functions, and launches.
#include "gpu.h"
#include "image.h"

#include <algorithm>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace gpu {

// What emulated_cuda.h makes in every shared object.
typedef void* BindKernel(void** params);
typedef void RunKernel(void* closure, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared_bytes);
typedef void FreeKernel(void* closure);

struct Module {
    void* library = nullptr;
    RunKernel* run = nullptr;
    FreeKernel* release = nullptr;
    std::mutex mutex;
    std::unordered_map<std::string, void*> functions; // handles by name

    ~Module() {
        if (library) dlclose(library);
    }
};

struct Function {
    Function(std::string name, BindKernel* bind, std::shared_ptr<Module> module)
        : name(std::move(name)), bind(bind), module(std::move(module)) {}
    const std::string name;
    BindKernel* const bind;
    const std::shared_ptr<Module> module;
    std::atomic<int> max_dynamic_shared{48 * 1024};
};

static Handles<Module>& modules = *new Handles<Module>;
static Handles<Function>& functions = *new Handles<Function>;

// A file of its own for every load, in memory, since a library of the same file would be the same library.
static void* open_image(const void* image) {
    ImageHeader header;
    memcpy(&header, image, sizeof header);
    if (memcmp(header.magic, IMAGE_MAGIC, sizeof header.magic) != 0) return nullptr;
    int file = memfd_create("emulated_module", MFD_CLOEXEC);
    if (file < 0) return nullptr;
    const char* bytes = static_cast<const char*>(image) + sizeof header;
    void* library = nullptr;
    if (write(file, bytes, header.bytes) == static_cast<ssize_t>(header.bytes))
        library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "emulated GPU: cannot load a module: %s\n", dlerror());
    close(file);
    return library;
}

struct LaunchShape {
    unsigned gx, gy, gz, bx, by, bz, shared_bytes;
};

static bool is_possible(const LaunchShape& s, const Function& function) {
    unsigned long long threads = 1ull * s.bx * s.by * s.bz, blocks = 1ull * s.gx * s.gy * s.gz;
    return threads > 0 && threads <= 1024 && s.bz <= 64 && blocks > 0 && s.gx <= 0x7FFFFFFF && s.gy <= 65535 &&
           s.gz <= 65535 && s.shared_bytes <= unsigned(function.max_dynamic_shared);
}

static Result launch(void* handle, const LaunchShape& s, void* stream, void** params, void** extra) {
    count(KERNEL_LAUNCHES);
    if (Result error = require_context()) return error;
    auto function = functions.find(handle);
    if (!function) return INVALID_HANDLE;
    trace("launch %s grid %u,%u,%u block %u,%u,%u shared %u stream %p", function->name.c_str(), s.gx, s.gy, s.gz, s.bx,
          s.by, s.bz, s.shared_bytes, stream);
    if (extra) return NOT_SUPPORTED;
    if (!is_possible(s, *function)) return INVALID_VALUE;
    std::shared_ptr<void> closure(function->bind(params), function->module->release);
    return submit(stream, {function->name.c_str(), [function, closure, s] {
                               function->module->run(closure.get(), s.gx, s.gy, s.gz, s.bx, s.by, s.bz,
                                                     s.shared_bytes);
                           }});
}

static Result max_active_blocks(int* blocks, void* handle, int threads, size_t shared_bytes) {
    if (!functions.find(handle)) return INVALID_HANDLE;
    if (threads <= 0) return INVALID_VALUE;
    constexpr size_t RESERVED = 1024; // of shared memory, by the system, for every block
    size_t by_shared = (max_shared_per_block() + RESERVED) / (shared_bytes + RESERVED);
    *blocks = std::min({2048 / threads, 32, static_cast<int>(by_shared)});
    return SUCCESS;
}

} // namespace gpu

using namespace gpu;

// As in cuda.h.
struct LaunchAttribute {
    unsigned id;
    char pad[4];
    union {
        char bytes[64];
        int programmatic_serialization_allowed;
        uint64_t alignment;
    } value;
};

struct LaunchConfig {
    unsigned gx, gy, gz, bx, by, bz, shared_bytes;
    void* stream;
    LaunchAttribute* attributes;
    unsigned num_attributes;
};

API int cuModuleLoadData(void** module, const void* image) {
    trace("cuModuleLoadData");
    count(MODULE_LOADS);
    if (Result error = require_context()) return error;
    if (Result error = require_no_capture()) return error;
    void* library = open_image(image);
    if (!library) return INVALID_IMAGE;
    auto loaded = modules.create();
    loaded->library = library;
    loaded->run = reinterpret_cast<RunKernel*>(dlsym(library, "emulated_run"));
    loaded->release = reinterpret_cast<FreeKernel*>(dlsym(library, "emulated_free"));
    *module = loaded.get();
    return SUCCESS;
}

API int cuModuleUnload(void* handle) {
    trace("cuModuleUnload");
    if (Result error = require_context()) return error;
    if (Result error = require_no_capture()) return error;
    auto module = modules.find(handle);
    if (!module) return INVALID_HANDLE;
    for (auto& [name, function] : module->functions) functions.remove(function);
    modules.remove(handle);
    return SUCCESS;
}

API int cuModuleGetFunction(void** function, void* handle, const char* name) {
    trace("cuModuleGetFunction %s", name);
    count(FUNCTION_LOOKUPS);
    auto module = modules.find(handle);
    if (!module) return INVALID_HANDLE;
    auto* bind = reinterpret_cast<BindKernel*>(dlsym(module->library, (std::string(name) + "__bind").c_str()));
    if (!bind) return NOT_FOUND;
    std::lock_guard<std::mutex> lock(module->mutex);
    void*& known = module->functions[name];
    if (!known) known = functions.create(name, bind, module).get();
    *function = known;
    return SUCCESS;
}

// By CUfunction_attribute.
enum FunctionAttribute {
    MAX_THREADS_PER_BLOCK,
    SHARED_SIZE_BYTES,
    CONST_SIZE_BYTES,
    LOCAL_SIZE_BYTES,
    NUM_REGS,
    PTX_VERSION,
    BINARY_VERSION,
    CACHE_MODE_CA,
    MAX_DYNAMIC_SHARED_SIZE_BYTES,
    PREFERRED_SHARED_MEMORY_CARVEOUT,
};

API int cuFuncGetAttribute(int* value, int attribute, void* handle) {
    auto function = functions.find(handle);
    if (!function) return INVALID_HANDLE;
    switch (attribute) {
    case MAX_THREADS_PER_BLOCK:
        *value = 1024;
        return SUCCESS;
    case SHARED_SIZE_BYTES: // what g++ makes does not tell
    case CONST_SIZE_BYTES:
    case LOCAL_SIZE_BYTES:
    case CACHE_MODE_CA:
        *value = 0;
        return SUCCESS;
    case NUM_REGS:
        *value = 64;
        return SUCCESS;
    case PTX_VERSION:
    case BINARY_VERSION:
        *value = static_cast<int>(arch());
        return SUCCESS;
    case MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = function->max_dynamic_shared;
        return SUCCESS;
    case PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = -1;
        return SUCCESS;
    default:
        return INVALID_VALUE;
    }
}

API int cuFuncSetAttribute(void* handle, int attribute, int value) {
    trace("cuFuncSetAttribute %d %d", attribute, value);
    auto function = functions.find(handle);
    if (!function) return INVALID_HANDLE;
    if (attribute == PREFERRED_SHARED_MEMORY_CARVEOUT) return value >= -1 && value <= 100 ? SUCCESS : INVALID_VALUE;
    if (attribute != MAX_DYNAMIC_SHARED_SIZE_BYTES) return INVALID_VALUE;
    if (value < 0 || size_t(value) > max_shared_per_block()) return INVALID_VALUE;
    function->max_dynamic_shared = value;
    return SUCCESS;
}

API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t shared_bytes) {
    return max_active_blocks(blocks, function, threads, shared_bytes);
}

API int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* function, int threads,
                                                             size_t shared_bytes, unsigned) {
    return max_active_blocks(blocks, function, threads, shared_bytes);
}

API int cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, void* function, int blocks, int) {
    if (!functions.find(function)) return INVALID_HANDLE;
    if (blocks <= 0) return INVALID_VALUE;
    *bytes = max_shared_per_block() / size_t(blocks);
    return SUCCESS;
}

API int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared_bytes, void* stream, void** params, void** extra) {
    return launch(function, {gx, gy, gz, bx, by, bz, shared_bytes}, stream, params, extra);
}

API int cuLaunchKernelEx(const LaunchConfig* c, void* function, void** params, void** extra) {
    constexpr unsigned PROGRAMMATIC_STREAM_SERIALIZATION = 6;
    for (unsigned i = 0; i < c->num_attributes; i++) {
        const LaunchAttribute& attribute = c->attributes[i];
        if (attribute.id != PROGRAMMATIC_STREAM_SERIALIZATION) continue;
        if (attribute.value.programmatic_serialization_allowed) count(PROGRAMMATIC_LAUNCHES);
    }
    return launch(function, {c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared_bytes}, c->stream, params, extra);
}
