/** What the hypervisor needs of its host, as an interface, and its implementation in plain Java. Must not know KVM. */
package dev.slate.kvm.host;
