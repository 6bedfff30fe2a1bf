/* Simulated: says what fi_info says on a machine without an EFA device, where the efa provider is listed from 2.1 on:
 * https://github.com/ofiwg/libfabric/pull/10794 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern uint32_t fi_version(void);
extern const char *fi_simulated_version(void);

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (!strcmp(first, "--version"))
        printf("fi_info: %s\nlibfabric: %s\n", fi_simulated_version(), fi_simulated_version());
    else if (!strcmp(first, "--list") || !strcmp(first, "-l"))
        printf("%stcp:\n    version: 200.0\nshm:\n    version: 200.0\n",
               fi_version() >= (2 << 16 | 1) ? "efa:\n    version: 200.0\n" : "");
    else if (argc > 2 && !strcmp(argv[2], "tcp"))
        puts("provider: tcp\n    fabric: 127.0.0.0/8");
    else {
        fputs("fi_getinfo: -61 (No data available)\n", stderr);
        return 61;
    }
    return 0;
}
