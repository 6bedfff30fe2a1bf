/* Simulated: what NCCL looks for in a tuner. */
struct plugin {
    const char *name;
};
const struct plugin ncclTunerPlugin_v3 = {"nccl_ofi_tuner"};
