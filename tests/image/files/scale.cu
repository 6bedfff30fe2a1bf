// The smallest kernel: enough to take the compiler and its assembler through their work.
__global__ void scale(float *values, float factor)
{
    values[blockIdx.x * blockDim.x + threadIdx.x] *= factor;
}
