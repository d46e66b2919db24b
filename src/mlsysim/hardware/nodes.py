"""Nodes, racks, pods and cloud shapes: devices joined by a fabric, and clusters of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware.figures import Figure, FigureTable
from mlsysim.hardware.registry import Hardware
from mlsysim.hardware.spec import HardwareSpec
from mlsysim.registry import Registry, Row, nearest, read_table
from mlsysim.units import whole

_PACKAGE = "mlsysim.hardware"
DIMENSIONS = {
    "scale_up_bandwidth": "B/s",
    "scale_up_latency": "s",
    "scale_out_bandwidth": "B/s",
    "nics": "count",
    "nic_rate": "B/s",
    "host_link": "B/s",
    "host_cores": "count",
    "host_memory": "B",
    "local_storage": "B",
    "power": "W",
    "price": "USD/h",
}
"""Figures of a node and their SI units; bandwidths are one direction."""


@dataclass(frozen=True, slots=True, repr=False)
class NodeSpec:
    """Devices of one kind in one machine, rack, pod or cloud shape.

    ``domain`` devices are joined by the scale-up ``fabric``, in a ``topology`` of switched, mesh, ring, torus-2d,
    torus-3d or pcie; ``shape`` is that of a torus, ``"4x4x4"``.
    ``figures`` are keyed as :data:`DIMENSIONS`, in SI: ``scale_up_bandwidth`` of one device and one
    direction, ``scale_out_bandwidth`` of the whole node and one direction. What no public document gives is not there.
    """

    name: str
    kind: str
    device: str
    devices: int
    fabric: str
    topology: str
    domain: int
    shape: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    title: str = ""
    aliases: tuple[str, ...] = ()
    released: str = ""
    note: str = ""

    def __repr__(self) -> str:
        return f"<NodeSpec {self.name}: {self.devices} x {self.device}>"

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the figures that no public document gives."""
        return tuple(name for name in DIMENSIONS if name not in self.figures)

    def to_dict(self) -> dict[str, Any]:
        """Return the node as plain data, ready for JSON: every figure with where and when it was read."""
        about = (
            "name",
            "title",
            "kind",
            "device",
            "devices",
            "fabric",
            "topology",
            "domain",
            "shape",
            "released",
            "note",
        )
        return {
            **{key: getattr(self, key) for key in about},
            "aliases": list(self.aliases),
            "figures": {
                name: {
                    "value": f.value,
                    "unit": DIMENSIONS[name],
                    "source": f.source,
                    "retrieved": f.retrieved,
                    "note": f.note,
                }
                for name, f in self.figures.items()
            },
            "unknown": list(self.unknown),
        }


FIGURES = FigureTable(_PACKAGE, "node_figures.tsv", DIMENSIONS)


def _build(row: Row) -> NodeSpec:
    figures = {quantity: figure for quantity, _, figure in FIGURES.of(row["name"])}
    return NodeSpec(
        name=row["name"],
        kind=row["kind"],
        device=row["device"],
        devices=int(row["devices"]),
        fabric=row["scale_up_fabric"],
        topology=row["scale_up_topology"],
        domain=int(row["scale_up_domain"] or 1),
        shape=row["shape"],
        figures=figures,
        title=row["title"],
        aliases=tuple(filter(None, row["aliases"].split(";"))),
        released=row["released"],
        note=row["note"],
    )


Nodes: Registry[NodeSpec] = Registry(
    "node", "`mlsysim hardware --nodes` lists all", lambda: read_table(_PACKAGE, "nodes.tsv"), _build
)


class Cluster:
    """So many nodes of one kind: ``Cluster("dgx-h100", nodes=16)``, or by device, ``Cluster("h100-sxm", nodes=128)``.

    A device stands for the board that it is sold on, or for the smallest machine that holds it. Totals are sums; a
    figure that is not known of the node is None.

    Raises
    ------
    UnknownName, InvalidValue
        No such node or device; or a count that is none.
    """

    def __init__(self, node: NodeSpec | str, nodes: int = 1) -> None:
        self.node = node if isinstance(node, NodeSpec) else _node_of(node)
        self.nodes = whole(nodes, "nodes")

    def __repr__(self) -> str:
        return f"<Cluster {self.nodes} x {self.node.name}: {self.devices:,} x {self.node.device}>"

    @property
    def name(self) -> str:
        """Return what it is called: ``dgx-h100``, ``16 x dgx-h100``."""
        return self.node.name if self.nodes == 1 else f"{self.nodes} x {self.node.name}"

    @property
    def device(self) -> HardwareSpec:
        """Return the device that the cluster is made of."""
        return Hardware[self.node.device]

    @property
    def devices(self) -> int:
        """Return the devices of all nodes."""
        return self.nodes * self.node.devices

    @property
    def memory_bytes(self) -> float | None:
        """Return the memory of all devices [B]."""
        return self.devices * self.device.memory.value if self.device.memory else None

    @property
    def scale_up_bytes_per_s(self) -> float | None:
        """Return the bandwidth of a device within its domain, one direction [B/s]."""
        return self._of("scale_up_bandwidth")

    @property
    def scale_out_bytes_per_s(self) -> float | None:
        """Return the bandwidth of a device to other nodes, its share of the node's, one direction [B/s]."""
        whole_node = self._of("scale_out_bandwidth")
        return None if whole_node is None else whole_node / self.node.devices

    @property
    def usd_per_hour(self) -> float | None:
        """Return the price of all nodes, where the node has one [USD/h]."""
        price = self._of("price")
        return None if price is None else self.nodes * price

    @property
    def power_w(self) -> float | None:
        """Return the rated power of all nodes [W]."""
        power = self._of("power")
        return None if power is None else self.nodes * power

    def peak(self, precision: str) -> float:
        """Return the peak of all devices [FLOP/s].

        Raises
        ------
        UnsupportedPrecision
            The device has none.
        """
        return self.devices * self.device.peak(precision).value

    def _of(self, name: str) -> float | None:
        figure = self.node.figures.get(name)
        return figure.value if figure else None


_KINDS = ("node", "workstation", "cloud", "rack", "pod")
"""Kinds of machine; a device stands for the first of these that holds it, or for the board it is sold on."""


def _node_of(name: str) -> NodeSpec:
    if name in Nodes:
        return Nodes[name]
    if name not in Hardware:
        near = nearest(str(name), [*Nodes, *Hardware])
        raise UnknownName("node", str(name), near, "`mlsysim hardware --nodes` lists all; a device will do too")
    device = Hardware[name].name
    holding = [n for n in map(Nodes.__getitem__, Nodes) if n.device == device]
    if not holding:
        raise InvalidValue("node", f"given: no machine of {device} is in the registry", name)
    return min(holding, key=lambda n: (not n.name.startswith("hgx"), _KINDS.index(n.kind), n.devices))
