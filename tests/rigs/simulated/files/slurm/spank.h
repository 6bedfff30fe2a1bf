/* Simulated: of the interface that https://slurm.schedmd.com/spank.html documents, what the simulated pyxis uses. */
#ifndef SPANK_H
#define SPANK_H
#include <slurm/slurm_errno.h>
#include <slurm/slurm_version.h>

typedef struct spank_handle *spank_t;
typedef int(spank_f)(spank_t spank, int ac, char *argv[]);
extern spank_f slurm_spank_init;

typedef int (*spank_opt_cb_f)(int val, const char *optarg, int remote);
struct spank_option {
	char *name;
	char *arginfo;
	char *usage;
	int has_arg;
	int val;
	spank_opt_cb_f cb;
};

typedef int spank_err_t;
spank_err_t spank_option_register(spank_t spank, struct spank_option *opt);
void slurm_error(const char *format, ...);

#define SPANK_PLUGIN(__name, __ver)                           \
	const char plugin_name[] = #__name;                   \
	const char plugin_type[] = "spank";                   \
	const unsigned int plugin_version = SLURM_VERSION_NUMBER; \
	const unsigned int spank_plugin_version = __ver;
#endif
