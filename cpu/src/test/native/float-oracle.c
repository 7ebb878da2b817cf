// What floating-point operations give, by GNU MPFR: an origin of its own for the comparison with the processor's software float.
//
//   float-oracle BATCH
//
// Reads `struct question` from standard input and answers each with a `struct answer`, in order and BATCH at a time. Operands are no NaN. Results are rounded
// once, to `bits` of significand and the format's range of exponents, denormals included; tininess is judged after rounding, as x86 does.
#include <stdint.h>
#define MPFR_USE_INTMAX_T
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum operation { ADD, SUB, MUL, DIV, SQRT, FMA, TO_FORMAT, TO_INT32, TO_INT64, FROM_INT64, RINT, EXP2M1, YLOG2X, YLOG2XP1, ATAN2, SIN, COS, TAN };

struct operand {
    uint64_t significand; // or all bits of a 32- or 64-bit number
    uint32_t exponent;    // sign and exponent of an 80-bit number
    uint32_t format;      // its bits: 32, 64, 80
};

struct question {
    uint32_t operation, rounding, format, bits; // of the result; rounding as in the control word: nearest, down, up, zero
    struct operand operand[3];
};

struct answer {
    uint64_t significand;
    uint32_t exponent, flags; // of MXCSR: invalid 1, divide by zero 4, overflow 8, underflow 16, precision 32
    uint32_t nan, unused;
};

enum { INVALID = 1, ZERO_DIVIDE = 4, OVERFLOW = 8, UNDERFLOW = 16, PRECISION = 32 };

// Digits enough for a transcendental function that is rounded a second time.
#define MANY 1024

static const mpfr_rnd_t roundings[] = {MPFR_RNDN, MPFR_RNDD, MPFR_RNDU, MPFR_RNDZ};
static mpfr_t x[3], t, u, r;
static mpfr_exp_t widest, lowest;

static int bias(uint32_t format) { return format == 32 ? 127 : format == 64 ? 1023 : 16383; }

static void get(mpfr_t to, const struct operand *o) {
    if (o->format == 32) {
        float f;
        uint32_t v = (uint32_t)o->significand;
        memcpy(&f, &v, 4);
        mpfr_set_flt(to, f, MPFR_RNDN);
    } else if (o->format == 64) {
        double d;
        memcpy(&d, &o->significand, 8);
        mpfr_set_d(to, d, MPFR_RNDN);
    } else {
        int e = o->exponent & 0x7fff;
        if (e == 0x7fff) mpfr_set_inf(to, 1);
        else mpfr_set_uj_2exp(to, o->significand, (e ? e : 1) - 16383 - 63, MPFR_RNDN);
        if (o->exponent & 0x8000) mpfr_neg(to, to, MPFR_RNDN);
    }
}

static void put(struct answer *a, uint32_t format) {
    if (format == 32) {
        float f = mpfr_get_flt(r, MPFR_RNDN);
        uint32_t v;
        memcpy(&v, &f, 4);
        a->significand = v;
    } else if (format == 64) {
        double d = mpfr_get_d(r, MPFR_RNDN);
        memcpy(&a->significand, &d, 8);
    } else {
        a->exponent = mpfr_signbit(r) ? 0x8000 : 0;
        if (mpfr_inf_p(r)) {
            a->exponent |= 0x7fff;
            a->significand = 1ULL << 63;
        } else if (mpfr_regular_p(r)) {
            long e = mpfr_get_exp(r) - 1 + 16383;
            mpfr_abs(t, r, MPFR_RNDN);
            mpfr_mul_2si(t, t, 64 - mpfr_get_exp(r) - (e > 0 ? 0 : 1 - e), MPFR_RNDN);
            a->significand = mpfr_get_uj(t, MPFR_RNDN);
            a->exponent |= e > 0 ? e : 0;
        }
    }
}

// Into r, rounded to its precision; which side of the exact value it is on.
static int compute(const struct question *q, mpfr_rnd_t rnd) {
    switch (q->operation) {
    case ADD: return mpfr_add(r, x[0], x[1], rnd);
    case SUB: return mpfr_sub(r, x[0], x[1], rnd);
    case MUL: return mpfr_mul(r, x[0], x[1], rnd);
    case DIV: return mpfr_div(r, x[0], x[1], rnd);
    case SQRT: return mpfr_sqrt(r, x[0], rnd);
    case FMA: return mpfr_fma(r, x[0], x[1], x[2], rnd);
    case TO_FORMAT: return mpfr_set(r, x[0], rnd);
    case FROM_INT64: return mpfr_set_sj(r, (int64_t)q->operand[0].significand, rnd);
    case RINT: {
        mpfr_rint(r, x[0], rnd);
        return mpfr_cmp(r, x[0]);
    }
    default: return mpfr_set(r, u, rnd);
    }
}

