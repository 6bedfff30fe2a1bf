"""NVIDIA's CUDA toolkit and NCCL, and the source of NCCL's tests.

NVIDIA numbers the parts of a toolkit each by itself; here they have the toolkit's version. Libraries are real shared
objects, and nvcc compiles what is for the host.
"""

from collections.abc import Callable
from pathlib import Path

from ingot.model.lock import Lock, LockedComponent
from tests.rigs.packages import Package, Wanted, write

# Parts of a toolkit that the rig has something in, and what they need: https://packages.ubuntu.com/resolute/, pages of
# cuda-libraries-dev-13-1 and libnvvm-13-1, and tenacious/cuda-toolkit-13-2; what the compiler needs by
# https://anaconda.org/anaconda/cuda-compiler, 13.0.2.
PARTS = {
    "cuda-toolkit": ["cuda-compiler", "cuda-libraries", "cuda-libraries-dev"],
    "cuda-compiler": ["cuda-nvcc"],
    "cuda-libraries": ["cuda-cudart"],
    "cuda-libraries-dev": ["cuda-cudart-dev"],
    "cuda-cudart-dev": ["cuda-cudart"],
    "cuda-nvcc": ["cuda-cudart-dev"],
    "cuda-cudart": ["cuda-toolkit-config"],
}
# Where a toolkit has its files: https://docs.nvidia.com/cuda/cuda-installation-guide-linux/ on cross-platform targets.
TARGETS = {"x86_64": "x86_64-linux", "aarch64": "sbsa-linux"}
# What `nvcc --list-gpu-code` says of 13.0 to 13.3, and `ptxas --help` of 12.9 and 12.4, of the Python package index.
GPUS = {
    (13, 0): "75 80 86 87 88 89 90 100 103 110 120 121",
    (12, 9): "50 52 53 60 61 62 70 72 75 80 86 87 89 90 100 101 103 120 121",
    (12, 8): "50 52 53 60 61 62 70 72 75 80 86 87 89 90 100 101 120",
    (12, 0): "50 52 53 60 61 62 70 72 75 80 86 87 89 90",
}
# It refuses what it has no code for, as the real one does ("Unsupported gpu architecture"), includes cuda_runtime.h by
# itself, and appends NVCC_APPEND_FLAGS: https://docs.nvidia.com/cuda/cuda-compiler-driver-nvcc/.
NVCC = r"""#!/bin/bash
# Simulated.
set -eu
home=$(dirname "$(dirname "$(readlink -f "$0")")")
compiler=g++
words=()
arguments=("$@")
read -ra appended <<<"${{NVCC_APPEND_FLAGS-}}"
arguments+=("${{appended[@]}}")
set -- "${{arguments[@]}}"
known() {{
  for number in {gpus}; do [ "${{1##*_}}" = "$number" ] && return; done
  echo "nvcc fatal   : Unsupported gpu architecture 'compute_${{1##*_}}'" >&2
  exit 1
}}
while [ $# -gt 0 ]; do
  case $1 in
    --version)
      echo "nvcc: NVIDIA (R) Cuda compiler driver"
      echo "Simulated"
      echo "Cuda compilation tools, release {release}, V{version}"
      exit
      ;;
    --list-gpu-code) for number in {gpus}; do echo "sm_$number"; done; exit ;;
    -gencode) set -- "-gencode=$2" "${{@:3}}"; continue ;;
    -gencode=arch=compute_*,code=*) known "${{1%%,*}}"; known "$1" ;;
    -arch=sm_*) known "$1" ;;
    -ccbin) compiler=$2; shift ;;
    -cubin) words+=(-c) ;;
    -Xlinker) words+=("-Wl,${{2/=/,}}"); shift ;;
    -Xcompiler) words+=("$2"); shift ;;
    -x) words+=(-x c++); shift ;;
    *.cu) words+=(-x c++ "$1" -x none) ;;
    *) words+=("$1") ;;
  esac
  shift
done
exec "$compiler" -isystem "$home/include" -include cuda_runtime.h "${{words[@]}}"
"""
CUDA_RUNTIME = """/* Simulated. */
#ifndef CUDA_RUNTIME_H
#define CUDA_RUNTIME_H
#define CUDART_VERSION {number}
#ifdef __cplusplus
#define __global__
struct dim3 {{ unsigned x, y, z; }};
static const dim3 blockIdx = {{0, 0, 0}}, blockDim = {{1, 1, 1}}, threadIdx = {{0, 0, 0}};
extern "C" {{
#endif
typedef int cudaError_t;
enum {{ cudaSuccess = 0 }};
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
#ifdef __cplusplus
}}
#endif
#endif
"""
CUDART = "int cudaRuntimeGetVersion(int *v) {{ *v = {number}; return 0; }}\n"
CUDART += "int cudaGetDeviceCount(int *n) {{ *n = 0; return 0; }}\n"
# The alternatives' names, and when rpm makes them: https://github.com/NVIDIA/libnvidia-container/issues/117; their
# order is what `update-alternatives --config cuda` shows of 12.9 and 13.0, 129 and 130.
ALTERNATIVES = """update-alternatives --install /usr/local/cuda cuda /usr/local/cuda-{release} {order}
update-alternatives --install /usr/local/cuda-{major} cuda-{major} /usr/local/cuda-{release} {order}
ldconfig
"""
NCCL_HEADER = """/* Simulated. */
#ifndef NCCL_H_
#define NCCL_H_
#define NCCL_MAJOR {0}
#define NCCL_MINOR {1}
#define NCCL_PATCH {2}
#define NCCL_VERSION_CODE {code}
#ifdef __cplusplus
extern "C" {{
#endif
typedef enum {{ ncclSuccess = 0 }} ncclResult_t;
ncclResult_t ncclGetVersion(int *version);
#ifdef __cplusplus
}}
#endif
#endif
"""
NCCL = "int ncclGetVersion(int *version) {{ *version = {code}; return 0; }}\n"
LIBRARY = 'printf %s "{source}" | $CC -shared -fPIC -Wl,-soname,{soname} -x c - -o {file}\n'


