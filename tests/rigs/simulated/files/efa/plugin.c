/* Simulated: what NCCL looks for in a network plugin, and the version that the plugin logs. */
#define EXPORT(version) const struct plugin ncclNetPlugin_v##version = {"AWS Libfabric"}

struct plugin {
    const char *name;
};
const char initializing[] = "NET/OFI Initializing aws-ofi-nccl " VERSION;

EXPORT(8);
EXPORT(9);
EXPORT(10);
EXPORT(11);
