"""What it costs and who pays: the ledger, the pricing engine, and the proof that both are right."""
