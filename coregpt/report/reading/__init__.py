"""From run folders and the ledger to facts about runs. Reads, and decides nothing."""
