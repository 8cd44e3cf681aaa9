/* LD_PRELOAD: a disk that is slow, or that fails once.
 *
 * FSYNC_SHIM names a file. While it holds a number, every fsync and fdatasync takes so many milliseconds
 * more. While FSYNC_SHIM.eio is there, the next one of a file whose path holds "journal" takes it away and
 * fails with EIO, its pages unwritten as far as the caller may know.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void wait_as_told(const char *file)
{
    char text[16] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    long ms = got > 0 ? strtol(text, NULL, 10) : 0;
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
    if (ms > 0)
        nanosleep(&wait, NULL);
}

static int is_to_fail(const char *file, int fd)
{
    char link[64], path[4096], told[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    snprintf(told, sizeof told, "%s.eio", file);
    return strstr(path, "journal") != NULL && unlink(told) == 0;
}

static int synced(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *file = getenv("FSYNC_SHIM");
    if (file != NULL) {
        wait_as_told(file);
        if (is_to_fail(file, fd)) {
            errno = EIO;
            return -1;
        }
    }
    return real(fd);
}

int fsync(int fd)
{
    return synced("fsync", fd);
}

int fdatasync(int fd)
{
    return synced("fdatasync", fd);
}
