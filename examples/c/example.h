/* What the server examples share: an address as the first argument, and a clean end on SIGINT and SIGTERM. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <nyario.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(int signal) {
    (void)signal;
    nyario_stop();
}

static void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s (%s)\n", what, nyario_strerror(error), nyario_err_name(error));
    exit(1);
}

/* SIGINT and SIGTERM end the loop. */
static inline void end_on_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Serves `handler` at the address that the command line names, until a signal ends the loop. */
static inline int serve(int argc, char **argv, nyario_handler handler, unsigned flags) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s ADDRESS (host:port, or the path of a unix socket)\n", argv[0]);
        return 2;
    }
    int server = nyario_listen(argv[1]);
    if (server < 0)
        fail(argv[1], server);
    int error = nyario_register(server, handler, NULL, flags);
    if (error < 0)
        fail("nyario_register", error);

    end_on_signals();
    char address[128];
    error = nyario_address(server, address, sizeof address);
    if (error < 0)
        fail("nyario_address", error);
    printf("listening on %s\n", address);
    fflush(stdout);

    error = nyario_loop();
    if (error < 0)
        fail("nyario_loop", error);
    return 0;
}

#endif
