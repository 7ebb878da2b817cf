/* Shapes that C gives to structs: what a layout reader can get wrong. */
#include <stdint.h>
#include <stddef.h>
#include <signal.h>
#include <pthread.h>
#include <stdio.h>

#ifdef __SIZEOF_INT128__
#define WIDEST __int128
#else /* a 32-bit target */
#define WIDEST long long
#endif
typedef int (*handler_t)(void *context, const char *const name, ...);
enum colour { RED = -1, GREEN, BLUE = 7 };
enum __attribute__((packed)) tiny { A, B };
struct bits { unsigned a : 3, b : 7; int : 0; unsigned c : 30; uint64_t d : 40; _Bool e : 1; enum colour f : 4; uint8_t g; };
struct spread { uint8_t a; unsigned b : 20; uint16_t c : 9; uint16_t d : 9; long long e : 33; char f; };
struct __attribute__((packed)) tight { char a; uint32_t b; uint64_t c : 40; uint16_t d; };
struct holds_tight { struct tight t; short s; struct tight u[2]; };
struct aligned { char a; _Alignas(64) int b; char c __attribute__((aligned(16))); } __attribute__((aligned(128)));
struct flexible { unsigned n; struct { char c; short s; } items[]; };
struct zero { int a; char none[0]; long b; };
struct empty {};
struct has_empty { struct empty e; int x; struct empty f[3]; };
union mixed { struct { int x, y; }; struct { char c; double d; } named; uint8_t raw[16]; handler_t h; };
struct nested { union mixed m; struct { struct { char deep; } in; union { int i; float f; }; } anon; enum tiny t; enum { P, Q } plain; };
struct pointers { handler_t h; int (*fp)(int (*)(long), struct nested *); void *v; const volatile char *const *cc; int (*arr)[4]; struct unknown *u; char *restrict r; _Atomic int at; void (*table[3])(void); struct { int z; } *to_anon; };
struct grid { int m[3][4]; char names[2][16]; long double ld; _Complex double z; WIDEST big; float v __attribute__((vector_size(16))); };
struct locks { pthread_mutex_t one; char between; pthread_mutex_t two; sigset_t set; };
struct list { struct list *next, *prev; };
struct order { char a; struct list l; short b; int c; char d; };

struct bits bits; struct spread spread; struct tight tight; struct holds_tight holds; struct aligned al; struct flexible *fl;
struct zero zero; struct has_empty has_empty; union mixed mixed; struct nested nested; struct pointers pointers; struct grid grid;
struct locks locks; struct order order; FILE *file;

int main(void)
{
	struct local { char a; struct local *next; } l = { 1, &l };
	return l.a;
}
