/** What is not RAM: port I/O and memory-mapped I/O of one vCPU, piece by piece. Must not know how a vCPU runs. */
package dev.slate.kvm.io;
