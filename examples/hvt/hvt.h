/* Between a unikernel and its VMM: a 32-bit write of a structure's address to a port is a call; the answer lies in the structure. */
#ifndef HVT_H
#define HVT_H

#include <stdint.h>

enum { HVT_WALLTIME = 0x501, HVT_PUTS = 0x502, HVT_HALT = 0x503 };

struct hvt_boot_info {
    uint64_t memory_bytes, kernel_end;
    char argument[64];
};
struct hvt_walltime {
    uint64_t nanoseconds;
};
struct hvt_puts {
    uint64_t data, bytes;
};
struct hvt_halt {
    int32_t status;
};

#endif
