/* The client's eventfds by descriptors of our own, and an epoll on those that raise interrupts. Called from Java. */
#include "slate.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

/* The value of a line "name: value" in /proc/self/fdinfo, or -1. */
static long fd_information(int fd, const char *name) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    long file = own_open(path, O_RDONLY);
    if (file < 0) return -1;
    long n = raw(SYS_read, file, (long)text, sizeof text - 1, 0, 0, 0);
    raw(SYS_close, file, 0, 0, 0, 0, 0);
    text[n > 0 ? n : 0] = 0;
    const char *line = strstr(text, name);
    return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static bool is_eventfd(int fd) {
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)path, (long)target, sizeof target - 1, 0, 0);
    target[n > 0 ? n : 0] = 0;
    return !strcmp(target, "anon_inode:[eventfd]");
}

jint JNICALL eventfd_own(JNIEnv *env, jclass type, jint client) {
    (void)env, (void)type;
    own_begin();
    long fd = own_end(raw(SYS_fcntl, client, F_DUPFD_CLOEXEC, 0, 0, 0, 0));
    if (fd < 0 || is_eventfd((int)fd)) return (jint)fd;
    own_close(fd);
    return -EINVAL;
}

/* Linux 5.2 and later number them; before that each descriptor counts as another counter. */
jlong JNICALL eventfd_id(JNIEnv *env, jclass type, jint fd) {
    (void)env, (void)type;
    long id = fd_information(fd, "eventfd-id:");
    return id >= 0 ? id : (jlong)1 << 32 | fd;
}

jboolean JNICALL eventfd_pending(JNIEnv *env, jclass type, jint fd) {
    (void)env, (void)type;
    struct pollfd poll = {.fd = fd, .events = POLLIN};
    struct timespec now = {0};
    return raw(SYS_ppoll, (long)&poll, 1, (long)&now, 0, 8, 0) == 1;
}

void JNICALL eventfd_signal(JNIEnv *env, jclass type, jint fd) {
    (void)env, (void)type;
    uint64_t one = 1;
    raw(SYS_write, fd, (long)&one, sizeof one, 0, 0, 0);
}

void JNICALL eventfd_drain(JNIEnv *env, jclass type, jint fd) {
    uint64_t count;
    struct iovec io = {&count, sizeof count};
    long r = raw(SYS_preadv2, fd, (long)&io, 1, -1, -1, 8 /* RWF_NOWAIT */);
    if (r == -EOPNOTSUPP && eventfd_pending(env, type, fd)) raw(SYS_read, fd, (long)&count, sizeof count, 0, 0, 0);
}

void JNICALL eventfd_close(JNIEnv *env, jclass type, jint fd) {
    (void)env, (void)type;
    own_close(fd);
}

jint JNICALL eventfd_epoll(JNIEnv *env, jclass type) {
    (void)env, (void)type;
    own_begin();
    return (jint)own_end(raw(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0));
}

jint JNICALL eventfd_epoll_control(JNIEnv *env, jclass type, jint epoll, jboolean add, jint fd) {
    (void)env, (void)type;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    return (jint)raw(SYS_epoll_ctl, epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, (long)&event, 0, 0);
}

jint JNICALL eventfd_epoll_wait(JNIEnv *env, jclass type, jint epoll, jlong into, jint max) {
    (void)env, (void)type;
    struct epoll_event events[64];
    long n = raw(SYS_epoll_pwait, epoll, (long)events, max < 64 ? max : 64, -1, 0, 8);
    for (long i = 0; i < n; i++) ((int32_t *)into)[i] = events[i].data.fd;
    return (jint)n;
}