// Into u, with many digits.
static void transcendental(const struct question *q) {
    mpfr_set_prec(u, MANY);
    switch (q->operation) {
    case EXP2M1: mpfr_exp2(u, x[0], MPFR_RNDN), mpfr_sub_ui(u, u, 1, MPFR_RNDN); break;
    case YLOG2X: mpfr_log2(u, x[0], MPFR_RNDN), mpfr_mul(u, u, x[1], MPFR_RNDN); break;
    case YLOG2XP1:
        mpfr_log1p(u, x[0], MPFR_RNDN), mpfr_mul(u, u, x[1], MPFR_RNDN);
        mpfr_const_log2(t, MPFR_RNDN), mpfr_div(u, u, t, MPFR_RNDN);
        break;
    case ATAN2: mpfr_atan2(u, x[1], x[0], MPFR_RNDN); break;
    case SIN: mpfr_sin(u, x[0], MPFR_RNDN); break;
    case COS: mpfr_cos(u, x[0], MPFR_RNDN); break;
    case TAN: mpfr_tan(u, x[0], MPFR_RNDN); break;
    }
}

static void integer(const struct question *q, struct answer *a, mpfr_rnd_t rnd) {
    int bits = q->operation == TO_INT32 ? 32 : 64;
    mpfr_set_prec(r, MANY);
    mpfr_rint(r, x[0], rnd);
    mpfr_set_ui_2exp(t, 1, bits - 1, MPFR_RNDN);
    int low = mpfr_cmp(r, t) < 0;
    mpfr_neg(t, t, MPFR_RNDN);
    if (mpfr_inf_p(x[0]) || !low || mpfr_cmp(r, t) < 0) {
        a->significand = bits == 32 ? 0x80000000 : 1ULL << 63;
        a->flags = INVALID;
    } else {
        a->significand = (uint64_t)mpfr_get_sj(r, MPFR_RNDN);
        if (bits == 32) a->significand &= 0xffffffff;
        a->flags = mpfr_cmp(r, x[0]) ? PRECISION : 0;
    }
}

static void answer(const struct question *q, struct answer *a) {
    mpfr_rnd_t rnd = roundings[q->rounding & 3];
    memset(a, 0, sizeof *a);
    if (q->operation != FROM_INT64)
        for (int i = 0; i < 3; i++) get(x[i], &q->operand[i]);
    if (q->operation == TO_INT32 || q->operation == TO_INT64) {
        integer(q, a, rnd);
        return;
    }
    if (q->operation >= EXP2M1) transcendental(q);
    mpfr_set_prec(r, q->bits);
    mpfr_clear_flags();
    int inexact = compute(q, rnd);
    if (mpfr_nan_p(r)) {
        a->nan = 1;
        a->flags = INVALID;
        return;
    }
    if (mpfr_divby0_p()) a->flags |= ZERO_DIVIDE;
    if (mpfr_zero_p(r) && inexact) a->flags |= PRECISION;
    if (mpfr_regular_p(r)) {
        // The exponent of mpfr is that of a significand below one.
        long least = 2 - bias(q->format), most = bias(q->format) + 1;
        int tiny = mpfr_get_exp(r) < least;
        int over = mpfr_get_exp(r) > most;
        mpfr_set_emin(least - q->bits + 1);
        mpfr_set_emax(most);
        // From the range of all exponents into the format's; operands may lie outside it, so nothing is computed there.
        inexact = mpfr_check_range(r, inexact, rnd);
        inexact = mpfr_subnormalize(r, inexact, rnd);
        mpfr_set_emin(lowest);
        mpfr_set_emax(widest);
        if (inexact) a->flags |= PRECISION | (over ? OVERFLOW : 0) | (tiny ? UNDERFLOW : 0);
    }
    put(a, q->format);
}

int main(int argc, char **argv) {
    long batch = argc > 1 ? atol(argv[1]) : 1;
    lowest = mpfr_get_emin();
    widest = mpfr_get_emax();
    for (int i = 0; i < 3; i++) mpfr_init2(x[i], 64);
    mpfr_inits2(MANY, t, u, r, (mpfr_ptr)0);
    struct question q;
    struct answer a;
    for (long n = 1; fread(&q, sizeof q, 1, stdin) == 1; n++) {
        answer(&q, &a);
        if (fwrite(&a, sizeof a, 1, stdout) != 1 || (n % batch == 0 && fflush(stdout))) return 1;
    }
    return 0;
}
