/* A BPF object with a map and globals, which have relocations in DWARF and BTF. */
typedef unsigned int u32;
struct event { u32 pid; char name[16]; int grid[2][3]; struct { long a; char b; } in[2][4]; unsigned long long at; };
struct { int (*type)[1]; int (*max_entries)[16]; struct event *value; u32 *key; } events __attribute__((section(".maps"), used));
struct event last = { .pid = 1 };
static volatile u32 counter;
struct event *where = &last;
__attribute__((section("socket"), used)) int run(void *context) { counter++; last.pid = counter; return where->pid; }
char words[] __attribute__((section("license"), used)) = "GPL";
