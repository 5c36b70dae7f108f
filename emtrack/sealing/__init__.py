"""The log that shows whether the record was touched: a Merkle tree (RFC 6962) over rows, its signed heads, and proofs.

tree     which hashes a proof needs, and how they are put together; no database
notes    signed heads in the form of signed notes (C2SP)
proofs   files of proofs, and their check with nothing but a head and a public key
bundles  reports as files of files with a manifest, and their check
keys     the key of the log in the data directory
store    the tree in the database: what waits, nodes, heads
check    the whole record against the log
"""