def _exactly(wanted: Wanted, name: str, relation: str, version: str) -> str:
    return f"{name} ({relation} {version})" if wanted.kind == "apt" else f"{name} {relation} {version}"


def _library(folder: str, soname: str, file: str, source: str) -> str:
    """The script that makes a shared library with the link that the loader follows."""
    made = LIBRARY.format(source=source.replace("\n", " "), soname=soname, file=f"{folder}/{file}")
    return f"mkdir -p {folder}\n{made}ln -s {file} {folder}/{soname}\n"


def _toolkit(wanted: Wanted) -> Package:
    """A part of the toolkit, which its name ends in the branch of: cuda-nvcc-13-0."""
    name, major, minor = wanted.name.rsplit("-", 2)
    release, dashed = f"{major}.{minor}", f"{major}-{minor}"
    needs = [each for each in PARTS.get(name, []) if each != "cuda-toolkit-config"]
    package = Package(brings={f"{each}-{dashed}": wanted.version for each in needs})
    package.needs = [_exactly(wanted, f"{each}-{dashed}", ">=", wanted.upstream) for each in needs]
    home = f"usr/local/cuda-{release}"
    target = f"{home}/targets/{TARGETS[wanted.arch]}"
    number = int(major) * 1000 + int(minor) * 10
    if name == "cuda-cudart":
        common = [f"cuda-toolkit-{dashed}-config-common", f"cuda-toolkit-{major}-config-common"]
        common.append("cuda-toolkit-config-common")
        package.needs, package.brings = common, dict.fromkeys(common, wanted.version)
        file = f"libcudart.so.{wanted.upstream}"
        package.build = _library(f"{target}/lib", f"libcudart.so.{major}", file, CUDART.format(number=number))
        package.build += f"ln -s targets/{TARGETS[wanted.arch]}/lib {home}/lib64\n"
    elif name == "cuda-cudart-dev":
        package.files[f"{target}/include/cuda_runtime.h"] = CUDA_RUNTIME.format(number=number)
        package.build = f"mkdir -p {target}/lib\nln -s libcudart.so.{major} {target}/lib/libcudart.so\n"
        package.build += f"ln -s targets/{TARGETS[wanted.arch]}/include {home}/include\n"
    elif name == "cuda-nvcc":
        branch = max(each for each in GPUS if each <= (int(major), int(minor)))
        words = {"gpus": GPUS[branch], "release": release, "version": wanted.upstream}
        package.files[f"{home}/bin/nvcc"] = NVCC.format(**words)
    return package


def _config(wanted: Wanted) -> Package:
    """What makes /usr/local/cuda: https://packages.ubuntu.com, libnvfatbin-13-1 on the three; that the one of a branch
    sets the alternatives, what apt says while it installs 12.8."""
    numbers = wanted.name.removeprefix("cuda-toolkit-").removesuffix("config-common").strip("-").split("-")
    if len(numbers) < 2:
        # The one without a number says where the loader looks; of the other's file no source has the name.
        target = f"/usr/local/cuda/targets/{TARGETS[wanted.arch]}/lib\n"
        return Package({} if numbers[0] else {"etc/ld.so.conf.d/000_cuda.conf": target})
    major, minor = numbers
    release = f"{major}.{minor}"
    made = ALTERNATIVES.format(release=release, major=major, order=f"{major}{minor}")
    removed = f"update-alternatives --remove cuda /usr/local/cuda-{release}\n"
    removed += f"update-alternatives --remove cuda-{major} /usr/local/cuda-{release}\n"
    return Package(scripts={"postinst" if wanted.kind == "apt" else "posttrans": made, "prerm": removed})


