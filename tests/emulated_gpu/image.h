// The "cubin" of the emulated GPU: this, then the bytes of a shared object.
#pragma once

#include <stdint.h>

constexpr char IMAGE_MAGIC[8] = {'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D'};

struct ImageHeader {
    char magic[8];
    uint64_t bytes;
};
