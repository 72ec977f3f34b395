"""A driver with the least that libcloud's drivers have: no tags, start and stop by other names.

Its methods wait until they are let, as those of some drivers do; its VMs are in this process.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, ClassVar

from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeSize
from libcloud.compute.types import NodeState


class PlainDriver(NodeDriver):
    """What libcloud would make."""

    name = "Plain"
    nodes: ClassVar[dict[str, Node]] = {}
    asked: ClassVar[list[str]] = []
    refusal: ClassVar[list[Exception]] = []
    gate = threading.Event()
    _numbers = itertools.count(1)

    def __init__(self, key: str, secret: str = "", **kwargs: Any) -> None:
        """Connects to nothing."""
        self.key, self.secret = key, secret
        self.connection = None
        self._busy = threading.Lock()

    def list_sizes(self) -> list[NodeSize]:
        return [NodeSize("small", "Small", 1, 1, 1, 1, self)]

    def list_images(self) -> list[NodeImage]:
        return [NodeImage("debian", "Debian", self)]

    def list_nodes(self) -> list[Node]:
        with self._alone():
            return [self._copied(node) for node in list(self.nodes.values())]

    def create_node(self, name: str, size: Any, image: Any, ex_note: str = "") -> Node:
        with self._alone():
            self._waited(f"create {size.id} {image.id} {ex_note}".strip())
            id_ = f"plain-{next(self._numbers)}"
            node = Node(id_, name, NodeState.RUNNING, ["192.0.2.7"], [], self)
            self.nodes[id_] = node
            return self._copied(node)

    def ex_start(self, node: Node) -> bool:
        with self._alone():
            self._waited("start")
            self.nodes[node.id].state = NodeState.RUNNING
            return True

    def ex_stop(self, node: Node) -> bool:
        with self._alone():
            self._waited("stop")
            self.nodes[node.id].state = NodeState.STOPPED
            return True

    def destroy_node(self, node: Node) -> bool:
        with self._alone():
            self._waited("delete")
            del self.nodes[node.id]
            return True

    def _waited(self, what: str) -> None:
        """Done when it may be; polled for, as drivers do it."""
        self.asked.append(what)
        while not self.gate.is_set():
            time.sleep(0.005)
        if self.refusal:
            raise self.refusal[0]

    def _copied(self, node: Node) -> Node:
        return Node(node.id, node.name, node.state, node.public_ips, [], self)

    def _alone(self) -> Any:
        """A driver that two threads use at once would mix up their answers."""
        assert not self._busy.locked(), "two threads have one driver"
        return self._busy
