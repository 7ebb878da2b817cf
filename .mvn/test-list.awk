# The end of `slate test`: reads surefire's reports and says what failed, what was skipped, why, and how many tests passed.
# A test that needs something says "needs WHAT: COMMAND THAT BRINGS IT".

function attribute(line, name,   text) {
  if (!match(line, " " name "=\"[^\"]*\"")) return ""
  text = substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
  sub(/^(&#1[03]; *)+/, "", text)
  sub(/&#1[03];.*/, "", text)
  gsub(/&quot;/, "\"", text)
  gsub(/&apos;|&#39;/, "'", text)
  gsub(/&lt;/, "<", text)
  gsub(/&gt;/, ">", text)
  gsub(/&amp;/, "\\&", text)
  return text
}

function shown(test,   parts, count, class, name) {
  count = split(attribute(test, "classname"), parts, ".")
  class = parts[count]
  # A class that is skipped as a whole has no test's name.
  name = attribute(test, "name")
  return module ": " class (name == "" ? "" : "." name)
}

function line(what, times) {
  return "\n      " what (times > 1 ? " (" times " cases)" : "")
}

FNR == 1 {
  module = FILENAME
  sub(/^\.\//, "", module)
  sub(/\/.*/, "", module)
}

/<testcase / {
  test = $0
  tests++
}

/<skipped/ {
  why = attribute($0, "message")
  # An assumption's text stands in front of its stack, not in the attribute.
  if (why == "" && match($0, /CDATA\[[A-Za-z0-9.$]*: /)) why = substr($0, RSTART + RLENGTH)
  # A text of several lines begins on the next one.
  if (why == "" && (getline) > 0) why = $0
  sub(/^Assumption failed: /, "", why)
  sub(/^System property .* ==> /, "", why)
  sub(/\]\]>.*/, "", why)
  if (why == "") why = "no reason given"
  if (!(why in cases)) reasons[++reasonCount] = why
  cases[why]++
  # The cases of one test follow one another: their numbers say nothing.
  what = shown(test)
  sub(/(\([A-Za-z, ]*\))?(\[[0-9]+\])?$/, "", what)
  if (what == lastWhat && why == lastWhy) times++
  else {
    if (lastWhat != "") skips[lastWhy] = skips[lastWhy] line(lastWhat, times)
    times = 1
  }
  lastWhat = what
  lastWhy = why
  skipped++
}

/<(failure|error)[ >]/ {
  failures[++failed] = shown(test)
  why = attribute($0, "message")
  if (why != "") failures[failed] = failures[failed] ": " substr(why, 1, 160)
}

END {
  if (skipped) {
    skips[lastWhy] = skips[lastWhy] line(lastWhat, times)
    print "Skipped, for what this machine lacks or what was not asked for:"
    for (i = 1; i <= reasonCount; i++) print "  " reasons[i] skips[reasons[i]]
    print ""
  }
  if (failed) {
    print "Failed:"
    for (i = 1; i <= failed; i++) print "  " failures[i]
    print ""
  }
  print tests - failed - skipped " passed, " failed + 0 " failed, " skipped + 0 " skipped"
}
