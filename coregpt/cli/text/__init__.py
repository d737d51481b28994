"""What commands on text do: tokenizers, shards, downloads, a look at them."""
