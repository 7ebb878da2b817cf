# Sourced by mvnw: where Maven keeps itself and what it fetches. That is ~/.m2; where it cannot be written (a service's user, a
# container with any user id, a sandbox), it is build/m2 of this tree. Maven takes the home of the user database, not HOME.

# Succeeds when folder $1 can be written, or made.
slate_can_write() {
  slate_folder=$1
  while [ ! -e "$slate_folder" ]; do
    case $slate_folder in */*) slate_folder=${slate_folder%/*} ;; *) return 1 ;; esac
    [ -n "$slate_folder" ] || slate_folder=/
  done
  [ -d "$slate_folder" ] && [ -w "$slate_folder" ]
}

slate_maven_home() { # this tree's folder
  slate_user_home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d : -f 6) || slate_user_home=
  if [ -n "${HOME-}" ] && slate_can_write "$HOME/.m2/wrapper" && [ -n "$slate_user_home" ] &&
    slate_can_write "$slate_user_home/.m2/repository"; then
    return 0
  fi
  # What an unwritable home already holds is used all the same.
  if [ -z "${MAVEN_USER_HOME-}" ] && ! [ -x "${HOME:-/nonexistent}/.m2/wrapper/dists" ]; then
    MAVEN_USER_HOME=$1/build/m2
    export MAVEN_USER_HOME
  fi
  case ${MAVEN_ARGS-} in *maven.repo.local=*) return 0 ;; esac
  case $1 in *[\ \	]*) return 0 ;; esac # MAVEN_ARGS cannot hold a blank
  MAVEN_ARGS="-Dmaven.repo.local=$1/build/m2/repository ${MAVEN_ARGS-}"
  for slate_repository in "$slate_user_home/.m2/repository" "${HOME:-/nonexistent}/.m2/repository"; do
    if [ -r "$slate_repository" ] && [ -x "$slate_repository" ]; then
      MAVEN_ARGS="$MAVEN_ARGS -Dmaven.repo.local.tail=$slate_repository -Dmaven.repo.local.tail.ignoreAvailability=true"
      break
    fi
  done
  export MAVEN_ARGS
}
