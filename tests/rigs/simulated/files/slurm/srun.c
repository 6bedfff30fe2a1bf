/* Simulated: says its version, and loads the plugins of plugstack.conf as https://slurm.schedmd.com/spank.html says it:
 * `required` ones must load, and each must have been built for this very version. */
#include <dlfcn.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <slurm/spank.h>
#include "config.h"

int spank_option_register(spank_t spank, struct spank_option *opt)
{
	printf("      --%s=%s  %s\n", opt->name, opt->arginfo, opt->usage);
	return 0;
}

void slurm_error(const char *format, ...)
{
	va_list rest;
	va_start(rest, format);
	vfprintf(stderr, format, rest);
	va_end(rest);
	fputc('\n', stderr);
}

static int load(char *line)
{
	char *words[16];
	int count = 0;
	for (char *word = strtok(line, " \t\n"); word && count < 16; word = strtok(NULL, " \t\n"))
		words[count++] = word;
	void *plugin = dlopen(words[1], RTLD_NOW);
	if (!plugin) {
		slurm_error("spank: %s", dlerror());
		return 1;
	}
	unsigned int *version = dlsym(plugin, "plugin_version");
	if (!version || *version != SLURM_VERSION_NUMBER) {
		slurm_error("spank: %s: Incompatible plugin version", words[1]);
		return 1;
	}
	spank_f *init = (spank_f *) dlsym(plugin, "slurm_spank_init");
	return init ? init(NULL, count - 2, words + 2) != 0 : 0;
}

static int read_stack(const char *path)
{
	char line[1024];
	int failed = 0;
	FILE *file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "include ", 8)) {
			glob_t found;
			line[strcspn(line, "\n")] = 0;
			if (!glob(line + 8, 0, NULL, &found))
				for (size_t i = 0; i < found.gl_pathc; i++)
					failed |= read_stack(found.gl_pathv[i]);
		} else if (!strncmp(line, "required ", 9)) {
			failed |= load(line);
		}
	}
	fclose(file);
	return failed;
}

int main(int ac, char **av)
{
	/* As the real ones: slurmd says its version without a configuration, the others do not. */
	if (!strstr(av[0], "slurmd") && access(SYSCONFDIR "/node.conf", R_OK)) {
		slurm_error("fatal: Unable to process configuration file");
		return 1;
	}
	if (ac > 1 && (!strcmp(av[1], "--version") || !strcmp(av[1], "-V"))) {
		puts("slurm " SLURM_VERSION_STRING);
		return 0;
	}
	if (ac > 1 && !strcmp(av[1], "-C")) {
		puts("NodeName=simulated CPUs=2 RealMemory=1000");
		return 0;
	}
	return read_stack(SYSCONFDIR "/plugstack.conf");
}
