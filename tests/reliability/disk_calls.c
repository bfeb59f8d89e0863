/* Stands between a process and the C library: logs every call on the files of one folder, and lets one of them fail.
 *
 * Loaded with LD_PRELOAD, so that SQLite's calls are seen as well as Python's. tests/reliability/disk_calls.py builds it,
 * drives it, and reads its log. Nothing happens before `watch`, nor in a child process.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char root[PATH_MAX];
static int sink = -1, failing_error, fills_up;
static pid_t watched;
static long count, failing_at;
static char failed[2 * PATH_MAX];
static char *paths[FILES]; /* of the descriptors that were opened below the root */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

enum kind { READS, LOOKS, NAMES, WRITES };

static int below_root(const char *path) {
    size_t size = strlen(root);
    return watched && watched == getpid() && path && !strncmp(path, root, size) && (!path[size] || path[size] == '/');
}

static const char *path_of(int fd) { return fd >= 0 && fd < FILES && below_root(paths[fd]) ? paths[fd] : NULL; }

/* A record: what is called, a descriptor, two numbers, and two texts. */
static void record(const char *name, int fd, int64_t first, int64_t second, const void *a, size_t a_size,
                   const void *b, size_t b_size) {
    char head[32] = {0};
    int64_t numbers[5] = {fd, first, second, (int64_t)a_size, (int64_t)b_size};
    int kept = errno;
    if (sink >= 0) {
        strncpy(head, name, sizeof head - 1);
        if (REAL(write)(sink, head, sizeof head) < 0 || REAL(write)(sink, numbers, sizeof numbers) < 0 ||
            (a_size && REAL(write)(sink, a, a_size) < 0) || (b_size && REAL(write)(sink, b, b_size) < 0))
            abort();
    }
    errno = kept;
}

/* Say whether this call fails: what reads knows no full disk, and only what goes by a name knows permissions. */
static int fails(enum kind kind, const char *name, const char *path) {
    int known = failing_error == EIO || (failing_error == ENOSPC && kind >= NAMES) ||
                (failing_error == EACCES && (kind == LOOKS || kind == NAMES));
    int chosen;
    count++;
    record("call", -1, kind, count, name, strlen(name), path, strlen(path));
    chosen = fills_up ? failing_at && count >= failing_at && kind == WRITES : count == failing_at;
    if (!chosen || !known) return 0;
    if (!failed[0]) snprintf(failed, sizeof failed, "%s %s", name, path + strlen(root) + (path[strlen(root)] == '/'));
    errno = failing_error;
    return 1;
}

/* For the test: begin to watch a folder. The call of that number fails with `error`; with `full`, every write from then
 * on. Without a number none does. */
void watch(const char *folder, int log, long number, int error, int full) {
    pthread_mutex_lock(&lock);
    snprintf(root, sizeof root, "%s", folder);
    sink = log, failing_at = number, failing_error = error, fills_up = full;
    count = 0, failed[0] = 0, watched = getpid();
    pthread_mutex_unlock(&lock);
}

void unwatch(void) { watched = 0; }
const char *what_failed(void) { return failed; }
void note(const char *text) { record("note", -1, 0, 0, text, strlen(text), NULL, 0); }

#define LOCKED(type, kind, name, path, call, log)                                                                      \
    do {                                                                                                               \
        type result = -1;                                                                                              \
        pthread_mutex_lock(&lock);                                                                                     \
        if (!fails(kind, name, path) && (result = call) >= 0) { log; }                                                 \
        pthread_mutex_unlock(&lock);                                                                                   \
        return result;                                                                                                 \
    } while (0)

