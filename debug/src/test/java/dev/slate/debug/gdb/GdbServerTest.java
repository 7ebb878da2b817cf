package dev.slate.debug.gdb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.debug.ClientMemory;
import dev.slate.debug.TestGuest;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuExit;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The stub as a debugger sees it: packet by packet, and with the real gdb. */
class GdbServerTest {
    /**
     * 10000: mov rbx, 0x40000; 10007: mov eax, 1; 1000c: mov [rbx], rax; 1000f: mov rcx, [rbx]; 10012: cpuid; 10014: inc eax;
     * 10016: hlt.
     */
    private static final String STRAIGHT = "48c7c300000400 b801000000 488903 488b0b 0fa2 ffc0 f4";
    /** 10000: inc qword [0x40000]; 10008: jmp 10000. */
    private static final String ENDLESS = "48ff042500000400 ebf6";

    private final List<String> said = new ArrayList<>();
    private final CompletableFuture<Void> killed = new CompletableFuture<>();
    private GdbServer server;
    private TestGuest guest;
    private Socket socket;
    private PacketStream packets;

    private void start(boolean halted, String code) {
        guest = new TestGuest(
                kvm -> {
                    try {
                        server = GdbServer.start(
                                kvm, 0, halted, ClientMemory.PLAIN, said::add, () -> killed.complete(null));
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                code);
    }

    private static CompletableFuture<Integer> run(Vcpu vcpu) {
        return CompletableFuture.supplyAsync(() -> vcpu.run(false), r -> new Thread(r).start());
    }

    private void connect() throws Exception {
        socket = new Socket(InetAddress.getLoopbackAddress(), port());
        packets = new PacketStream(socket.getInputStream(), socket.getOutputStream());
        assertThat(ask("QStartNoAckMode")).isEqualTo("OK");
        packets.acknowledgeNoMore();
    }

    private int port() throws InterruptedException {
        while (server.port() == 0) {
            Thread.sleep(1);
        }
        return server.port();
    }

    private String ask(String packet) throws IOException {
        packets.send(packet.getBytes(StandardCharsets.ISO_8859_1));
        return new String(packets.read(), StandardCharsets.ISO_8859_1);
    }

    private String monitor(String command) throws IOException {
        String answer = ask("qRcmd," + HexFormat.of().formatHex(command.getBytes(StandardCharsets.UTF_8)));
        return new String(HexFormat.of().parseHex(answer), StandardCharsets.UTF_8);
    }

    /** A 64-bit register, by gdb's number. */
    private long register(int number) throws IOException {
        return Long.reverseBytes(Long.parseUnsignedLong(ask("p" + Integer.toHexString(number)), 16));
    }

    private static final int RAX = 0;
    private static final int RCX = 2;
    private static final int RIP = 16;

    @AfterEach
    void close() throws Exception {
        if (socket != null) {
            socket.close();
        }
        if (guest != null) { // the test was not skipped
            guest.close();
        }
    }

    @Test
    void aGuestWaitsAndStepsOneInstructionAtATime() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("?")).isEqualTo("T05thread:1;");
        assertThat(register(RIP)).isEqualTo(0x10000);
        for (long rip : new long[] {0x10007, 0x1000c, 0x1000f, 0x10012, 0x10014, 0x10016}) {
            // CPUID, which leaves the guest, is one step like the others.
            assertThat(ask("vCont;s:1")).isEqualTo("T05thread:1;");
            assertThat(register(RIP)).isEqualTo(rip);
        }
        assertThat(result).isNotDone();
        packets.send("vCont;c".getBytes(StandardCharsets.ISO_8859_1));
        assertThat(result.get()).isZero();
        assertThat(guest.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
    }

    @Test
    void breakpointsStopBeforeTheirInstructionAndLeaveMemoryAlone() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("Z0,1000f,1")).isEqualTo("OK");
        assertThat(ask("Z1,10014,1")).isEqualTo("OK");
        assertThat(ask("m1000f,3")).isEqualTo("488b0b");
        assertThat(ask("c")).isEqualTo("T05thread:1;swbreak:;");
        assertThat(register(RIP)).isEqualTo(0x1000f);
        assertThat(register(RCX)).isZero();
        assertThat(ask("c")).isEqualTo("T05thread:1;hwbreak:;");
        assertThat(register(RIP)).isEqualTo(0x10014);
        assertThat(ask("z0,1000f,1")).isEqualTo("OK");
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
    }

    @Test
    void aBreakpointBehindItsBlocksStartIsMet() throws Exception {
        // jmp 10008 to code in whose middle the breakpoint lies; the block at 10008 starts before it.
        start(true, "eb06 909090909090 90 90 90 f4");
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("Z0,1000a,1")).isEqualTo("OK");
        assertThat(ask("c")).isEqualTo("T05thread:1;swbreak:;");
        assertThat(register(RIP)).isEqualTo(0x1000a);
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
    }

    @Test
    void watchpointsStopBehindTheAccess() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("Z3,40004,1")).isEqualTo("OK");
        assertThat(ask("Z2,40007,1")).isEqualTo("OK");
        assertThat(ask("Z2,40008,8")).isEqualTo("OK");
        assertThat(ask("c")).isEqualTo("T05thread:1;watch:40007;");
        assertThat(register(RIP)).isEqualTo(0x1000f);
        assertThat(ask("c")).isEqualTo("T05thread:1;rwatch:40004;");
        assertThat(register(RIP)).isEqualTo(0x10012);
        assertThat(ask("z3,40004,1")).isEqualTo("OK");
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
    }

    @Test
    void aWatchpointHitByTheInstructionBeforeABreakpointIsToldAndOnTheConsoleToo() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("Z0,1000f,1")).isEqualTo("OK");
        assertThat(ask("Z2,40000,8")).isEqualTo("OK");
        String console = ask("c");
        assertThat(console).startsWith("O");
        assertThat(new String(HexFormat.of().parseHex(console.substring(1)), StandardCharsets.US_ASCII))
                .isEqualTo("watchpoint at 0x40000 was hit by the instruction before this one\n");
        assertThat(new String(packets.read(), StandardCharsets.US_ASCII)).isEqualTo("T05thread:1;watch:40000;");
        assertThat(register(RIP)).isEqualTo(0x1000f);
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
    }

    @Test
    void registersAndMemoryAreReadAndWritten() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        String all = ask("g");
        int bytes = 0;
        for (int i = 0; i < Registers.COUNT; i++) {
            bytes += Registers.bytes(i);
        }
        assertThat(all).hasSize(2 * bytes);
        assertThat(ask("G" + all)).isEqualTo("OK");
        assertThat(ask("g")).isEqualTo(all);
        assertThat(ask("P0=8877665544332211")).isEqualTo("OK");
        assertThat(register(RAX)).isEqualTo(0x1122334455667788L);
        assertThat(ask("P28=0102030405060708090a0b0c0d0e0f10")).isEqualTo("OK");
        assertThat(ask("p28")).isEqualTo("0102030405060708090a0b0c0d0e0f10");
        // CR0 is not a debugger's to change, nor a selector.
        assertThat(ask("P3b=0000000000000000")).isEqualTo("E01");
        assertThat(ask("P12=10000000")).isEqualTo("E01");
        assertThat(ask("M40000,4:deadbeef")).isEqualTo("OK");
        assertThat(ask("X40004,3:\u0001$#")).isEqualTo("OK");
        assertThat(ask("m40000,8")).isEqualTo("deadbeef01242300");
        assertThat(ask("m400000,8")).isEqualTo("E01");
        assertThat(ask("m1ffffe,8"))
                .as("what is behind the memory's end is left out")
                .isEqualTo("0000");
        assertThat(ask("p99")).isEqualTo("E01");
        assertThat(ask("mxyz,1")).isEqualTo("E01");
        assertThat(ask("Z9,0,1")).isEmpty();
        assertThat(ask("qXfer:features:read:target.xml:0,3fff"))
                .startsWith("l<?xml")
                .contains("kernel_gs_base");
        // Code that is written runs: the HLT comes first.
        assertThat(ask("M10000,1:f4")).isEqualTo("OK");
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
        assertThat(HostMemory.get32(guest.hva + 0x40000)).isEqualTo(0xefbeadde);
    }

    @Test
    void twoVcpusAreTwoThreadsAndOneOfThemStepsAlone() throws Exception {
        start(true, ENDLESS);
        Vcpu second = guest.vcpu(1);
        CompletableFuture<Integer> first = run(guest.vcpu);
        CompletableFuture<Integer> other = run(second);
        connect();
        assertThat(ask("qfThreadInfo")).isEqualTo("m1,2");
        assertThat(ask("qsThreadInfo")).isEqualTo("l");
        assertThat(ask("vCont;s:2")).isEqualTo("T05thread:2;");
        assertThat(register(RIP)).isEqualTo(0x10008);
        assertThat(ask("Hg1")).isEqualTo("OK");
        assertThat(register(RIP)).isEqualTo(0x10000);
        assertThat(ask("Hg7")).isEqualTo("E03");
        assertThat(monitor("vcpus")).contains("vCPU 0 of VM 0", "vCPU 1 of VM 0", "64-bit");
        packets.send("vCont;c".getBytes(StandardCharsets.ISO_8859_1));
        while (HostMemory.getVolatile64(guest.hva + 0x40000) < 1000) {
            Thread.onSpinWait();
        }
        socket.getOutputStream().write(3);
        assertThat(new String(packets.read(), StandardCharsets.ISO_8859_1)).startsWith("T02thread:");
        String count = ask("m40000,8");
        assertThat(ask("m40000,8")).as("both stand still").isEqualTo(count);
        // A signal ends KVM_RUN of a vCPU that is held.
        second.signal();
        assertThat(other.get()).isEqualTo(Errno.EINTR.number());
        assertThat(second.exit().reason).isEqualTo(VcpuExit.INTR);
        assertThat(ask("D")).isEqualTo("OK");
        guest.vcpu.signal();
        assertThat(first.get()).isEqualTo(Errno.EINTR.number());
    }

    @Test
    void memoryIsTakenFromAVcpuThatIsHeld() throws Exception {
        start(true, ENDLESS);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        // Waits until no vCPU is in the guest: one that stands in the debugger must not be waited for.
        CompletableFuture<Void> change = CompletableFuture.runAsync(() ->
                guest.vm.setUserMemoryRegion(0, dev.slate.kvm.memslot.Memslot.LOG_DIRTY_PAGES, 0, 2 << 20, guest.hva));
        change.get();
        assertThat(result).isNotDone();
        assertThat(ask("D")).isEqualTo("OK");
        guest.vcpu.signal();
        assertThat(result.get()).isEqualTo(Errno.EINTR.number());
    }

    @Test
    void aGuestThatDoesNotWaitIsStoppedWhenADebuggerComesAndKilledAtItsWish() throws Exception {
        start(false, ENDLESS);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(ask("?")).isEqualTo("T05thread:1;");
        String count = ask("m40000,8");
        assertThat(ask("m40000,8")).isEqualTo(count);
        packets.send("k".getBytes(StandardCharsets.ISO_8859_1));
        killed.get();
        socket.close();
        guest.vcpu.signal();
        assertThat(result.get()).isEqualTo(Errno.EINTR.number());
    }

    @Test
    void monitorCommandsAnswer() throws Exception {
        start(true, STRAIGHT);
        CompletableFuture<Integer> result = run(guest.vcpu);
        connect();
        assertThat(monitor("help")).contains("monitor stats", "monitor translate");
        assertThat(monitor("translate 10000")).isEqualTo("10000 -> 10000\n");
        assertThat(monitor("translate 8000000000")).isEqualTo("8000000000 is not mapped\n");
        assertThat(monitor("disassemble 10007 2"))
                .isEqualTo("10007  mov    eax,0x1\n1000c  mov    QWORD PTR [rbx],rax\n");
        assertThat(monitor("system"))
                .contains("cr0             0x80000031\n", "efer            0x500\n", "cpl             0x0\n");
        assertThat(monitor("dance")).contains("No such command");
        assertThat(ask("vCont;s")).isEqualTo("T05thread:1;");
        assertThat(monitor("stats")).contains("exits");
        assertThat(ask("D")).isEqualTo("OK");
        assertThat(result.get()).isZero();
    }

    @Test
    void theRealGdbDebugsAGuestWithItsSymbols(@TempDir Path folder) throws Exception {
        assumeTrue(runs("gdb"), "needs gdb: apt-get install -y gdb");
        Path source = Files.writeString(folder.resolve("guest.s"), """
                .globl _start, again, done, counter
                _start: xor %eax, %eax
                again:  inc %eax
                        mov %eax, counter
                        cmp $3, %eax
                        jne again
                done:   hlt
                        .balign 64
                counter: .long 0
                """);
        shell(
                folder,
                "gcc",
                "-g",
                "-nostdlib",
                "-static",
                "-no-pie",
                "-Wl,--build-id=none,-N,-Ttext=0x10000",
                "-o",
                "guest",
                source.toString());
        shell(folder, "objcopy", "-O", "binary", "guest", "guest.bin");
        start(true, HexFormat.of().formatHex(Files.readAllBytes(folder.resolve("guest.bin"))));
        CompletableFuture<Integer> result = run(guest.vcpu);
        String out = shell(
                folder,
                "gdb",
                "-batch",
                "-nx",
                "-ex",
                "target remote :" + port(),
                "-ex",
                "break again",
                "-ex",
                "continue",
                "-ex",
                "continue",
                "-ex",
                "print $eax",
                "-ex",
                "print $eflags",
                "-ex",
                "delete",
                "-ex",
                "watch *(int*)&counter",
                "-ex",
                "continue",
                "-ex",
                "info threads",
                "-ex",
                "set var *(int*)&counter=7",
                "-ex",
                "x/wx &counter",
                "-ex",
                "delete",
                "-ex",
                "hbreak done",
                "-ex",
                "continue",
                "-ex",
                "p/x $cr0",
                "-ex",
                "detach",
                "guest");
        assertThat(result.get()).isZero();
        assertThat(out)
                .contains("Breakpoint 1, again ()", "$1 = 1\n", "Hardware watchpoint 2: *(int*)&counter")
                .contains("Old value = 1\nNew value = 2\n", "vCPU 0 of VM 0", "0x00000007", "Breakpoint 3, done ()")
                .contains("$3 = 0x80000031");
        assertThat(guest.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
    }

    private static boolean runs(String program) throws InterruptedException {
        try {
            return new ProcessBuilder(program, "--version")
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException e) {
            return false;
        }
    }

    private static String shell(Path folder, String... command) throws Exception {
        ProcessBuilder builder =
                new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true);
        builder.environment().put("LC_ALL", "C");
        Process p = builder.start();
        // A gdb that waits for ever for a guest that has ended would keep the pipe open.
        CompletableFuture.delayedExecutor(20, TimeUnit.MINUTES).execute(p::destroyForcibly);
        String out = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        p.waitFor();
        return out;
    }
}
