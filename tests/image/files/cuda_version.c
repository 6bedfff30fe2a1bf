/* Prints the version of the CUDA runtime that it runs with; it needs no GPU. */
#include <cuda_runtime.h>
#include <stdio.h>

int main(void)
{
    int version = 0;
    if (cudaRuntimeGetVersion(&version) != cudaSuccess)
        return 1;
    return printf("%d.%d\n", version / 1000, version / 10 % 100) < 0;
}
