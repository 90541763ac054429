// Counters of calls, for tests that say what a step costs, and the trace of all calls.
#include "gpu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

namespace gpu {

static std::atomic<uint64_t> counters[NUM_COUNTERS];

void count(Counter counter, uint64_t by) { counters[counter] += by; }

uint64_t number_of_env(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    return text && *text ? strtoull(text, nullptr, 0) : otherwise;
}

void trace(const char* format, ...) {
    static FILE* file = [] {
        const char* path = getenv("EMULATED_GPU_TRACE");
        FILE* opened = path && *path ? fopen(path, "ae") : nullptr;
        if (opened) setvbuf(opened, nullptr, _IOLBF, 0);
        return opened;
    }();
    if (!file) return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(file, "%s\n", line);
}

} // namespace gpu

// Fills a struct of 64-bit counters in the order of gpu::Counter.
API void emulated_gpu_counts(uint64_t* counts) {
    for (int i = 0; i < gpu::NUM_COUNTERS; i++) counts[i] = gpu::counters[i];
}
