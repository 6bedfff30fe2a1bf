/* Linked statically, this is a container's whole root file system. */
#include <stdio.h>

int main(void)
{
    return puts("hello") < 0;
}
