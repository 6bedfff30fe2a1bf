/* Prints the version of the NCCL that it runs with; it needs no GPU. */
#include <nccl.h>
#include <stdio.h>

int main(void)
{
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess)
        return 1;
    return printf("%d.%d.%d\n", version / 10000, version / 100 % 100, version % 100) < 0;
}
