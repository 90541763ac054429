// Self tests of the driver: memory, graphs, captures, launches that a GPU refuses, compilation.
#include "self_test.h"

#include <thread>

constexpr int INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400;
constexpr int CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_WRONG_THREAD = 908;
constexpr int GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2;

static void test_memory() {
    size_t free_before, free_now, total;
    check(cuMemGetInfo_v2(&free_before, &total) == 0 && total >= free_before, "memory info");
    uint64_t address;
    check(cuMemAlloc_v2(&address, total + 1) == OUT_OF_MEMORY, "more than there is");
    check(cuMemAllocAsync(&address, size_t(1) << 60, nullptr) == OUT_OF_MEMORY, "far more than there is");
    check(cuMemAlloc_v2(&address, 1000) == 0, "an allocation");
    check(cuMemGetInfo_v2(&free_now, &total) == 0 && free_before - free_now == 1024, "memory in use is told");
    char byte;
    check(cuMemcpyDtoHAsync_v2(&byte, address + 1000, 1, nullptr) == INVALID_VALUE, "a copy from beyond");
    check(cuMemsetD8Async(address + 500, 0, 501, nullptr) == INVALID_VALUE, "a memset beyond");
    check(cuMemFree_v2(address) == 0, "a free");
    check(cuMemFree_v2(address) == INVALID_VALUE, "a second free");
    Buffer<float> fresh(10);
    for (float value : fresh.read()) check(value != value, "fresh memory is NaN");
    Buffer<char> most(free_before - 4096); // of which the host gives only the pages that are written
    check(cuMemsetD8Async(most.address + most.count - 1, 7, 1, nullptr) == 0, "a memset at the end");
    char ends[2];
    check(cuMemcpyDtoHAsync_v2(ends, most.address + most.count - 2, 2, nullptr) == 0, "a copy of the end");
    check(ends[0] == -1 && ends[1] == 7, "all of the memory is NaN until it is written");
}

static void test_red_zones() {
    check_dies("beyond the allocation of 396 bytes", [] {
        Buffer<int> out(99);
        launch("fill", {1, 128}, out.address, 7, 100);
    });
    check_dies("found after fill", [] {
        Buffer<int> out(99);
        launch("fill", {1, 128}, out.address - 4, 7, 1);
    });
}

static void test_refused_launches() {
    Buffer<int> out(32);
    check(launch_result("fill", {0, 32}, out.address, 1, 1) == INVALID_VALUE, "an empty grid");
    check(launch_result("fill", {1, 2048}, out.address, 1, 1) == INVALID_VALUE, "a block of 2048 threads");
    check(launch_result("fill", {1, 32, 49 * 1024}, out.address, 1, 1) == INVALID_VALUE, "48 KiB");
    check(launch_result("fill", {1, 32, 0, &out}, out.address, 1, 1) == INVALID_HANDLE, "a stream that is none");
    int result = 0;
    std::thread([&] { result = launch_result("fill", {}, out.address, 1, 1); }).join();
    check(result == INVALID_CONTEXT, "a thread without a context");
}

static void test_graphs(void* stream) {
    Buffer<int> out(64);
    void *graph, *exec;
    check(cuStreamBeginCapture_v2(stream, THREAD_LOCAL) == 0, "begin");
    for (int value = 1; value <= 2; value++) // the second writes half of what the first does
        launch("fill", {1, 64, 0, stream}, out.address, value, 64 / value);
    check(cuStreamEndCapture(stream, &graph) == 0 && graph, "end");
    check(out.read()[0] == -1, "nothing has run yet");
    check(cuGraphInstantiateWithFlags(&exec, graph, 0) == 0 && cuGraphDestroy(graph) == 0, "instantiate");
    for (int round = 0; round < 2; round++) {
        check(cuMemsetD8Async(out.address, 0, 256, stream) == 0, "memset");
        check(cuGraphLaunch(exec, stream) == 0, "a replay");
        std::vector<int> got = out.read();
        check(got[0] == 2 && got[31] == 2 && got[32] == 1 && got[63] == 1, "arguments are kept by value");
    }
    check(cuGraphExecDestroy(exec) == 0 && cuGraphLaunch(exec, stream) == INVALID_HANDLE, "destroy");
}

static void test_forbidden_in_capture(void* stream) {
    void *event, *graph, *function;
    uint64_t address;
    check(cuEventCreate(&event, 0) == 0 && cuEventRecord(event, stream) == 0, "an event");
    const std::function<int()> forbidden[] = {
        [&] { return cuMemAlloc_v2(&address, 16); },
        [&] { return cuMemAllocAsync(&address, 16, stream); },
        [&] { return cuStreamSynchronize(stream); },
        [&] { return cuEventQuery(event); },
        [&] { return cuModuleLoadData(&function, nullptr); },
    };
    for (auto& call : forbidden) {
        int status;
        check(cuStreamBeginCapture_v2(stream, THREAD_LOCAL) == 0, "begin");
        check(call() == CAPTURE_UNSUPPORTED, "forbidden in a capture");
        check(cuStreamIsCapturing(stream, &status) == 0 && status == 2, "the capture is spoilt");
        check(cuStreamEndCapture(stream, &graph) == CAPTURE_INVALIDATED && !graph, "and gives no graph");
    }
    // What another thread may do depends on the mode of the capture, which only its own thread may end.
    for (int mode : {GLOBAL, THREAD_LOCAL, RELAXED}) {
        check(cuStreamBeginCapture_v2(stream, mode) == 0, "begin");
        int query = 0, end = 0;
        std::thread([&] {
            void* context;
            cuDevicePrimaryCtxRetain(&context, 0);
            cuCtxSetCurrent(context);
            query = cuEventQuery(event);
            if (mode == THREAD_LOCAL) end = cuStreamEndCapture(stream, &graph);
        }).join();
        check(query == (mode == GLOBAL ? CAPTURE_UNSUPPORTED : 0), "an event query of another thread");
        check(mode != THREAD_LOCAL || end == CAPTURE_WRONG_THREAD, "an end by another thread");
        check(cuStreamEndCapture(stream, &graph) == (mode == GLOBAL ? CAPTURE_INVALIDATED : 0), "end");
    }
}

static void test_compilation() {
    std::string log;
    check(compile("extern \"C\" __global__ void broken() { undeclared(); }", {}, &log).empty(), "an error");
    check(log.find("undeclared") != std::string::npos, "the log says what is wrong");
    const char* source = "static_assert(FIRST == 1 && SECOND == 2, \"defines\");";
    check(!compile(source, {"-DFIRST=1", "--define-macro=SECOND=2", "-default-device"}).empty(), "both forms");
    check(compile(source, {"-DFIRST=1", "-DSECOND=3"}).empty(), "defines decide");
}

void test_driver() {
    void* stream;
    check(cuStreamCreate(&stream, 1) == 0, "a stream");
    test_memory();
    test_red_zones();
    test_refused_launches();
    test_graphs(stream);
    test_forbidden_in_capture(stream);
    test_compilation();
}
