/** What a client has chosen for a VM as a whole. Must not know what follows from it. */
package dev.slate.kvm.setting;
