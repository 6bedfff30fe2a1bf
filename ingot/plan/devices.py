"""Finds jobs of several nodes that ask for no EFA devices, though their instance type has them.

In manifests of Kubernetes, job definitions of AWS Batch, and `docker run` in scripts.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

RESOURCE = "vpc.amazonaws.com/efa"
FOLDER = "/dev/infiniband"
TYPE_KEYS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ACCELERATORS = ("nvidia.com/gpu", "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice")
# Keys whose number says how many pods work together; the pods of a service do not.
COUNTS = {"replicas", "parallelism", "completions", "numnodes", "minavailable", "size"}
SERVICES = {"deployment", "daemonset", "statefulset", "replicaset", "cronjob"}
# A command that goes on over joined lines.
RUN = re.compile(r"^(?![ \t]*#).*?\b(?:docker|podman|nerdctl)[ \t]+run\b((?:[^\n\\]|\\.|\\\n)*)", re.MULTILINE)
USES_DEVICES = re.compile(r"--gpus|--runtime[= ]nvidia|nvidia\.com/gpu|/dev/neuron|NVIDIA_VISIBLE_DEVICES")
# Devices, or options that only the running job knows.
HAS_DEVICES = re.compile(r"/dev/infiniband|--privileged|\[[@*]\]|\$\{?\w*(?:ARGS|OPT|FLAGS|DEVICE)\w*", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """Nodes of a job that get no EFA devices: what asks for them, on which line and types, and how to ask."""

    what: str
    line: int
    types: tuple[str, ...]
    fix: str
    source: str


def of_nodes(nodes: list[yaml.Node], first: int = 1) -> Iterator[Request]:
    """The pods and containers of several nodes in documents that ask for no EFA devices."""
    for node in nodes:
        yield from _below(node, first, 1, "")


def _keys(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value.lower(): value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _number(node: yaml.Node | None) -> int:
    """A number of nodes; that of a template is taken for several."""
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    return int(text) if re.fullmatch(r"\d{1,6}", text) else 2 if text else 1


def _below(node: yaml.Node, first: int, nodes: int, kind: str) -> Iterator[Request]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _below(item, first, nodes, kind)
    keys = _keys(node)
    if not keys:
        return
    named = keys.get("kind")
    kind = str(named.value).lower() if isinstance(named, yaml.ScalarNode) else kind
    nodes = max([nodes, *(_number(keys[key]) for key in COUNTS & keys.keys())])
    roles = [value for key, value in keys.items() if key.endswith("replicaspecs")]
    if any(len(_keys(role)) > 1 for role in roles):
        # A master and a worker are two nodes.
        nodes = max(nodes, 2)
    line = node.start_mark.line + first
    if "noderangeproperties" in keys:
        yield from _of_batch(keys["noderangeproperties"], line, nodes)
    elif "containers" in keys and nodes > 1 and kind not in SERVICES:
        yield from _of_pod(keys, line)
    else:
        for value in keys.values():
            yield from _below(value, first, nodes, kind)


def _scalars(node: yaml.Node | None) -> Iterator[str]:
    """All texts below a node, keys as well."""
    if isinstance(node, yaml.ScalarNode):
        yield str(node.value)
    elif node is not None:
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                yield from _scalars(part)


def _privileged(node: yaml.Node | None) -> bool:
    """Whether a container may use every device of its node."""
    texts = [*_scalars(node)]
    return any(name.lower() == "privileged" and value.lower() == "true" for name, value in itertools.pairwise(texts))


def _of_pod(keys: dict[str, yaml.Node], line: int) -> Iterator[Request]:
    texts = [*_scalars(keys["containers"])]
    if RESOURCE in texts or FOLDER in " ".join(texts) or _privileged(keys["containers"]):
        return
    types = _types(keys)
    if types or set(ACCELERATORS) & set(texts):
        fix = f"add {RESOURCE} and hugepages-2Mi to the limits and requests of the container, as `ingot launch` does"
        source = "https://docs.aws.amazon.com/eks/latest/userguide/node-efa.html"
        yield Request("the pods", line, types, fix, source)


def _types(keys: dict[str, yaml.Node]) -> tuple[str, ...]:
    """The instance types that a pod's selector and affinity name."""
    texts = [*_scalars(keys.get("nodeselector")), *_scalars(keys.get("affinity"))]
    found = [text for text in texts if re.fullmatch(r"[a-z]+\d[a-z0-9-]*\.[a-z0-9-]+", text)]
    return tuple(dict.fromkeys(found)) if set(TYPE_KEYS) & set(texts) else ()


def _of_batch(node: yaml.Node, line: int, nodes: int) -> Iterator[Request]:
    texts = [*_scalars(node)]
    if nodes < 2 or any(text.startswith(FOLDER) for text in texts) or _privileged(node):
        return
    types = [value for name, value in itertools.pairwise(texts) if name.lower() == "instancetype"]
    fix = f"list {FOLDER}/uverbs0 and so on under linuxParameters.devices, as `ingot launch batch` does"
    yield Request(
        "the job's nodes", line, tuple(types), fix, "https://docs.aws.amazon.com/batch/latest/userguide/efa.html"
    )


def of_script(text: str) -> Iterator[Request]:
    """The containers that `docker run` starts with GPUs and without EFA devices."""
    for match in RUN.finditer(text):
        if USES_DEVICES.search(match[1]) and not HAS_DEVICES.search(match[1]):
            line = text.count("\n", 0, match.start()) + 1
            fix = f"add --device={FOLDER} for each uverbs device, or -v {FOLDER}:{FOLDER} with --privileged"
            source = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start-nccl.html"
            yield Request("the container of docker run", line, (), fix, source)


def finding(request: Request, place: str, efa_types: dict[str, int], wants_efa: bool) -> dict[str, Any] | None:
    """What is wrong with a request, or None: an error if the type is known to have EFA and several nodes run it.

    `efa_types` has the number of EFA interfaces of the types that are known; `wants_efa`: the job sets EFA's variables.
    """
    types = [name for name in request.types if efa_types.get(name)]
    if not types and not (wants_efa and not any(name in efa_types for name in request.types)):
        return None
    on = f" of {', '.join(types)}" if types else ""
    has = f", which has {efa_types[types[0]]} EFA interfaces" if types else ""
    # One node needs no EFA, and a command does not say how many there are.
    severity = "error" if types and not request.what.startswith("the container") else "warning"
    return {
        "rule": "efa-not-requested", "severity": severity, "variable": None, "value": None,
        "place": f"{place}:{request.line}",
        "message": f"{request.what}{on}{has}: no EFA device is asked for, so NCCL uses TCP between nodes",
        "fix": request.fix, "source": request.source,
    }  # fmt: skip
