"""The tables of a live state, the same in every database."""

VERSION = 1

# `live_changes` is a compacted log: of each item it holds the latest change alone, of each user the
# interactions that are retained. `live_state` has one row, which every writer locks: so changes get
# their numbers in the order in which they become visible, and nobody who follows misses one.
TABLES = (
    """CREATE TABLE live_state (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        last {integer} NOT NULL,
        last_time {integer} NOT NULL,
        dropped {integer} NOT NULL,
        item_kind TEXT,
        user_kind TEXT)""",
    """CREATE TABLE live_changes (
        sequence {integer} PRIMARY KEY,
        time {integer} NOT NULL,
        kind INTEGER NOT NULL,
        item_id TEXT NOT NULL,
        user_id TEXT,
        timestamp {integer},
        attributes TEXT,
        embedding {bytes},
        checksum {integer} NOT NULL)""",
    "CREATE UNIQUE INDEX live_items ON live_changes (item_id) WHERE user_id IS NULL",
    "CREATE INDEX live_users ON live_changes (user_id, sequence) WHERE user_id IS NOT NULL",
    "CREATE INDEX live_times ON live_changes (timestamp) WHERE user_id IS NOT NULL",
    """CREATE TABLE live_keys (
        key TEXT PRIMARY KEY,
        digest {bytes} NOT NULL,
        first {integer} NOT NULL,
        last {integer} NOT NULL,
        time {integer} NOT NULL)""",
    "CREATE INDEX live_key_times ON live_keys (time)",
)
