"""From text to shards: documents, tokenizers, splitting, and what is in a folder of tokens."""
