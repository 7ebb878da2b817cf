/* The loops that live in vector registers: AVX2 and FMA, whatever the rest is compiled for. */
#include "loops.h"

#define AVX __attribute__((target("avx2,fma"), noinline))

/* ---------------------------------------------------------------- a product of matrices */

typedef double row __attribute__((vector_size(32), aligned(8)));

enum { SIZE = 128, LANES = 4 };
#define LEFT ((double *)DATA)
#define RIGHT (LEFT + SIZE * SIZE)
#define PRODUCT (RIGHT + SIZE * SIZE)

/* Small whole numbers and quarters, made without a vector register: their bits are put together. */
void prepare_matrix(void)
{
    uint64_t *bits = (uint64_t *)LEFT;

    fill(DATA, 2 * SIZE * SIZE);
    for (uint64_t i = 0; i < 2 * SIZE * SIZE; i++)
        bits[i] = (bits[i] & 0x800fffffffffffff) | (1023 + (bits[i] >> 52 & 3)) << 52;
}

/* Four rows by eight columns at a time: eight sums in registers, four broadcasts and two loads a step. */
AVX static void multiply(double *restrict product, const double *restrict left, const double *restrict right)
{
    for (int i = 0; i < SIZE; i += 4)
        for (int j = 0; j < SIZE; j += 2 * LANES) {
            row sum[4][2] = {{{0}}};

            for (int k = 0; k < SIZE; k++) {
                row a = *(const row *)&right[k * SIZE + j], b = *(const row *)&right[k * SIZE + j + LANES];

#pragma GCC unroll 4
                for (int n = 0; n < 4; n++) {
                    sum[n][0] += left[(i + n) * SIZE + k] * a;
                    sum[n][1] += left[(i + n) * SIZE + k] * b;
                }
            }
#pragma GCC unroll 4
            for (int n = 0; n < 4; n++) {
                *(row *)&product[(i + n) * SIZE + j] = sum[n][0];
                *(row *)&product[(i + n) * SIZE + j + LANES] = sum[n][1];
            }
        }
}

/* Four products, each of the one before by the right matrix; a hash of the last one's bits. */
uint64_t matrix(void)
{
    const uint64_t *bits = (const uint64_t *)PRODUCT;
    uint64_t sum = 0;

    for (int n = 0; n < 4; n++)
        multiply(n & 1 ? PRODUCT + SIZE * SIZE : PRODUCT, n == 0 ? LEFT : n & 1 ? PRODUCT : PRODUCT + SIZE * SIZE, RIGHT);
    bits += SIZE * SIZE;
    for (int i = 0; i < SIZE * SIZE; i += 7)
        sum = sum * 31 + bits[i];
    return sum;
}

/* ---------------------------------------------------------------- strings (strings.S) */

uint64_t string_length(const char *string);
const char *find_byte(const char *string, int byte, uint64_t bytes);

enum { TEXT = 1 << 20 };

/* Strings of 1 to 255 bytes one after the other, then one of what is left; a line feed in each third byte of the random ones' lengths. */
void prepare_strings(void)
{
    char *text = (char *)DATA;
    uint64_t key = 1, at = 0;

    for (uint64_t i = 0; i < TEXT; i++) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        text[i] = 'a' + (key >> 59);
    }
    while (at + 256 < TEXT) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        uint64_t bytes = 1 + (key >> 32) % 255;

        text[at + bytes - (key >> 48) % bytes - 1] = '\n';
        at += bytes;
        text[at++] = 0;
    }
    text[TEXT - 1] = 0;
}

/* The length of each string, and where its line feed is: four times. */
uint64_t strings(void)
{
    const char *text = (const char *)DATA;
    uint64_t sum = 0;

    for (int n = 0; n < 4; n++)
        for (uint64_t at = 0; at < TEXT;) {
            uint64_t bytes = string_length(text + at);
            const char *found = find_byte(text + at, '\n', bytes);

            sum = sum * 31 + bytes + (found ? (uint64_t)(found - text) << 32 : 0);
            at += bytes + 1;
        }
    return sum;
}
