"""Copies of the definition in other people's code, kept honest: `wavemae vendor`.

A copy drifts, and a hash that lies beside it drifts with it. So the witness is this package: the
text and the SHA-256 of every release (`releases`), to which a file is compared (`judge`,
`difference`); `files` reads and writes, and `command` is what the user types. Nothing here imports
torch or uses the network.
"""