def _nccl(wanted: Wanted) -> Package:
    """NVIDIA/nccl, pkg/debian and pkg/redhat/nccl.spec.in."""
    numbers = wanted.upstream.split(".")
    code = int(numbers[0]) * 10000 + int(numbers[1]) * 100 + int(numbers[2])
    if wanted.name in ("libnccl2", "libnccl"):
        file = f"libnccl.so.{wanted.upstream}"
        source = NCCL.format(code=code)
        return Package(
            build=_library(wanted.libraries, "libnccl.so.2", file, source), scripts={"postinst": "ldconfig\n"}
        )
    needs = [_exactly(wanted, "libnccl2", "=", wanted.version)]
    if wanted.kind == "rpm":
        needs = [_exactly(wanted, "libnccl", ">=", wanted.upstream)]
    build = f"mkdir -p {wanted.libraries}\nln -s libnccl.so.2 {wanted.libraries}/libnccl.so\n"
    return Package({"usr/include/nccl.h": NCCL_HEADER.format(*numbers, code=code)}, build, needs)


# What is made, and of what: NVIDIA/nccl-tests, Makefile and src/Makefile. Each program takes part in MPI and says which
# NCCL it runs with.
TESTS = ["all_reduce", "all_gather", "broadcast", "reduce_scatter", "reduce", "alltoall", "sendrecv"]
TESTS_MAKEFILE = """# Simulated.
default: src.build
%.build:
\t$(MAKE) -C $* build BUILDDIR=$(abspath build)
"""
TESTS_SOURCE_MAKEFILE = """# Simulated.
CUDA_HOME ?= /usr/local/cuda
NVCC ?= $(CUDA_HOME)/bin/nvcc
NVCC_GENCODE ?= -gencode=arch=compute_80,code=sm_80
NVCUFLAGS := -ccbin $(CXX) $(NVCC_GENCODE) -std=c++17
NVLDFLAGS := -L$(CUDA_HOME)/lib64 -lcudart -lrt
ifneq ($(NCCL_HOME),)
NVCUFLAGS += -I$(NCCL_HOME)/include
NVLDFLAGS += -L$(NCCL_HOME)/lib
endif
ifeq ($(MPI),1)
NVCUFLAGS += -DMPI_SUPPORT -I$(MPI_HOME)/include
NVLDFLAGS += -L$(MPI_HOME)/lib -L$(MPI_HOME)/lib64 -lmpi
endif
NVLDFLAGS += -lnccl
PROGRAMS := $(patsubst %,$(BUILDDIR)/%_perf,{tests})
build: $(PROGRAMS)
$(BUILDDIR)/%.o: %.cu
\tmkdir -p $(BUILDDIR)
\t$(NVCC) -o $@ $(NVCUFLAGS) -c $<
$(BUILDDIR)/%_perf: $(BUILDDIR)/%.o
\t$(NVCC) -o $@ $(NVCUFLAGS) $< $(NVLDFLAGS)
.PRECIOUS: $(BUILDDIR)/%.o
"""
TEST = """// Simulated.
#include <nccl.h>
#include <stdio.h>
#ifdef MPI_SUPPORT
#include <mpi.h>
#endif
__global__ void nothing() {}
int main(int argc, char **argv)
{
    int version, gpus;
#ifdef MPI_SUPPORT
    MPI_Init(&argc, &argv);
#endif
    if (ncclGetVersion(&version) != ncclSuccess || cudaGetDeviceCount(&gpus) != cudaSuccess)
        return 1;
    printf("simulated, NCCL %d, %d GPUs\\n", version, gpus);
#ifdef MPI_SUPPORT
    MPI_Finalize();
#endif
    return 0;
}
"""


def _tests(entry: LockedComponent, _: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """GitHub's archive of a tag: one folder that is named after it."""
    root = file.parent / f"nccl-tests-{entry.version}"
    files = {"Makefile": TESTS_MAKEFILE, "src/Makefile": TESTS_SOURCE_MAKEFILE.format(tests=" ".join(TESTS))}
    write(root, files | {f"src/{name}.cu": TEST for name in TESTS})
    run(f"tar --owner=0 --group=0 -czf {file.name} {root.name} && rm -r {root.name}", file.parent)


def _branches() -> dict[str, Callable[[Wanted], Package]]:
    found: dict[str, Callable[[Wanted], Package]] = {}
    for major in (12, 13):
        for minor in range(10):
            found |= {f"{part}-{major}-{minor}": _toolkit for part in PARTS}
            found[f"cuda-toolkit-{major}-{minor}-config-common"] = _config
        found[f"cuda-toolkit-{major}-config-common"] = _config
    return found


PACKAGES = {
    **_branches(),
    "cuda-toolkit-config-common": _config,
    **dict.fromkeys(("libnccl2", "libnccl-dev", "libnccl", "libnccl-devel"), _nccl),
}
ARTIFACTS = {"nccl_tests": _tests}
