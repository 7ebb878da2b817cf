/* Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE. An alignment that no debug format
   tells (of a packed type) is left out. */
#include <stddef.h>
#include <stdio.h>

enum colour { RED, GREEN };
typedef struct node node;
struct plain { char a; short b; int c; long d; char e; };
struct floats { char a; float b; char c; double d; char e; long double f; };
struct wide { char a; long long b; char c; void *d; _Bool e; enum colour f; };
struct arrays { char a[3]; int b[2][3]; short c[1]; char *d[4]; double e[2][2][2]; };
struct node { node *next; struct node *prev; int value; };
struct inner { struct plain p; char q; struct { int x; char y; } named; union { int i; double d; char c[9]; } u; };
struct anonymous { int a; struct { char b; long c; }; union { short d; int e; }; char f; };
struct bits { unsigned a : 3; unsigned b : 9; int c : 20; char d; unsigned long e : 40; unsigned char f : 2; };
struct packed { char a; int b; short c; long d; } __attribute__((packed));
struct holds_packed { char a; struct packed b; int c; };
struct flexible { int n; char tail[]; };
struct empty_array { int n; int none[0]; char end; };
struct functions { int (*f)(int, char); void (*g[3])(void); char h; };
struct qualified { const char a; volatile int b; const volatile long c; char *const d; };
union onion { char a; int b; double c; struct plain d; char e[41]; };
struct complex_ { char a; double _Complex k; char b; float _Complex l; char c; };
typedef float vec4 __attribute__((vector_size(16)));
typedef double vec8 __attribute__((vector_size(32)));
struct vectors { char a; vec4 m; char b; vec8 n; char c; };
struct forty { struct { struct { struct { struct { int deep; } d; char c; } c; char b; } b; char a; } a; long end; };
typedef struct { short x, y; } point;
typedef point row[5];
struct typedefs { point a; row b; row c[2]; char d; };
struct big { int a[1000]; char b; long c[3]; };
#if defined(__x86_64__)
struct int128 { char a; __int128 b; char c; };
#endif
#if __STDC_VERSION__ >= 201112L && !defined(NO_ALIGNAS)
struct aligned { char a; _Alignas(32) int b; char c; };
struct __attribute__((aligned(64))) line { int a; char b; };
struct holds_line { char a; struct line b; char c; };
#define LATER(X) X(struct aligned) X(struct line) X(struct holds_line)
#else
#define LATER(X)
#endif

#define ALL(X) X(struct plain) X(struct floats) X(struct wide) X(struct arrays) X(struct node) X(struct inner) X(struct anonymous) \
    X(struct bits) X(struct flexible) X(struct empty_array) X(struct functions) X(struct qualified) X(union onion) \
    X(struct complex_) X(struct vectors) X(struct forty) X(point) X(struct typedefs) X(struct big) LATER(X)
#define MEMBERS(X) X(struct plain, a) X(struct plain, b) X(struct plain, c) X(struct plain, d) X(struct plain, e) \
    X(struct floats, b) X(struct floats, c) X(struct floats, d) X(struct floats, e) X(struct floats, f) \
    X(struct wide, b) X(struct wide, c) X(struct wide, d) X(struct wide, e) X(struct wide, f) \
    X(struct arrays, a) X(struct arrays, b) X(struct arrays, c) X(struct arrays, d) X(struct arrays, e) \
    X(struct node, prev) X(struct node, value) X(struct inner, q) X(struct inner, named) X(struct inner, u) \
    X(struct anonymous, b) X(struct anonymous, c) X(struct anonymous, d) X(struct anonymous, e) X(struct anonymous, f) \
    X(struct bits, d) X(struct packed, b) X(struct packed, c) X(struct packed, d) \
    X(struct holds_packed, b) X(struct holds_packed, c) X(struct empty_array, end) \
    X(struct functions, g) X(struct functions, h) X(struct qualified, b) X(struct qualified, c) X(struct qualified, d) \
    X(union onion, c) X(union onion, d) X(union onion, e) X(struct complex_, k) X(struct complex_, b) X(struct complex_, l) \
    X(struct complex_, c) X(struct vectors, m) X(struct vectors, b) X(struct vectors, n) X(struct vectors, c) \
    X(struct forty, a) X(struct forty, end) X(point, y) X(struct typedefs, b) X(struct typedefs, c) X(struct typedefs, d) \
    X(struct big, b) X(struct big, c)

#define OBJECT2(T, N) T object_##N;
#define OBJECT1(T, N) OBJECT2(T, N)
#define OBJECT(T) OBJECT1(T, __COUNTER__)
ALL(OBJECT)
OBJECT(struct packed) OBJECT(struct holds_packed)
#if defined(__x86_64__)
OBJECT(struct int128)
#endif

#define SIZE(T) printf("%s\t%zu\t%zu\n", #T, sizeof(T), __alignof__(T));
#define PLACE(T, M) printf("%s\t%s\t%zu\t%zu\n", #T, #M, offsetof(T, M), sizeof(((T *)0)->M));
int main(void) {
    ALL(SIZE)
    MEMBERS(PLACE)
    printf("struct packed\t%zu\t-\nstruct holds_packed\t%zu\t-\n", sizeof(struct packed), sizeof(struct holds_packed));
#if defined(__x86_64__)
    SIZE(struct int128) PLACE(struct int128, b) PLACE(struct int128, c)
#endif
    return 0;
}
