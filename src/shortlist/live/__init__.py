"""What changed since a bundle was trained: items that come, change and go, and what users did."""

from shortlist._extras import needs

with needs("`shortlist.live`", "bundle"):
    from shortlist.live.bundles import LiveBundle
    from shortlist.live.changes import (
        Change,
        Interaction,
        ItemRemoval,
        ItemUpsert,
        LogEntry,
        Receipt,
    )
    from shortlist.live.errors import KeyReusedError, LiveStateError
    from shortlist.live.follow import Follower
    from shortlist.live.retention import Retention
    from shortlist.live.state import LiveState

__all__ = [
    "Change",
    "Follower",
    "Interaction",
    "ItemRemoval",
    "ItemUpsert",
    "KeyReusedError",
    "LiveBundle",
    "LiveState",
    "LiveStateError",
    "LogEntry",
    "Receipt",
    "Retention",
]