static int opened(const char *name, const char *path, int flags, mode_t mode, int (*real)(const char *, int, ...)) {
    int result, is_new = (flags & O_CREAT) && REAL(access)(path, F_OK) != 0;
    pthread_mutex_lock(&lock);
    if (fails(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) ? NAMES : LOOKS, name, path)) {
        result = -1;
    } else if ((result = real(path, flags, mode)) >= 0 && result < FILES) {
        free(paths[result]);
        paths[result] = strdup(path);
        record("open", result, flags, is_new, path, strlen(path), NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        mode_t mode;                                                                                                   \
        va_start(rest, flags);                                                                                         \
        mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                             \
        va_end(rest);                                                                                                  \
        if (!below_root(path)) return REAL(name)(path, flags, mode);                                                   \
        return opened("open", path, flags, mode, REAL(name));                                                          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (path_of(fd)) {
        pthread_mutex_lock(&lock);
        record("close", fd, 0, 0, NULL, 0, NULL, 0);
        free(paths[fd]);
        paths[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

#define READ(name, type, parameters, ...)                                                                              \
    type name parameters {                                                                                             \
        const char *path = path_of(fd);                                                                                \
        if (!path) return REAL(name)(__VA_ARGS__);                                                                     \
        LOCKED(type, READS, #name, path, REAL(name)(__VA_ARGS__), (void)0);                                            \
    }
READ(read, ssize_t, (int fd, void *data, size_t size), fd, data, size)
READ(pread64, ssize_t, (int fd, void *data, size_t size, off64_t at), fd, data, size, at)
READ(fstat, int, (int fd, struct stat *found), fd, found)
READ(fstat64, int, (int fd, struct stat64 *found), fd, found)

/* A disk that fills up takes a part of the data first; only the rest finds no space. */
#define WRITE(name, parameters, half, whole, position)                                                                 \
    ssize_t name parameters {                                                                                          \
        const char *path = path_of(fd);                                                                                \
        ssize_t result;                                                                                                \
        if (!path) return whole;                                                                                       \
        pthread_mutex_lock(&lock);                                                                                     \
        if (fails(WRITES, #name, path)) {                                                                              \
            result = -1;                                                                                               \
            if (failing_error == ENOSPC && !fills_up && size > 1 && (result = half) > 0) failing_at = count + 1;       \
            if (result < 0) errno = failing_error;                                                                     \
        } else {                                                                                                       \
            result = whole;                                                                                            \
        }                                                                                                              \
        if (result > 0) record("write", fd, position, 0, data, result, NULL, 0);                                       \
        pthread_mutex_unlock(&lock);                                                                                   \
        return result;                                                                                                 \
    }
WRITE(write, (int fd, const void *data, size_t size), REAL(write)(fd, data, size / 2), REAL(write)(fd, data, size),
      lseek(fd, 0, SEEK_CUR) - result)
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t at), REAL(pwrite64)(fd, data, size / 2, at),
      REAL(pwrite64)(fd, data, size, at), at)

#define CHANGE(name, parameters, size, ...)                                                                            \
    int name parameters {                                                                                              \
        const char *path = path_of(fd);                                                                                \
        if (!path) return REAL(name)(__VA_ARGS__);                                                                     \
        LOCKED(int, WRITES, #name, path, REAL(name)(__VA_ARGS__), record(#name, fd, size, 0, NULL, 0, NULL, 0));       \
    }
CHANGE(fsync, (int fd), 0, fd)
CHANGE(fdatasync, (int fd), 0, fd)
CHANGE(ftruncate, (int fd, off_t size), size, fd, size)
CHANGE(ftruncate64, (int fd, off64_t size), size, fd, size)

#define ON_NAME(name, parameters, kind, ...)                                                                           \
    int name parameters {                                                                                              \
        if (!below_root(path)) return REAL(name)(__VA_ARGS__);                                                         \
        LOCKED(int, kind, #name, path, REAL(name)(__VA_ARGS__),                                                        \
               if (kind == NAMES) record(#name, -1, 0, 0, path, strlen(path), NULL, 0));                               \
    }
ON_NAME(unlink, (const char *path), NAMES, path)
ON_NAME(rmdir, (const char *path), NAMES, path)
ON_NAME(mkdir, (const char *path, mode_t mode), NAMES, path, mode)
ON_NAME(stat, (const char *path, struct stat *found), LOOKS, path, found)
ON_NAME(stat64, (const char *path, struct stat64 *found), LOOKS, path, found)
ON_NAME(lstat, (const char *path, struct stat *found), LOOKS, path, found)
ON_NAME(lstat64, (const char *path, struct stat64 *found), LOOKS, path, found)

int rename(const char *path, const char *target) {
    if (!below_root(path)) return REAL(rename)(path, target);
    LOCKED(int, NAMES, "rename", path, REAL(rename)(path, target),
           record("rename", -1, 0, 0, path, strlen(path), target, strlen(target)));
}

DIR *opendir(const char *path) {
    DIR *result = NULL;
    if (!below_root(path)) return REAL(opendir)(path);
    pthread_mutex_lock(&lock);
    if (!fails(LOOKS, "opendir", path)) result = REAL(opendir)(path);
    pthread_mutex_unlock(&lock);
    return result;
}
