"""What lies on disk: run folders, the ledger, what both say of a study, the mirror in MLflow."""
