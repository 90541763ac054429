// Fibers: many stacks within one thread of the CPU, switched in a few nanoseconds.
//
// swapcontext() makes a system call at every switch, which is too slow for a block of threads that meet at every
// shuffle; on the two architectures at hand, a few instructions do.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if (!defined(__x86_64__) && !defined(__aarch64__)) || defined(EMULATED_UCONTEXT)
#define EMULATED_SWITCH_BY_UCONTEXT
#include <ucontext.h>
#endif

namespace emulated {

#ifdef EMULATED_SWITCH_BY_UCONTEXT

struct Context {
    ucontext_t saved;
};

inline void prepare_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context.saved);
    context.saved.uc_stack.ss_sp = stack;
    context.saved.uc_stack.ss_size = bytes;
    makecontext(&context.saved, entry, 0);
}

inline void switch_context(Context& from, Context& to) { swapcontext(&from.saved, &to.saved); }

#else

// A suspended fiber is its stack pointer; on its stack lie the frame pointer and where to go on.
struct Context {
    void* stack_pointer;
};

// The compiler keeps what it needs of the other registers, since they are said to be overwritten. The jump, rather
// than a return, is what makes this fast: a processor predicts that a return goes to the latest call.
#if defined(__x86_64__)
constexpr size_t ENTRY_WORD = 0;

inline __attribute__((always_inline)) void switch_context(Context& from, Context& to) {
    void **save = &from.stack_pointer, *load = to.stack_pointer;
    asm volatile("leaq -128(%%rsp), %%rsp\n\t" // below the red zone, where the compiler may keep variables
                 "pushq %%rbp\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "movq %%rsp, (%0)\n\t"
                 "movq %1, %%rsp\n\t"
                 "popq %%rax\n\t"
                 "jmp *%%rax\n"
                 "1:\n\t"
                 "popq %%rbp\n\t"
                 "leaq 128(%%rsp), %%rsp"
                 : "+D"(save), "+S"(load)
                 :
                 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
                   "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                   "xmm14", "xmm15", "memory", "cc");
}
#else
constexpr size_t ENTRY_WORD = 1;

inline __attribute__((always_inline)) void switch_context(Context& from, Context& to) {
    register void** save asm("x0") = &from.stack_pointer;
    register void* load asm("x1") = to.stack_pointer;
    asm volatile("adr x9, 1f\n\t"
                 "stp x29, x9, [sp, #-16]!\n\t"
                 "mov x9, sp\n\t"
                 "str x9, [x0]\n\t"
                 "mov sp, x1\n\t"
                 "ldp x29, x9, [sp], #16\n\t"
                 "br x9\n"
                 "1:"
                 : "+r"(save), "+r"(load)
                 :
                 : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
                   "x17", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1",
                   "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
                   "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
                   "v31", "memory", "cc");
}
#endif

// The entry finds the stack as if it had been called, from nowhere.
inline void prepare_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
    uint64_t* top = reinterpret_cast<uint64_t*>(stack + bytes / 16 * 16) - 2;
    top[0] = top[1] = 0;
    top[ENTRY_WORD] = reinterpret_cast<uint64_t>(entry);
    context.stack_pointer = top;
}

#endif

// `count` stacks, each above a page that faults, so that running out of stack is a crash and not a wrong result.
class Stacks {
public:
    static constexpr size_t USABLE = 128 * 1024, GUARD = 64 * 1024;

    explicit Stacks(size_t count) {
        void* mapped = mmap(nullptr, count * (USABLE + GUARD), PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) {
            perror("emulated GPU: no memory for the stacks of threads");
            abort();
        }
        base = static_cast<char*>(mapped);
        total = count * (USABLE + GUARD);
    }

    ~Stacks() { munmap(base, total); }

    Stacks(const Stacks&) = delete;

    char* stack(size_t index) {
        char* low = base + index * (USABLE + GUARD) + GUARD;
        if (mprotect(low, USABLE, PROT_READ | PROT_WRITE) != 0) {
            perror("emulated GPU: no stack for a thread");
            abort();
        }
        return low;
    }

    // Equal positions in all stacks would share a few lines of the CPU's cache: each stack starts a bit lower.
    static size_t usable_bytes(size_t index) { return USABLE - index % 61 * 64; }

private:
    char* base;
    size_t total;
};

} // namespace emulated
