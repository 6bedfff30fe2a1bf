/* Simulated: the library's name, a version node of its symbols, and what fi_info shows. */
#include <stdint.h>

uint32_t fi_version(void)
{
    return (uint32_t)MAJOR << 16 | MINOR;
}

const char *fi_simulated_version(void)
{
    return VERSION;
}
