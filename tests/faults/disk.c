/* A disk that fails: preloaded, it stands between a program and the C library, for files below one folder.
 *
 * Calls to which a kind of fault can happen are counted; the nth fails, alone or with all that follow. Threads may call at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { ANY = 1, SPACE = 2, SHORT = 3, LOST = 4 };
enum { READS = 1, WRITES = 2, CREATES = 4, SYNCS = 8, NAMES = 16 };
#define DESCRIPTORS 4096

static char below[4096];
static size_t below_size;
static long nth;
static int kind, error_number, forever;
static atomic_long count;
static atomic_int is_full;
static char watched[DESCRIPTORS];
static off_t durable[DESCRIPTORS];

static const int applies[] = {
    [ANY] = READS | WRITES | CREATES | SYNCS | NAMES,
    [SPACE] = WRITES | CREATES | SYNCS,
    [SHORT] = WRITES,
    [LOST] = SYNCS,
};

void axiom_arm(const char *folder, long at, int what, int number, int on) {
    strncpy(below, folder, sizeof below - 1);
    below_size = strlen(below);
    nth = at, kind = what, error_number = number, forever = on;
    atomic_store(&count, 0);
    atomic_store(&is_full, 0);
}

long axiom_count(void) { return atomic_load(&count); }

static int fails(int call) {
    if (!kind || !(applies[kind] & call))
        return 0;
    long number = atomic_fetch_add(&count, 1) + 1;
    return nth && (number == nth || (forever && number > nth));
}

static int path_is_ours(const char *path) {
    return below_size && !strncmp(path, below, below_size) && (path[below_size] == '/' || !path[below_size]);
}

static int descriptor_is_ours(int fd) { return fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(call) \
    do { \
        if (fails(call)) { \
            errno = error_number; \
            return -1; \
        } \
    } while (0)

static int opened(int fd, int is_directory) {
    struct stat status;
    if (fd >= 0 && fd < DESCRIPTORS) {
        watched[fd] = is_directory ? 2 : 1;
        durable[fd] = fstat(fd, &status) ? 0 : status.st_size;
    }
    return fd;
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (!path_is_ours(path)) \
            return REAL(name)(path, flags, mode); \
        REFUSE(flags & O_CREAT ? CREATES : READS); \
        return opened(REAL(name)(path, flags, mode), flags & O_DIRECTORY); \
    }
OPENING(open)
OPENING(open64)

int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS)
        watched[fd] = 0;
    return REAL(close)(fd);
}

ssize_t read(int fd, void *data, size_t size) {
    if (descriptor_is_ours(fd))
        REFUSE(READS);
    return REAL(read)(fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (descriptor_is_ours(fd)) {
        if (atomic_load(&is_full)) {
            errno = error_number;
            return -1;
        }
        if (kind == SHORT && fails(WRITES)) {
            atomic_store(&is_full, 1);
            if (size > 1)
                return REAL(write)(fd, data, size / 2);
            errno = error_number;
            return -1;
        }
        if (kind != SHORT)
            REFUSE(WRITES);
    }
    return REAL(write)(fd, data, size);
}

/* After a failed fsync the kernel may have dropped what was written since the last one. */
static int sync_fails(int fd) {
    if (descriptor_is_ours(fd) && !(kind == LOST && watched[fd] == 2) && fails(SYNCS)) {
        if (kind == LOST && ftruncate(fd, durable[fd])) {}
        errno = error_number;
        return 1;
    }
    return 0;
}

static int synced(int fd, int result) {
    struct stat status;
    if (!result && descriptor_is_ours(fd) && !fstat(fd, &status))
        durable[fd] = status.st_size;
    return result;
}

int fsync(int fd) { return sync_fails(fd) ? -1 : synced(fd, REAL(fsync)(fd)); }
int fdatasync(int fd) { return sync_fails(fd) ? -1 : synced(fd, REAL(fdatasync)(fd)); }

int mkdir(const char *path, mode_t mode) {
    if (path_is_ours(path))
        REFUSE(CREATES);
    return REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    if (path_is_ours(to))
        REFUSE(NAMES);
    return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    if (path_is_ours(to))
        REFUSE(CREATES);
    return REAL(link)(from, to);
}

int unlink(const char *path) {
    if (path_is_ours(path))
        REFUSE(NAMES);
    return REAL(unlink)(path);
}
