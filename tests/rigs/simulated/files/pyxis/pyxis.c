/* Simulated: a real plugin with the first option of https://github.com/NVIDIA/pyxis/blob/master/README.md, which starts
 * no container. Like config.c there, it refuses settings that it does not know. */
#include <string.h>
#include <slurm/spank.h>

SPANK_PLUGIN(pyxis, 1)

static int ignore(int val, const char *optarg, int remote)
{
	return 0;
}

static struct spank_option image = {
	"container-image", "[USER@][REGISTRY#]IMAGE[:TAG]|PATH", "[pyxis] simulated", 1, 0, ignore,
};

int slurm_spank_init(spank_t sp, int ac, char **av)
{
	for (int i = 0; i < ac; ++i) {
		if (strncmp("runtime_path=", av[i], 13) != 0) {
			slurm_error("pyxis: unknown configuration option: %s", av[i]);
			return -1;
		}
	}
	return spank_option_register(sp, &image);
}
