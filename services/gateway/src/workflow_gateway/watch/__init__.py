"""Live status: every event once, in order, without a gap.

    doorbell   Redis pub/sub says that an execution has news: a hint, which may be lost, late or wrong
    feed       one per watched execution, shared by its watchers: reads the news once, keeps the latest
    kept       the events in memory, with one limit of bytes for all feeds
    watcher    one per call: snapshot, then event after event from the feed; behind it, from the orchestrator
    reader     the orchestrator's RPCs: what is said to watchers always comes from Postgres
    tokens     a position in an execution's history, good on every replica

Nothing here is durable; a gateway that dies takes only connections with it.
"""
