/* The layout of struct kvm_vcpu after Mathias Krause's series "KVM: Put struct kvm_vcpu on a diet" (February 2023), rebuilt from the
 * listing in its cover letter. Members' types have the sizes and alignments that the listing gives them. */
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;
typedef struct { unsigned long sig[1]; } sigset_t;
typedef struct { unsigned int slock; } spinlock_t;
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct preempt_notifier { struct hlist_node link; void *ops; };
struct mutex { long owner; u32 wait_lock; u32 osq; struct list_head wait_list; };
struct rcuwait { void *task; };
struct kvm_mmio_fragment { u64 gpa; void *data; unsigned int len; };
struct kvm_vcpu_stat { u64 counters[138]; };
struct kvm_dirty_ring { u32 dirty_index; u32 reset_index; u32 size; u32 soft_limit; void *dirty_gfns; int index; };
struct kvm_vcpu_arch { u64 state[638]; };

struct kvm_vcpu {
	struct kvm *kvm;
	struct preempt_notifier preempt_notifier;
	int cpu;
	int vcpu_id;
	int vcpu_idx;
	int ____srcu_idx;
	int mode;
	unsigned int guest_debug;
	u64 requests;
	struct mutex mutex;
	struct kvm_run *run;
	struct rcuwait wait;
	struct pid *pid;
	sigset_t sigset;
	int sigset_active;
	unsigned int halt_poll_ns;
	bool valid_wakeup;
	int mmio_needed;
	int mmio_read_completed;
	int mmio_is_write;
	int mmio_cur_fragment;
	int mmio_nr_fragments;
	struct kvm_mmio_fragment mmio_fragments[2];
	struct {
		struct list_head queue;
		struct list_head done;
		spinlock_t lock;
		u32 queued;
	} async_pf;
	struct {
		bool in_spin_loop;
		bool dy_eligible;
	} spin_loop;
	bool preempted;
	bool ready;
	struct kvm_vcpu_arch arch __attribute__((__aligned__(8)));
	struct kvm_vcpu_stat stat;
	char stats_id[48];
	struct kvm_dirty_ring dirty_ring;
	struct kvm_memory_slot *last_used_slot;
	u64 last_used_slot_gen;
} __attribute__((__aligned__(8)));

struct kvm_vcpu vcpu;

int kvm_vcpu_ready(struct kvm_vcpu *v)
{
	return v->ready;
}
