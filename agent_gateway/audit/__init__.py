"""The audit log: records, made durable, made tamper-evident, read and proved.

`log` takes records, `writer` makes them durable in `logfile`; `merkle` and
`checkpoint` make them tamper-evident; `reader`, `prove`, `export` and `verify`
are for those who come later.
"""
