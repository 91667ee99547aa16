/* Makes writes fail, or ends the process at one of them. Loaded before the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls, bytes;

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : -1;
}

/* Whether this call may go on; `size` bytes are to be written. */
static int allowed(size_t size) {
  pthread_mutex_lock(&lock);
  long kill_at = number("FAULT_KILL_AT_CALL"), room = number("FAULT_ROOM_BYTES");
  calls++;
  bytes += size;
  int full = room >= 0 && bytes > room;
  pthread_mutex_unlock(&lock);
  if (kill_at >= 0 && calls >= kill_at) kill(getpid(), SIGKILL);
  if (full) errno = ENOSPC;
  return !full;
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
  return allowed(size) ? real(fd, from, size, at) : -1;
}

ssize_t write(int fd, const void *from, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  if (fd <= 2) return real(fd, from, size);
  return allowed(size) ? real(fd, from, size) : -1;
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  return allowed(0) ? real(fd) : -1;
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  return allowed(0) ? real(fd) : -1;
}

int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) real = dlsym(RTLD_NEXT, "rename");
  return allowed(0) ? real(from, to) : -1;
}
