package dev.slate.device;

import dev.slate.kvm.Errno;

/** The client's memory as ioctl arguments name it: any address, which may not be there. */
final class UserMemory {
    private UserMemory() {}

    /** Copies {@code bytes} of the client's into ours. @throws dev.slate.kvm.KvmException EFAULT */
    static void read(long to, long client, long bytes) {
        if (outside(client, bytes) || Native.copyIn(to, client, bytes) != 0) {
            throw Errno.EFAULT.raise();
        }
    }

    /** Copies {@code bytes} of ours to the client. @throws dev.slate.kvm.KvmException EFAULT */
    static void write(long client, long from, long bytes) {
        if (outside(client, bytes) || Native.copyOut(client, from, bytes) != 0) {
            throw Errno.EFAULT.raise();
        }
    }

    /** Beyond what user space can map (access_ok): an access would fault in another way than SIGSEGV at that address. */
    private static boolean outside(long client, long bytes) {
        return client < 0 || client > 0x7fff_ffff_f000L - bytes;
    }
}
