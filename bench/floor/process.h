/* What the floors share as processes: the address and the end. */
#ifndef NYARIO_FLOOR_PROCESS_H
#define NYARIO_FLOOR_PROCESS_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *floor_socket_path;

_Noreturn static void floor_die(const char *what)
{
    perror(what);
    exit(1);
}

/* Nothing is buffered and nothing is shared, so there is nothing to unwind: leaving from the handler
 * cannot miss a signal that arrives just before the wait. */
static void floor_end(int signal)
{
    (void)signal;
    if (floor_socket_path)
        unlink(floor_socket_path);
    _exit(0);
}

static int floor_listen_unix(const char *path, int socket_flags)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof name.sun_path) {
        errno = ENAMETOOLONG;
        floor_die(path);
    }
    strcpy(name.sun_path, path);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) || listen(fd, SOMAXCONN))
        floor_die(path);
    floor_socket_path = path;
    printf("listening on %s\n", path);
    return fd;
}

static struct sockaddr_in floor_address(const char *address)
{
    struct sockaddr_in name = { .sin_family = AF_INET };
    char host[INET_ADDRSTRLEN];
    unsigned short port;
    if (sscanf(address, "%15[0-9.]:%hu", host, &port) != 2 || inet_pton(AF_INET, host, &name.sin_addr) != 1) {
        errno = EINVAL;
        floor_die(address);
    }
    name.sin_port = htons(port);
    return name;
}

static int floor_listen_tcp(const char *address, int socket_flags)
{
    struct sockaddr_in name = floor_address(address);

    /* Accepted sockets inherit TCP_NODELAY, which saves a system call for each of them. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0), on = 1;
    socklen_t size = sizeof name;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&name, size) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&name, &size))
        floor_die(address);
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &name.sin_addr, host, sizeof host);
    printf("listening on %s:%u\n", host, ntohs(name.sin_port));
    return fd;
}

/* The line that is printed is a promise: connecting works from now on. */
static int floor_listen(const char *address, int socket_flags)
{
    int fd = strchr(address, '/') ? floor_listen_unix(address, socket_flags)
                                  : floor_listen_tcp(address, socket_flags);
    if (fflush(stdout))
        floor_die("stdout");
    return fd;
}

static void floor_prepare(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        floor_die("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        floor_die("setrlimit");

    struct sigaction end = { .sa_handler = floor_end };
    if (sigaction(SIGINT, &end, NULL) || sigaction(SIGTERM, &end, NULL))
        floor_die("sigaction");
}

#endif
