// NVRTC by g++: the source of kernels becomes a shared object that includes emulated_cuda.h.
//
// What was compiled is kept beside the library, by a hash of all that went into it: a test program starts fast, and
// programs that want the same kernels at once do not disturb each other.
#include "gpu.h"
#include "image.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace gpu {

enum NvrtcResult {
    NVRTC_SUCCESS = 0,
    NVRTC_INVALID_INPUT = 3,
    NVRTC_INVALID_PROGRAM = 4,
    NVRTC_COMPILATION = 6,
    NVRTC_INTERNAL_ERROR = 11,
};

struct Program {
    explicit Program(const char* source) : source(source) {}
    const std::string source;
    std::string log, image;
};

static Handles<Program>& programs = *new Handles<Program>;

static std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static bool write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    return !file.fail();
}

// The folder that build.sh wrote, from where this code was loaded.
static std::string own_folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<const void*>(&own_folder), &info)) return ".";
    std::string path = info.dli_fname;
    return path.substr(0, path.find_last_of('/'));
}

static void hash(uint64_t& state, const std::string& text) { // FNV-1a
    for (unsigned char c : text + '\0') state = (state ^ c) * 0x100000001B3;
}

static std::vector<std::string> arguments_of_compiler(const std::string& folder, int num_options,
                                                      const char* const* options) {
    const char* compiler = getenv("CXX");
    std::vector<std::string> arguments = {
        compiler && *compiler ? compiler : "g++", "-x", "c++", "-std=c++17", "-O2", "-fPIC", "-shared",
        "-Wl,-Bsymbolic", "-fno-gnu-unique",
        "-fno-strict-aliasing", // CUDA sources read vectors through pointers to other types
        "-fsanitize=alignment,bounds", "-fno-sanitize-recover=all", "-DFIDELIO_EMULATED", "-include",
        folder + "/emulated_cuda.h"};
    const std::string LONG = "--define-macro=";
    for (int i = 0; i < num_options; i++) {
        std::string option = options[i];
        if (option.rfind(LONG, 0) == 0) arguments.push_back("-D" + option.substr(LONG.size()));
        if (option.rfind("-D", 0) == 0) arguments.push_back(option);
    }
    return arguments;
}

// Runs a command with all of its output in a file; whether it succeeded.
static bool run(std::vector<std::string> arguments, const std::string& output) {
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child;
    int status = -1;
    if (posix_spawnp(&child, pointers[0], &actions, nullptr, pointers.data(), environ) == 0)
        waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

// Compiles in a folder of its own and moves the result to `object` at once, so that nobody sees half of it.
static NvrtcResult build(Program& program, std::vector<std::string> arguments, const std::string& object) {
    std::string folder = object + ".XXXXXX";
    if (!mkdtemp(folder.data())) {
        program.log = "cannot write beside " + object;
        return NVRTC_INTERNAL_ERROR;
    }
    std::string source = folder + "/kernels.cu", log = folder + "/log", made = folder + "/kernels.so";
    NvrtcResult result = NVRTC_INTERNAL_ERROR;
    if (write_file(source, program.source)) {
        arguments.insert(arguments.end(), {source, "-o", made});
        result = run(arguments, log) ? NVRTC_SUCCESS : NVRTC_COMPILATION;
        program.log = read_file(log);
        if (result == NVRTC_SUCCESS && rename(made.c_str(), object.c_str()) != 0) result = NVRTC_INTERNAL_ERROR;
    }
    for (const std::string& file : {source, log, made}) unlink(file.c_str());
    rmdir(folder.c_str());
    return result;
}

static NvrtcResult compile(Program& program, int num_options, const char* const* options) {
    std::string folder = own_folder();
    std::vector<std::string> arguments = arguments_of_compiler(folder, num_options, options);
    uint64_t key = 0xCBF29CE484222325;
    hash(key, program.source);
    for (const std::string& argument : arguments) hash(key, argument);
    for (const char* header : {"cuda", "block", "tensor", "fiber"})
        hash(key, read_file(folder + "/emulated_" + header + ".h"));
    char name[64];
    snprintf(name, sizeof name, "/kernels-%016llx.so", static_cast<unsigned long long>(key));
    std::string object = folder + name, bytes = read_file(object);
    if (bytes.empty()) {
        if (NvrtcResult error = build(program, arguments, object)) return error;
        bytes = read_file(object);
    }
    ImageHeader header{};
    memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
    header.bytes = bytes.size();
    program.image.assign(reinterpret_cast<const char*>(&header), sizeof header);
    program.image += bytes;
    return NVRTC_SUCCESS;
}

static NvrtcResult image_size(const void* handle, size_t* size) {
    auto program = programs.find(handle);
    if (!program || program->image.empty()) return NVRTC_INVALID_PROGRAM;
    *size = program->image.size();
    return NVRTC_SUCCESS;
}

static NvrtcResult image(const void* handle, char* bytes) {
    auto program = programs.find(handle);
    if (!program || program->image.empty()) return NVRTC_INVALID_PROGRAM;
    memcpy(bytes, program->image.data(), program->image.size());
    return NVRTC_SUCCESS;
}

} // namespace gpu

using namespace gpu;

API int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}

API const char* nvrtcGetErrorString(int result) {
    switch (result) {
    case NVRTC_SUCCESS:
        return "NVRTC_SUCCESS";
    case NVRTC_INVALID_INPUT:
        return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_INVALID_PROGRAM:
        return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_COMPILATION:
        return "NVRTC_ERROR_COMPILATION";
    default:
        return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

API int nvrtcCreateProgram(void** program, const char* source, const char* name, int num_headers, const char* const*,
                           const char* const*) {
    trace("nvrtcCreateProgram %s", name ? name : "");
    if (!source || num_headers != 0) return NVRTC_INVALID_INPUT;
    *program = programs.create(source).get();
    return NVRTC_SUCCESS;
}

API int nvrtcDestroyProgram(void** program) {
    if (!programs.remove(*program)) return NVRTC_INVALID_PROGRAM;
    *program = nullptr;
    return NVRTC_SUCCESS;
}

API int nvrtcCompileProgram(void* handle, int num_options, const char* const* options) {
    auto program = programs.find(handle);
    if (!program) return NVRTC_INVALID_PROGRAM;
    for (int i = 0; i < num_options; i++) trace("nvrtcCompileProgram %s", options[i]);
    return compile(*program, num_options, options);
}

API int nvrtcGetProgramLogSize(void* handle, size_t* size) {
    auto program = programs.find(handle);
    if (!program) return NVRTC_INVALID_PROGRAM;
    *size = program->log.size() + 1;
    return NVRTC_SUCCESS;
}

API int nvrtcGetProgramLog(void* handle, char* log) {
    auto program = programs.find(handle);
    if (!program) return NVRTC_INVALID_PROGRAM;
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
}

// There is no PTX: cuModuleLoadData takes the same image for both.
API int nvrtcGetCUBINSize(void* program, size_t* size) { return image_size(program, size); }
API int nvrtcGetPTXSize(void* program, size_t* size) { return image_size(program, size); }
API int nvrtcGetCUBIN(void* program, char* bytes) { return image(program, bytes); }
API int nvrtcGetPTX(void* program, char* bytes) { return image(program, bytes); }
