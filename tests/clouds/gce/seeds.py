"""What is there before anything is made: Google's images, and the project's default network."""

from __future__ import annotations

from gce import images, network
from gce.world import world


def begin() -> None:
    """Makes it all."""
    for project in world.settings.projects:
        network.default(project)
    images.public()
