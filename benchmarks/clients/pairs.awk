# Of lines WHO WHAT NUMBER, one a turn, for the benchmarks of this folder that measure in turns.
function median(list, n,   i, j, t) {
  for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
  return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
function measured(who, what) { return count[who, what] > 0 }
function of(who, what,   i, one) {
  for (i = 1; i <= count[who, what]; i++) one[i] = value[who, what, i]
  return median(one, count[who, what])
}
function quotient(who, by, what,   i, one) {
  for (i = 1; i <= count[who, what]; i++) one[i] = value[who, what, i] / value[by, what, i]
  return median(one, count[who, what])
}
{ value[$1, $2, ++count[$1, $2]] = $3 }
