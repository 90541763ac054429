// Self tests of the emulated GPU: what the parts share, and their order. The argument is the folder of the sources.
#include "self_test.h"

#include <fstream>
#include <iterator>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void* module;

void check(bool condition, const char* what, int line) {
    if (condition) return;
    fprintf(stderr, "self test: failed at line %d: %s\n", line, what);
    _exit(1);
}

static std::string read_all(int file) {
    std::string text;
    char part[4096];
    for (ssize_t got; (got = read(file, part, sizeof part)) > 0;) text.append(part, size_t(got));
    return text;
}

void check_dies(const std::string& message, const std::function<void()>& run, int line) {
    int ends[2], status;
    check(pipe(ends) == 0, "a pipe", line);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        run();
        _exit(0);
    }
    close(ends[1]);
    std::string said = read_all(ends[0]);
    close(ends[0]);
    waitpid(child, &status, 0);
    check(status != 0, "should have died", line);
    check(said.find(message) != std::string::npos, ("should have said \"" + message + "\", said: " + said).c_str(),
          line);
}

std::string compile(const std::string& source, const std::vector<const char*>& options, std::string* log) {
    void* program;
    check(nvrtcCreateProgram(&program, source.c_str(), "self_test.cu", 0, nullptr, nullptr) == 0, "a program");
    int result = nvrtcCompileProgram(program, int(options.size()), options.data());
    size_t size = 0;
    nvrtcGetProgramLogSize(program, &size);
    std::string said(size, 0), image;
    nvrtcGetProgramLog(program, said.data());
    if (log) *log = said;
    if (result == 0) {
        check(nvrtcGetCUBINSize(program, &size) == 0, "the size of the image");
        image.resize(size);
        nvrtcGetCUBIN(program, image.data());
    }
    nvrtcDestroyProgram(&program);
    return image;
}

int try_launch(const char* name, Shape shape, std::vector<void*> params) {
    void* function;
    check(cuModuleGetFunction(&function, module, name) == 0, name);
    return cuLaunchKernel(function, shape.grid, 1, 1, shape.block, 1, 1, shape.shared_bytes, shape.stream,
                          params.data(), nullptr);
}

uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return uint16_t(bits >> 16);
}

float from_bf16(uint16_t bits) {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

int main(int argc, char** argv) {
    check(argc == 2, "the argument is the folder of the sources");
    void* context;
    check(cuInit(0) == 0 && cuDevicePrimaryCtxRetain(&context, 0) == 0 && cuCtxSetCurrent(context) == 0, "a context");
    std::ifstream file(std::string(argv[1]) + "/self_test.cu");
    std::string source{std::istreambuf_iterator<char>(file), {}}, log;
    std::string image = compile(source, {"--gpu-architecture=sm_90"}, &log);
    check(!image.empty(), log.c_str());
    check(cuModuleLoadData(&module, image.data()) == 0, "a module");
    test_kernels();
    test_driver();
    test_products();
    check(cuModuleUnload(module) == 0, "unload");
    puts("the emulated GPU passes its self tests");
}
