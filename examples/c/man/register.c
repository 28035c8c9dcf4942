/* nyario_listen, nyario_register, nyario_dial, nyario_address, nyario_stop: a server and its client in one
 * thread, on a port that the kernel chooses. */
#include <nyario.h>
#include <stdio.h>

static void greet(int fd, void *arg) {
    (void)arg;
    nyario_write(fd, "hello\n", 6);
}

static void *client(void *address) {
    char text[16];
    ssize_t n;
    int fd = nyario_dial(address);
    if (fd >= 0) {
        while ((n = nyario_read(fd, text, sizeof text)) > 0)
            fwrite(text, 1, (size_t)n, stdout);
        nyario_close(fd);
    }
    nyario_stop();
    return NULL;
}

int main(void) {
    char address[128];
    int server = nyario_listen("127.0.0.1:0");
    if (server < 0 || nyario_address(server, address, sizeof address) < 0)
        return 1;
    nyario_register(server, greet, NULL, NYARIO_EAGER);
    nyario_detach(nyario_spawn(client, address));
    return nyario_loop();
}
