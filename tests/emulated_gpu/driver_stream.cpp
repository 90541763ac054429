// Streams, which do their work at once, events, and graphs captured from streams.
#include "gpu.h"

#include <time.h>

namespace gpu {

enum CaptureMode { GLOBAL, THREAD_LOCAL, RELAXED };
enum CaptureStatus { NONE, ACTIVE, INVALIDATED };

struct Stream {
    std::recursive_mutex mutex; // held while the stream works: its work is in order
    std::atomic<int> status{NONE};
    int mode = GLOBAL;
    std::thread::id capturer;
    std::shared_ptr<Graph> graph;
};

struct Event {
    explicit Event(bool is_timed) : is_timed(is_timed) {}
    const bool is_timed;
    bool is_recorded = false, is_captured = false;
    uint64_t nanoseconds = 0;
};

static Handles<Stream>& streams = *new Handles<Stream>;
static Handles<Event>& events = *new Handles<Event>;
static Handles<Graph>& graphs = *new Handles<Graph>;
struct GraphExec : Graph {
    explicit GraphExec(const Graph& graph) : Graph(graph) {}
};
static Handles<GraphExec>& execs = *new Handles<GraphExec>;

// The three streams that exist without being created are one.
static std::shared_ptr<Stream> find_stream(void* handle) {
    static const auto& default_stream = *new std::shared_ptr<Stream>(std::make_shared<Stream>());
    return reinterpret_cast<uintptr_t>(handle) <= 2 ? default_stream : streams.find(handle);
}

Result require_no_capture() {
    Result result = SUCCESS;
    for (auto& stream : streams.all()) {
        bool binds = stream->mode == GLOBAL ||
                     (stream->mode == THREAD_LOCAL && stream->capturer == std::this_thread::get_id());
        if (stream->status == NONE || !binds) continue;
        stream->status = INVALIDATED;
        result = STREAM_CAPTURE_UNSUPPORTED;
    }
    if (result) trace("  not permitted during a capture");
    return result;
}

Result submit(void* handle, Node node) {
    auto stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    std::lock_guard<std::recursive_mutex> lock(stream->mutex);
    if (stream->status == INVALIDATED) return STREAM_CAPTURE_INVALIDATED;
    if (stream->status == ACTIVE)
        stream->graph->push_back(std::move(node));
    else {
        node.run();
        check_red_zones(node.name);
    }
    return SUCCESS;
}

static Result create_stream(void** stream) {
    if (Result error = require_context()) return error;
    *stream = streams.create().get();
    return SUCCESS;
}

static uint64_t now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec);
}

static Result elapsed(float* milliseconds, void* from, void* to) {
    auto start = events.find(from), end = events.find(to);
    if (!start || !end || !start->is_timed || !end->is_timed) return INVALID_HANDLE;
    if (start->is_captured || end->is_captured) return CAPTURED_EVENT;
    if (!start->is_recorded || !end->is_recorded) return INVALID_HANDLE;
    *milliseconds = float(double(end->nanoseconds) - double(start->nanoseconds)) / 1e6f;
    return SUCCESS;
}

static Result finished(void* handle) {
    if (Result error = require_context()) return error;
    if (Result error = require_no_capture()) return error;
    auto event = events.find(handle);
    if (!event) return INVALID_HANDLE;
    return event->is_captured ? CAPTURED_EVENT : SUCCESS;
}

} // namespace gpu

using namespace gpu;

API int cuStreamCreate(void** stream, unsigned) {
    trace("cuStreamCreate");
    return create_stream(stream);
}

API int cuStreamCreateWithPriority(void** stream, unsigned, int priority) {
    trace("cuStreamCreateWithPriority %d", priority);
    return create_stream(stream);
}

API int cuStreamDestroy_v2(void* stream) {
    trace("cuStreamDestroy_v2");
    if (Result error = require_context()) return error;
    return streams.remove(stream) ? SUCCESS : INVALID_HANDLE;
}

