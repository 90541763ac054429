// Fibers: many stacks within one thread of the CPU, switched in a few nanoseconds.
//
// swapcontext() makes a system call at every switch, which is too slow for a block of threads that meet at every
// shuffle; on the two architectures at hand, ten instructions do.
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

// A suspended fiber is its stack pointer: the registers that a call must keep lie on its stack.
struct Context {
    void* stack_pointer;
};

extern "C" __attribute__((visibility("hidden"))) void emulated_switch(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
    .text
    .hidden emulated_switch
    .globl emulated_switch
    .type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_switch, . - emulated_switch
)");
// Six registers, the address to return to (the entry) and a null where the entry's caller would be.
inline constexpr size_t SAVED_WORDS = 8, RETURN_WORD = 6;
#else
asm(R"(
    .text
    .hidden emulated_switch
    .globl emulated_switch
    .type emulated_switch, %function
emulated_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulated_switch, . - emulated_switch
)");
inline constexpr size_t SAVED_WORDS = 20, RETURN_WORD = 11;
#endif

inline void prepare_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
    uint64_t* top = reinterpret_cast<uint64_t*>(stack + bytes / 16 * 16) - SAVED_WORDS;
    for (size_t i = 0; i < SAVED_WORDS; i++) top[i] = 0;
    top[RETURN_WORD] = reinterpret_cast<uint64_t>(entry);
    context.stack_pointer = top;
}

inline void switch_context(Context& from, Context& to) { emulated_switch(&from.stack_pointer, to.stack_pointer); }

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
