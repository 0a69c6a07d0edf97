"""Recommendations: which products are bought together.

Role: count, for each pair of SKUs, the confirmed orders that held both, and
answer "who buys this also buys".

Invariants:
- An event is counted once, however often it is delivered: its id is stored in
  the transaction that counts it.
- Only `orders` and the event bus (`isles`) may feed it.
- Selling never waits for it: it calls nobody, and nobody needs its answer.

Data flow: `app` (HTTP) -> `domain` (checks what came in) -> `store` (SQL).
"""