API int cuStreamSynchronize(void* stream) {
    trace("cuStreamSynchronize %p", stream);
    count(STREAM_SYNCHRONIZATIONS);
    if (Result error = require_context()) return error;
    if (Result error = require_no_capture()) return error;
    return find_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

API int cuCtxSynchronize() {
    trace("cuCtxSynchronize");
    count(STREAM_SYNCHRONIZATIONS);
    if (Result error = require_context()) return error;
    return require_no_capture();
}

API int cuStreamQuery(void* stream) {
    trace("cuStreamQuery %p", stream);
    if (Result error = require_context()) return error;
    if (Result error = require_no_capture()) return error;
    return find_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

API int cuEventCreate(void** event, unsigned flags) {
    constexpr unsigned DISABLE_TIMING = 2;
    trace("cuEventCreate");
    if (Result error = require_context()) return error;
    *event = events.create(!(flags & DISABLE_TIMING)).get();
    return SUCCESS;
}

API int cuEventDestroy_v2(void* event) {
    trace("cuEventDestroy_v2");
    return events.remove(event) ? SUCCESS : INVALID_HANDLE;
}

API int cuEventRecord(void* handle, void* stream_handle) {
    trace("cuEventRecord stream %p", stream_handle);
    if (Result error = require_context()) return error;
    auto event = events.find(handle);
    auto stream = find_stream(stream_handle);
    if (!event || !stream) return INVALID_HANDLE;
    std::lock_guard<std::recursive_mutex> lock(stream->mutex);
    event->is_recorded = true;
    event->is_captured = stream->status != NONE;
    event->nanoseconds = now();
    return SUCCESS;
}

// Recorded as a part of the graph, the event takes its time at each replay.
API int cuEventRecordWithFlags(void* handle, void* stream_handle, unsigned flags) {
    constexpr unsigned EXTERNAL = 1;
    if (flags != EXTERNAL) return cuEventRecord(handle, stream_handle);
    trace("cuEventRecordWithFlags stream %p", stream_handle);
    if (Result error = require_context()) return error;
    auto event = events.find(handle);
    auto stream = find_stream(stream_handle);
    if (!event || !stream) return INVALID_HANDLE;
    if (stream->status == NONE) return INVALID_VALUE;
    return submit(stream_handle, {"an event", [event] {
                                      event->is_recorded = true;
                                      event->is_captured = false;
                                      event->nanoseconds = now();
                                  }});
}

API int cuEventQuery(void* event) {
    trace("cuEventQuery");
    return finished(event);
}

API int cuEventSynchronize(void* event) {
    trace("cuEventSynchronize");
    count(EVENT_SYNCHRONIZATIONS);
    return finished(event);
}

API int cuEventElapsedTime(float* milliseconds, void* from, void* to) { return elapsed(milliseconds, from, to); }

API int cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) { return elapsed(milliseconds, from, to); }

// What was recorded has been done; only what a capture makes of the wait matters. A stream cannot join another's
// capture here.
API int cuStreamWaitEvent(void* stream_handle, void* event_handle, unsigned) {
    trace("cuStreamWaitEvent stream %p", stream_handle);
    if (Result error = require_context()) return error;
    auto event = events.find(event_handle);
    auto stream = find_stream(stream_handle);
    if (!event || !stream) return INVALID_HANDLE;
    if (stream->status != NONE && !event->is_captured) return STREAM_CAPTURE_ISOLATION;
    if (stream->status == NONE && event->is_captured) return STREAM_CAPTURE_UNSUPPORTED;
    return SUCCESS;
}

API int cuStreamIsCapturing(void* handle, int* status) {
    auto stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    *status = stream->status;
    return SUCCESS;
}

API int cuStreamBeginCapture_v2(void* handle, int mode) {
    trace("cuStreamBeginCapture_v2 stream %p mode %d", handle, mode);
    count(CAPTURES);
    if (Result error = require_context()) return error;
    if (reinterpret_cast<uintptr_t>(handle) <= 2) return STREAM_CAPTURE_UNSUPPORTED;
    auto stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
    std::lock_guard<std::recursive_mutex> lock(stream->mutex);
    if (stream->status != NONE) return ILLEGAL_STATE;
    stream->mode = mode;
    stream->capturer = std::this_thread::get_id();
    stream->graph = std::make_shared<Graph>();
    stream->status = ACTIVE;
    return SUCCESS;
}

API int cuStreamEndCapture(void* handle, void** graph) {
    trace("cuStreamEndCapture stream %p", handle);
    *graph = nullptr;
    auto stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    std::lock_guard<std::recursive_mutex> lock(stream->mutex);
    if (stream->status == NONE) return ILLEGAL_STATE;
    if (stream->mode != RELAXED && stream->capturer != std::this_thread::get_id()) return STREAM_CAPTURE_WRONG_THREAD;
    int status = stream->status.exchange(NONE);
    if (status == INVALIDATED) return STREAM_CAPTURE_INVALIDATED;
    *graph = graphs.create(*stream->graph).get();
    return SUCCESS;
}

API int cuGraphInstantiateWithFlags(void** exec, void* handle, unsigned long long flags) {
    trace("cuGraphInstantiateWithFlags");
    constexpr unsigned long long AUTO_FREE = 1, UPLOAD = 2, NODE_PRIORITY = 8;
    auto graph = graphs.find(handle);
    if (!graph) return INVALID_HANDLE;
    if (flags & ~(AUTO_FREE | UPLOAD | NODE_PRIORITY)) return INVALID_VALUE;
    *exec = execs.create(*graph).get();
    return SUCCESS;
}

API int cuGraphInstantiate(void** exec, void* graph, unsigned long long flags) {
    return cuGraphInstantiateWithFlags(exec, graph, flags);
}

API int cuGraphUpload(void* exec, void* stream) {
    trace("cuGraphUpload stream %p", stream);
    return execs.find(exec) && find_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

API int cuGraphLaunch(void* handle, void* stream_handle) {
    trace("cuGraphLaunch stream %p", stream_handle);
    count(GRAPH_LAUNCHES);
    if (Result error = require_context()) return error;
    auto exec = execs.find(handle);
    auto stream = find_stream(stream_handle);
    if (!exec || !stream) return INVALID_HANDLE;
    std::lock_guard<std::recursive_mutex> lock(stream->mutex);
    if (stream->status != NONE) return STREAM_CAPTURE_UNSUPPORTED; // a graph within a graph is not emulated
    for (const Node& node : *exec) {
        trace("  node %s", node.name);
        submit(stream_handle, node);
        count(GRAPH_NODES_RUN);
    }
    return SUCCESS;
}

API int cuGraphExecDestroy(void* exec) {
    trace("cuGraphExecDestroy");
    return execs.remove(exec) ? SUCCESS : INVALID_HANDLE;
}

API int cuGraphDestroy(void* graph) {
    trace("cuGraphDestroy");
    return graphs.remove(graph) ? SUCCESS : INVALID_HANDLE;
}
