/* Does one thing at one read of one file, so that a test hits the same moment each time.
 *
 * SHIM_FILE  end of the path of the file whose reads count; empty: every file
 * SHIM_AT    at which read, from 1 on
 * SHIM_DO    "signal N", "truncate BYTES" or "sleep MILLISECONDS"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long seen;

static void at_read(int fd) {
    const char *file = getenv("SHIM_FILE"), *at = getenv("SHIM_AT"), *act = getenv("SHIM_DO");
    char link[64], path[PATH_MAX];
    long number = 0;
    if (!file || !at || !act) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    size_t end = strlen(file);
    if ((size_t)length < end || strcmp(path + length - end, file) != 0) return;
    if (atomic_fetch_add(&seen, 1) + 1 != atol(at)) return;
    if (sscanf(act, "signal %ld", &number) == 1) kill(getpid(), (int)number);
    else if (sscanf(act, "sleep %ld", &number) == 1) usleep((useconds_t)number * 1000);
    else if (sscanf(act, "truncate %ld", &number) == 1 && truncate(path, number) != 0) abort();
}

ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    at_read(fd);
    return real(fd, buffer, count, offset);
}

ssize_t pread(int fd, void *buffer, size_t count, off_t offset) {
    return pread64(fd, buffer, count, offset);
}
