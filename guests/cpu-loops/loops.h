/* What guest and host share: see cpu-loops.c. */
#ifndef LOOPS_H
#define LOOPS_H

#include <stdint.h>

/* Where the loops' data lies, in the guest as on the host. */
#define DATA 0x200000ul

enum loop { SIEVE, SCATTER, COPY, CRC, FLOAT, CALLS, QUICKSORT, CHASE, BYTECODE, SHA, MATRIX, STRINGS, LOOPS };

/* The first that needs AVX2 and FMA. */
#define FIRST_VECTOR MATRIX

/* Prepares a loop's data and runs its rounds (rounds.h). */
int run_loop(uint64_t loop, uint64_t rounds, void (*put)(char));

/* Fills memory with random bits, from a start of their own. */
void fill(uint64_t start, uint64_t words);

uint64_t sha(void);
void prepare_matrix(void);
uint64_t matrix(void);
void prepare_strings(void);
uint64_t strings(void);

#endif
