/*
 * Runs a program as it would run on another kernel: as-host [no-ldt] [no-huge] -- PROGRAM [ARGUMENT]...
 *   no-ldt   modify_ldt(2) fails with ENOSYS, as without CONFIG_MODIFY_LDT_SYSCALL
 *   no-huge  no transparent huge pages
 */
#include <err.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void refuse_ldt(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_modify_ldt, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        err(1, "seccomp");
}

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "no-ldt"))
            refuse_ldt();
        else if (!strcmp(argv[i], "no-huge")) {
            if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
                err(1, "PR_SET_THP_DISABLE");
        } else
            errx(2, "unknown word %s", argv[i]);
    }
    if (i + 1 >= argc)
        errx(2, "say which program");
    execvp(argv[i + 1], argv + i + 1);
    err(127, "%s", argv[i + 1]);
}
