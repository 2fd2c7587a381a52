"""Live status: every event once, in order, without a gap.

    doorbell   Redis pub/sub says that an execution has new events. A ring may be lost, late or wrong feed
    one for each watched execution, shared by its watchers: reads new events once, keeps the latest kept
    the events in memory, with one limit of bytes for all feeds watcher    one for each call: a snapshot, then
    events from the feed, or from the orchestrator if it is behind reader     the orchestrator's RPCs:
    everything that watchers receive comes from Postgres tokens     a position in the events of an execution,
    valid at every gateway

Nothing here is durable: if a gateway dies, only its connections are lost.
"""
