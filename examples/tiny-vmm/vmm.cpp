/*
 * Runs a Linux program that is linked statically in a guest's user mode, after the manner of TinyKVM: there is no kernel in the guest, its
 * SYSCALL instructions come to a stub of two instructions that asks the monitor.
 *
 *   c++ -O2 -o tiny-vmm vmm.cpp && ./slate run -- ./tiny-vmm guest
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/*
 * KVM's headers end some structures in a flexible array that C++ gives a size and shifts, so that neither they nor the requests that carry
 * their size are KVM's. These are.
 */
struct Cpuid {
    uint32_t count = 100, padding = 0;
    std::array<kvm_cpuid_entry2, 100> entries{};
};
struct Msrs {
    uint32_t count, padding;
    std::array<kvm_msr_entry, 3> entries;
};
constexpr unsigned long GET_SUPPORTED_CPUID = _IOWR(KVMIO, 0x05, uint64_t), SET_CPUID2 = _IOW(KVMIO, 0x90, uint64_t), SET_MSRS = _IOW(KVMIO, 0x89, uint64_t);

constexpr uint64_t MEMORY = 64 << 20, TABLES = 0x1000, STUB = 0x5000, HEAP = 32 << 20, MAPPINGS = 40 << 20, STACK = 60 << 20;
constexpr uint16_t PORT = 0x5f;

long ask(int fd, unsigned long request, const char *name, const void *argument = nullptr) {
    long r = ioctl(fd, request, argument);
    if (r < 0) throw std::runtime_error(std::string(name) + ": " + strerror(errno));
    return r;
}
#define ASK(fd, request, ...) ask(fd, request, #request __VA_OPT__(, ) __VA_ARGS__)

kvm_segment segment(uint16_t selector, uint8_t type, uint8_t dpl, bool code) {
    kvm_segment s{};
    s.limit = 0xffffffff, s.selector = selector, s.type = type, s.present = 1, s.dpl = dpl, s.db = !code, s.s = 1, s.l = code, s.g = 1;
    return s;
}

