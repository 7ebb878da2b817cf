/* How a guest tells `slate speed` what it measures, and the same loops on the host: knows nothing of the bare machine. */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <stdint.h>

/* The end of what is measured, and what came out of it: E, or X when something went wrong, 16 digits, a line feed. */
static inline void put_answer(int right, uint64_t answer, void (*put)(char))
{
    put(right ? 'E' : 'X');
    for (int shift = 60; shift >= 0; shift -= 4)
        put("0123456789abcdef"[answer >> shift & 15]);
    put('\n');
}

/* Writes B, runs the rounds, writes their answer; returns whether all gave the same one. */
static inline int run_rounds(uint64_t (*run)(void), uint64_t rounds, void (*put)(char))
{
    uint64_t answer = 0;
    int same = 1;

    put('B');
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t now = run();

        same &= i == 0 || now == answer;
        answer = now;
    }
    put_answer(same, answer, put);
    return same;
}

#endif
