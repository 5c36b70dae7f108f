"""The stream between gateways and workers: NATS JetStream, an existing, clustered log (decision 49).

A gateway puts requests of devices into it, many in a message, a subject for each shard and lane; the worker that owns the shard
reads them in order, stores how far it came in the transaction that stores the facts, and answers the gateway after the commit. The
stream is transport: what is in it was not received, and nobody is told that it was.
"""
