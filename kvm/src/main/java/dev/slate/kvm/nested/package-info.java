/**
 * Nested SVM: what a guest's VMRUN, VMLOAD and VMSAVE do, the world that they switch to, and the way back (APM 2 chapter 15). Must not know how
 * a vCPU runs.
 */
package dev.slate.kvm.nested;