class Machine {
  public:
    Machine() {
        kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (kvm < 0) throw std::runtime_error(std::string("/dev/kvm: ") + strerror(errno));
        vm = static_cast<int>(ASK(kvm, KVM_CREATE_VM));
        memory = static_cast<char *>(mmap(nullptr, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (memory == MAP_FAILED) throw std::runtime_error("no memory");
        kvm_userspace_memory_region region{};
        region.memory_size = MEMORY;
        region.userspace_addr = reinterpret_cast<uint64_t>(memory);
        ASK(vm, KVM_SET_USER_MEMORY_REGION, &region);
        vcpu = static_cast<int>(ASK(vm, KVM_CREATE_VCPU));
        run_area = static_cast<kvm_run *>(mmap(nullptr, ASK(kvm, KVM_GET_VCPU_MMAP_SIZE), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
        if (run_area == MAP_FAILED) throw std::runtime_error("no run area");
        Cpuid cpuid;
        ASK(kvm, GET_SUPPORTED_CPUID, &cpuid);
        ASK(vcpu, SET_CPUID2, &cpuid);
    }

    int run(const std::vector<char> &program, const std::string &name) {
        enter(program, name);
        for (;;) {
            ASK(vcpu, KVM_RUN);
            if (run_area->exit_reason != KVM_EXIT_IO || run_area->io.port != PORT) throw std::runtime_error("exit " + std::to_string(run_area->exit_reason));
            kvm_regs r;
            ASK(vcpu, KVM_GET_REGS, &r);
            if (r.rax == 60 || r.rax == 231) return static_cast<int>(r.rdi);
            r.rax = static_cast<uint64_t>(answer(r));
            ASK(vcpu, KVM_SET_REGS, &r);
        }
    }

  private:
    int kvm, vm, vcpu;
    char *memory;
    kvm_run *run_area;
    uint64_t heap = HEAP, mappings = MAPPINGS;

    char *at(uint64_t gpa, uint64_t bytes) {
        if (gpa > MEMORY || bytes > MEMORY - gpa) throw std::runtime_error("the program gave a bad address");
        return memory + gpa;
    }
    template <typename T> T &get(uint64_t gpa) {
        return *reinterpret_cast<T *>(at(gpa, sizeof(T)));
    }

    void enter(const std::vector<char> &program, const std::string &name) {
        const auto &header = *reinterpret_cast<const Elf64_Ehdr *>(program.data());
        if (program.size() < sizeof header || memcmp(program.data(), ELFMAG, SELFMAG) || header.e_type != ET_EXEC) throw std::runtime_error(name + " is no static program");
        uint64_t headers = 0;
        for (int i = 0; i < header.e_phnum; i++) {
            if (header.e_phoff > program.size() || (i + 1) * sizeof(Elf64_Phdr) > program.size() - header.e_phoff) throw std::runtime_error(name + " has a bad header");
            const auto &p = reinterpret_cast<const Elf64_Phdr *>(program.data() + header.e_phoff)[i];
            if (p.p_type != PT_LOAD) continue;
            if (p.p_filesz > p.p_memsz || p.p_offset > program.size() || p.p_filesz > program.size() - p.p_offset) throw std::runtime_error(name + " has a bad segment");
            memcpy(at(p.p_vaddr, p.p_memsz), program.data() + p.p_offset, p.p_filesz);
            if (p.p_offset == 0) headers = p.p_vaddr + header.e_phoff;
        }
        for (uint64_t i = 0; i < MEMORY >> 21; i++) get<uint64_t>(TABLES + 0x2000 + 8 * i) = i << 21 | 0x87;
        get<uint64_t>(TABLES) = TABLES + 0x1007;
        get<uint64_t>(TABLES + 0x1000) = TABLES + 0x2007;
        memcpy(at(STUB, 5), "\xe6\x5f\x48\x0f\x07", 5); /* out %al, $0x5f; sysretq */

        kvm_sregs s;
        ASK(vcpu, KVM_GET_SREGS, &s);
        s.cr0 = 0x80010033;
        s.cr3 = TABLES;
        s.cr4 = 0x620;
        s.efer = 0x501; /* SCE */
        s.cs = segment(0x23, 11, 3, true);
        s.ss = s.ds = s.es = segment(0x1b, 3, 3, false);
        ASK(vcpu, KVM_SET_SREGS, &s);
        Msrs msrs{3, 0, {{{0xc0000081, 0, uint64_t{0x10} << 48 | uint64_t{8} << 32}, {0xc0000082, 0, STUB}, {0xc0000084, 0, 0x700}}}}; /* STAR, LSTAR, SFMASK */
        if (ASK(vcpu, SET_MSRS, &msrs) != 3) throw std::runtime_error("MSRs");

        memcpy(at(STACK, name.size() + 1), name.c_str(), name.size() + 1);
        const std::array<uint64_t, 15> start{1, STACK, 0, 0, AT_PHDR, headers, AT_PHENT, sizeof(Elf64_Phdr), AT_PHNUM, header.e_phnum, AT_PAGESZ, 4096, AT_RANDOM, STACK, AT_NULL};
        uint64_t sp = (STACK - sizeof start - 8) & ~uint64_t{15};
        memcpy(at(sp, sizeof start), start.data(), sizeof start);
        kvm_regs r{};
        r.rip = header.e_entry;
        r.rsp = sp;
        r.rflags = 2;
        ASK(vcpu, KVM_SET_REGS, &r);
    }

    int64_t answer(const kvm_regs &r) {
        switch (r.rax) {
        case 1: {
            if (r.rdi > 2) return -EBADF;
            ssize_t wrote = write(static_cast<int>(r.rdi), at(r.rsi, r.rdx), r.rdx);
            return wrote < 0 ? -errno : wrote;
        }
        case 20: { /* writev */
            if (r.rdi > 2) return -EBADF;
            int64_t n = 0;
            for (uint64_t i = 0; i < r.rdx; i++) {
                auto &v = get<iovec>(r.rsi + i * sizeof(iovec));
                ssize_t wrote = write(static_cast<int>(r.rdi), at(reinterpret_cast<uint64_t>(v.iov_base), v.iov_len), v.iov_len);
                if (wrote < 0) return n ? n : -errno;
                n += wrote;
            }
            return n;
        }
        case 9: /* mmap: anonymous memory, never given back */
            if (r.r8 != ~uint64_t{0} && static_cast<int>(r.r8) != -1) return -ENODEV;
            if (r.rsi > MEMORY || mappings + r.rsi + 4095 > STACK - (1 << 20)) return -ENOMEM;
            mappings += (r.rsi + 4095) & ~uint64_t{4095};
            return static_cast<int64_t>(mappings - ((r.rsi + 4095) & ~uint64_t{4095}));
        case 12: /* brk */
            if (r.rdi >= HEAP && r.rdi <= MAPPINGS) heap = r.rdi;
            return static_cast<int64_t>(heap);
        case 158: { /* arch_prctl: ARCH_SET_FS */
            if (r.rdi != 0x1002) return -EINVAL;
            kvm_sregs s;
            ASK(vcpu, KVM_GET_SREGS, &s);
            s.fs.base = r.rsi;
            ASK(vcpu, KVM_SET_SREGS, &s);
            return 0;
        }
        case 16: return -ENOTTY;
        case 11: /* munmap */
        case 14: /* rt_sigprocmask */ return 0;
        case 218: /* set_tid_address */ return 1;
        default: return -ENOSYS;
        }
    }
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: tiny-vmm PROGRAM\n";
        return 2;
    }
    try {
        std::ifstream file(argv[1], std::ios::binary);
        std::vector<char> program{std::istreambuf_iterator<char>(file), {}};
        return Machine().run(program, argv[1]);
    } catch (const std::exception &e) {
        std::cerr << "tiny-vmm: " << e.what() << '\n';
        return 1;
    }
}
