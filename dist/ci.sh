#!/bin/sh
# Slate in a CI job, the same for GitHub's action and GitLab. Never silent: what runs, and in which mode, is in the log and the summary.
#
#   ci.sh setup          unpacks SLATE_CI_ARCHIVE (a file or a URL), or builds the tree that this lies in; puts slate on the PATH of later
#                        steps, proves with the bundled client that it works; SLATE_CI_SET holds knobs for later steps, one a line
#   ci.sh run COMMAND    runs COMMAND, a line of sh, on Slate; ends with its status
#
# Uses GITHUB_PATH, GITHUB_ENV, GITHUB_OUTPUT and GITHUB_STEP_SUMMARY where they are set.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
summary=${GITHUB_STEP_SUMMARY:-/dev/null}

# Says it in the log and in the summary.
tell() {
  printf 'slate: %s\n' "$1"
  printf '%s\n\n' "$1" >>"$summary"
}

fail() {
  tell "$1" >&2
  exit 1
}

setup() {
  archive=${SLATE_CI_ARCHIVE-}
  case $archive in
  '') slate=$here/slate ;;
  *)
    home=${RUNNER_TEMP:-$PWD}/slate
    mkdir -p "$home"
    case $archive in
    http://* | https://*)
      curl -fsSL --retry 3 -o "$home/slate.tar.gz" "$archive" || fail "Slate's archive can't be fetched from $archive"
      archive=$home/slate.tar.gz
      ;;
    esac
    [ -r "$archive" ] || fail "Slate's archive $archive is not there. \`slate dist\` makes it."
    tar -C "$home" -xzf "$archive" || fail "$archive is no archive of \`slate dist\`"
    set -- "$home"/slate-*/slate
    slate=$1
    [ -x "$slate" ] || fail "$archive holds no slate command"
    ;;
  esac
  [ -z "${GITHUB_PATH-}" ] || dirname "$slate" >>"$GITHUB_PATH"
  if [ -n "${SLATE_CI_SET-}" ] && [ -n "${GITHUB_ENV-}" ]; then
    printf 'SLATE_SET<<end-of-knobs\n%s\nend-of-knobs\n' "$SLATE_CI_SET" >>"$GITHUB_ENV"
  fi
  log=$(mktemp)
  env -u SLATE_QUIET "$slate" demo >"$log" 2>&1 || {
    cat "$log"
    fail "Slate does not work on this runner; the demo's output is in the log."
  }
  cat "$log"
  mode=$(sed -n 's/^slate: \(this is Slate.*\)/\1/p' "$log" | head -n 1)
  rm -f "$log"
  [ -n "$mode" ] || fail "the bundled client did not run on Slate."
  tell "$("$slate" --version): $mode"
  if [ -n "${GITHUB_OUTPUT-}" ]; then printf 'slate=%s\nmode=%s\n' "$slate" "$mode" >>"$GITHUB_OUTPUT"; fi
}

run() {
  slate=${SLATE_CI_SLATE:-$(command -v slate)} || fail "slate is not on the PATH; run \`ci.sh setup\` before."
  [ -z "${SLATE_CI_SET-}" ] || export SLATE_SET="$SLATE_CI_SET"
  errors=$(mktemp)
  status=$(mktemp)
  # Standard output is the command's own; standard error is read on its way, for the line that only Slate prints.
  {
    {
      code=0
      env -u SLATE_QUIET "$slate" run -- sh -c "$1" 2>&1 >&3 3>&- || code=$?
      echo $code >"$status"
    } | tee "$errors" >&2
  } 3>&1
  code=$(cat "$status")
  mode=$(sed -n 's/^slate: \(this is Slate.*\)/\1/p' "$errors" | head -n 1)
  rm -f "$errors" "$status"
  if [ -n "$mode" ]; then tell "Ran on $mode: $1"; else tell "Nothing opened /dev/kvm, so Slate took no part: $1"; fi
  exit "$code"
}

case ${1-} in
setup) setup ;;
run)
  [ -n "${2-}" ] || fail "ci.sh run needs a command."
  run "$2"
  ;;
*)
  sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
