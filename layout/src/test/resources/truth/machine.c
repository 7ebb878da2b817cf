/* Compiled for machines that are not here: what the compiler made of these types stands in a section of the object. */
typedef __UINT32_TYPE__ fact;
#define PLACE(T, M) (fact)__builtin_offsetof(T, M), (fact)sizeof(((T *)0)->M)
enum colour { RED, GREEN };
struct plain { char a; short b; int c; long d; long long e; char f; void *g; };
struct floats { char a; float b; char c; double d; char e; enum colour f; };
struct bits { unsigned char a : 3; unsigned char b : 4; short c : 9; char d; };
struct arrays { char a[3]; short b[2][3]; long c[2]; void (*d[2])(int); char e; };
struct inner { struct plain p; char q; union { short x; long long y; char z[9]; } u; struct { char v; int w; } s; };
struct packed { char a; int b; short c; } __attribute__((packed));
struct holder { char a; struct packed p; struct plain *next; };
struct plain object1; struct floats object2; struct bits object3; struct arrays object4; struct inner object5; struct holder object6;
__attribute__((section(".truth"), used)) const fact truth[] = {
    sizeof(struct plain), PLACE(struct plain, a), PLACE(struct plain, b), PLACE(struct plain, c), PLACE(struct plain, d),
    PLACE(struct plain, e), PLACE(struct plain, f), PLACE(struct plain, g),
    sizeof(struct floats), PLACE(struct floats, a), PLACE(struct floats, b), PLACE(struct floats, c), PLACE(struct floats, d),
    PLACE(struct floats, e), PLACE(struct floats, f),
    sizeof(struct arrays), PLACE(struct arrays, a), PLACE(struct arrays, b), PLACE(struct arrays, c), PLACE(struct arrays, d), PLACE(struct arrays, e),
    sizeof(struct inner), PLACE(struct inner, p), PLACE(struct inner, q), PLACE(struct inner, u), PLACE(struct inner, s),
    sizeof(struct packed), PLACE(struct packed, a), PLACE(struct packed, b), PLACE(struct packed, c),
    sizeof(struct holder), PLACE(struct holder, a), PLACE(struct holder, p), PLACE(struct holder, next),
};
int use(void) { return object1.c + object2.a + object3.d + object4.e + object5.q + object6.a; }
